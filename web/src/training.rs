//! Training, a slice a frame.

use std::cell::RefCell;
use std::time::Duration;

use js_sys::{Function, Object, Reflect};
use reptile::gpu::{Gpu, Pending};
use reptile::meta::IterationMetrics;
use wasm_bindgen::prelude::*;

use crate::network::Network;
use crate::{frames, thrown};

/// The device's time for training in a frame.
const SLICE: Duration = Duration::from_millis(8);

/// Meta-iterations of a frame.
struct Slice {
    count: u64,
    /// In all.
    done: u64,
    /// Of the last one.
    metrics: Pending<Vec<IterationMetrics>>,
}

/// Submits at most `left` meta-iterations; none where the budget allows none, or somebody adapts at the moment, who goes first.
fn slice(gpu: &Gpu, network: &RefCell<Network>, left: u64) -> Result<Option<Slice>, JsValue> {
    let Ok(mut own) = network.try_borrow_mut() else { return Ok(None) };
    own.trains().map_err(thrown)?;
    let trainer = &mut own.trainer;
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let most = usize::try_from(left).unwrap_or(usize::MAX);
    let count = trainer.record_within_at_most(&mut encoder, SLICE, most).map_err(thrown)?;
    if count == 0 {
        return Ok(None);
    }
    let metrics = trainer.ask_metrics(&mut encoder, 1).map_err(thrown)?;
    gpu.queue().submit([encoder.finish()]);
    Ok(Some(Slice { count: count as u64, done: trainer.iteration(), metrics }))
}

/// Does `iterations` meta-iterations, or as many as `progress` wants.
pub async fn train(
    gpu: &Gpu,
    network: &RefCell<Network>,
    iterations: f64,
    progress: Option<&Function>,
) -> Result<(), JsValue> {
    if iterations.is_nan() || iterations < 1.0 {
        return Err(thrown("iterations: give 1 or more"));
    }
    let mut left = iterations as u64;
    while left > 0 {
        frames::next().await?;
        let Some(slice) = slice(gpu, network, left)? else { continue };
        left -= slice.count;
        let metrics = slice.metrics.await.map_err(thrown)?;
        let losses = &metrics[0].losses;
        let [first, last] = [losses[0], losses[losses.len() - 1]];
        if !last.is_finite() {
            return Err(thrown("the training diverged: lower inner.rate or outer.rate"));
        }
        let Some(progress) = progress else { continue };
        let told = Object::new();
        for (name, value) in
            [("iteration", slice.done as f64), ("first", first.into()), ("last", last.into())]
        {
            Reflect::set(&told, &name.into(), &value.into())?;
        }
        if progress.call1(&JsValue::NULL, &told)? == JsValue::FALSE {
            break;
        }
    }
    Ok(())
}
