//! The kernels once more in float64: what the tests compare the device with.
//!
//! Every function works on canonical-layout parameters (see [`crate::model`]) and on plain
//! row-major slices, one task at a time. A kernel and its twin share a name, so a wrong kernel can
//! be bisected:
//!
//! | kernel | here |
//! |---|---|
//! | `sample_order` | [`sampling::order`] |
//! | `sample_sine`, `sample_episode` | [`sampling::sine_task`], [`sampling::episode`], and the order |
//! | `sample_glyphs` | [`glyphs::glyph`], and the order |
//! | `gather_rows`, `gather_images` | [`gather::gather_rows`], [`gather::gather_images`] |
//! | `layer_forward` | [`dense::dense_forward`] or [`conv::conv_forward`], then [`activation::activate`] |
//! | `layer_backward` | [`dense::dense_backward`] or [`conv::conv_backward`], then [`activation::activation_backward`] of the layer below |
//! | `layer_update` | [`dense::dense_gradient`] or [`conv::conv_gradient`], then [`Inner::step`](crate::optimizers::Inner::step) |
//! | `norm_forward` | [`norm::norm_forward`], then [`activation::activate`] |
//! | `norm_backward` | [`norm::norm_backward`], [`norm::norm_gradient`], then [`Inner::step`](crate::optimizers::Inner::step) |
//! | `group_norm_forward`, `group_norm_backward`, `group_norm_update` | the functions of [`group_norm`], activations and steps likewise |
//! | `pool_forward`, `pool_backward` | the functions of [`pool`], and activations likewise |
//! | `loss_mse`, `loss_cross_entropy` | [`losses::loss_mse`], [`losses::loss_cross_entropy`] |
//! | `head` | a dense layer's forward, a loss, backward and update in one |
//! | `fused_subgroup`, `fused_workgroup` | [`reptile::inner_loop`] |
//! | `outer_update` | [`reptile::reduce_delta`], then [`Outer::step`](crate::optimizers::Outer::step) |
//! | `strategy_sums`, `strategy_update`, and inner steps with learned rates | [`strategy::meta_iteration`] |
//! | `mean_state` | [`OptimizerState::mean`](crate::optimizers::OptimizerState::mean) |
//!
//! [`layer`] picks the functions of a layer, [`network`] goes through all layers.
//!
//! These functions panic on slices of the wrong length: they are called by tests, not by users.
//! A rate or decay that the device holds in f32 must be widened from that f32, not written anew
//! in f64, or Adam's bias correction differs in the fifth digit.

pub mod activation;
pub mod conv;
pub mod dense;
pub mod gather;
pub mod glyphs;
pub mod group_norm;
pub mod layer;
pub mod losses;
pub mod network;
pub mod norm;
pub mod pool;
pub mod reptile;
pub mod sampling;
pub mod storage;
pub mod strategy;
mod window;

/// target += scale · values.
fn add_scaled(target: &mut [f64], scale: f64, values: &[f64]) {
    for (target, value) in target.iter_mut().zip(values) {
        *target += scale * value;
    }
}

/// `n` numbers in ±1, the same for the same `seed`.
#[cfg(test)]
fn numbers(seed: u64, n: usize) -> Vec<f64> {
    use crate::rng::{Part, Phase, Stream, unit};
    let stream = Stream::new(seed, Phase::Init, 0, 0);
    (0..n).map(|i| 2.0 * f64::from(unit(stream.words(Part::Task, i as u32)[0])) - 1.0).collect()
}
