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
//! | `dense_forward` | [`dense::dense_forward`] |
//! | `dense_backward` | [`dense::dense_backward`], then [`dense::activation_backward`] of the layer below |
//! | `dense_update` | [`dense::dense_gradient`], then [`optimizer::step`] |
//! | `loss_mse`, `loss_cross_entropy` | [`losses::loss_mse`], [`losses::loss_cross_entropy`] |
//! | `fused_subgroup`, `fused_workgroup` | [`reptile::inner_loop`] |
//! | `outer_update` | [`reptile::reduce_delta`], then [`optimizer::outer_update`] |
//! | `mean_state` | [`optimizer::mean_state`] |
//!
//! These functions panic on slices of the wrong length: they are called by tests, not by users.
//! A rate or decay that the device holds in f32 must be widened from that f32, not written anew
//! in f64, or Adam's bias correction differs in the fifth digit.

pub mod dense;
pub mod gather;
pub mod glyphs;
pub mod losses;
pub mod network;
pub mod optimizer;
pub mod reptile;
pub mod sampling;

/// `n` numbers in ±1, the same for the same `seed`.
#[cfg(test)]
fn numbers(seed: u64, n: usize) -> Vec<f64> {
    use crate::rng::{Part, Phase, Stream, unit};
    let stream = Stream::new(seed, Phase::Init, 0, 0);
    (0..n).map(|i| 2.0 * f64::from(unit(stream.words(Part::Task, i as u32)[0])) - 1.0).collect()
}
