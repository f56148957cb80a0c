//! The kernels once more in float64: what the tests compare the device with.
//!
//! Every function works on canonical-layout parameters (see [`crate::model`]) and on plain
//! row-major slices, one task at a time. A kernel and its twin share a name, so a wrong kernel can
//! be bisected:
//!
//! | kernel | here |
//! |---|---|
//! | `sample_order` | [`sampling::order`] |
//! | `sample_sine`, `sample_episode`, `sample_listed` | [`sampling::sine_task`], [`sampling::episode`], [`sampling::listed_task`], and the order |
//! | `sample_own` | [`sampling::OwnRandom`] |
//! | `sample_glyphs` | [`glyphs::glyph`], and the order |
//! | `gather_rows`, `gather_images` | [`gather::gather_rows`], [`gather::gather_images`] |
//! | a layer's forward kernel | [`layer::layer_forward`]: the twin in the file of its type ([`crate::layers`]), then [`activation::activate`] |
//! | its backward kernel | [`layer::layer_backward`], then [`activation::activation_backward`] of the layer below |
//! | its update kernel | [`layer::layer_gradient`], then [`Inner::step`](crate::optimizers::Inner::step) |
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
pub mod gather;
pub mod glyphs;
pub mod layer;
pub mod losses;
pub mod network;
pub mod reptile;
pub mod sampling;
pub mod storage;
pub mod strategy;
