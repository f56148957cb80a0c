//! The products of dense layers and convolutions: forward, backward, and the weights' gradient with the inner step.

mod backward;
mod forward;
mod gradient;
mod product;
mod update;

pub use backward::{backward_tiles, layer_backward};
pub use forward::{forward_tiles, layer_forward};
pub(super) use product::window_constants;
pub use update::{layer_update, update_tiles};

use crate::error::Result;
use crate::gpu::{Gpu, Recording};
use crate::layers::{Backward, Forward, Left, Place};

/// Records the forward pass of a layer with weights.
///
/// # Errors
/// See [`crate::dispatch::call`].
pub(super) fn matrix_forward(
    gpu: &Gpu,
    out: &mut Recording,
    place: &Place,
    pass: &Forward<'_>,
) -> Result<()> {
    layer_forward(gpu, out, place, pass.batch, pass.theta, pass.x, pass.out)
}

/// Records the backward pass: first the gradient by the inputs, which takes the weights as they were, then their step.
///
/// # Errors
/// See [`crate::dispatch::call`].
pub(super) fn matrix_backward(
    gpu: &Gpu,
    out: &mut Recording,
    place: &Place,
    pass: &Backward<'_>,
) -> Result<Left> {
    let Backward { batch, update, below, d, dx, .. } = *pass;
    if pass.onward {
        layer_backward(gpu, out, place, batch, update.theta, d, below, dx)?;
    }
    layer_update(gpu, out, place, batch, update, below.h, d)?;
    Ok(Left::Next)
}
