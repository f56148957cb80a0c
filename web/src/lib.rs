//! Reptile meta-learning in a browser: a network is meta-trained and adapted on the visitor's GPU, through WebGPU.
//!
//! Nothing blocks the page: training goes on in slices of a few milliseconds a frame, everything else is a promise.

#![cfg(target_arch = "wasm32")]

mod frames;
mod settings;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use js_sys::{Float32Array, Function, Object, Promise, Reflect};
use reptile::gpu::{AdapterChoice, Gpu, GpuOptions, Pending};
use reptile::meta::{Adaptation, IterationMetrics, Trainer};
use reptile::model::Loss;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

/// The device's time for training in a frame.
const SLICE: Duration = Duration::from_millis(8);

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** A configuration as an object: the keys of a file's parts of these names. */
export interface Settings {
    model: { input: number[]; loss: 'mse' | 'cross-entropy'; init?: 'glorot' | 'he' | 'torch'; layers: Record<string, unknown>[] };
    tasks: { kind: 'sine' | 'glyphs'; [key: string]: unknown };
    inner: { optimizer: string; rate: number; batch: number; steps?: number; epochs?: number; [key: string]: unknown };
    outer: { rate: number; meta_batch: number; [key: string]: unknown };
    /** Meta-iterations that the schedules span; 1000 if nothing is said. */
    iterations?: number;
    seed?: number;
}
/** How a training fares: meta-iterations done, and the loss before and after the inner loop. */
export interface Progress { iteration: number; first: number; last: number }
"#;

/// A network that is meta-trained, and adapted to examples of the visitor's.
#[wasm_bindgen]
pub struct Reptile {
    gpu: Gpu,
    trainer: Rc<RefCell<Trainer>>,
    support: RefCell<Option<Rc<Support>>>,
}

/// What is adapted to.
struct Support {
    x: Vec<f32>,
    y: Vec<f32>,
    steps: usize,
    rate: Option<f32>,
}

/// An error as JavaScript has them.
fn thrown(error: impl std::fmt::Display) -> JsValue {
    js_sys::Error::new(&error.to_string()).into()
}

#[wasm_bindgen]
impl Reptile {
    /// Opens the GPU and prepares a training by `settings`, an object with the keys of a configuration file: `model`, `tasks`
    /// (`sine` or `glyphs`), `inner`, `outer`, `iterations`, `seed`.
    #[wasm_bindgen]
    pub async fn create(
        #[wasm_bindgen(unchecked_param_type = "Settings")] settings: JsValue,
    ) -> Result<Reptile, JsValue> {
        console_error_panic_hook::set_once();
        let setup = settings::read(settings)?;
        let choice = AdapterChoice::default();
        let gpu = Gpu::request_async(&choice, GpuOptions::default())
            .await
            .map_err(|error| thrown(format_args!("{error}: a browser with WebGPU is needed")))?;
        let trainer = Trainer::prepare(&gpu, setup).map_err(thrown)?;
        let trainer = trainer.ready(|_, _| ()).await.map_err(thrown)?;
        Ok(Self { gpu, trainer: Rc::new(RefCell::new(trainer)), support: RefCell::new(None) })
    }

    /// Which GPU it is.
    #[wasm_bindgen(getter)]
    pub fn device(&self) -> String {
        let info = self.gpu.info();
        let words = [info.name.as_str(), info.driver.as_str()];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
    }

    /// Meta-iterations done.
    #[wasm_bindgen(getter)]
    pub fn iteration(&self) -> f64 {
        self.trainer.try_borrow().map_or(f64::NAN, |trainer| trainer.iteration() as f64)
    }

    /// Does `iterations` meta-iterations, a slice of at most 8 ms of the GPU's time a frame, and tells `progress` the
    /// iterations done and the loss before and after the inner loop, `{ iteration, first, last }`; where it returns
    /// `false`, the training stops.
    #[wasm_bindgen(unchecked_return_type = "Promise<void>")]
    pub fn train(
        &self,
        iterations: f64,
        #[wasm_bindgen(unchecked_optional_param_type = "(progress: Progress) => unknown")] progress: Option<
            Function,
        >,
    ) -> Promise {
        let (gpu, trainer) = (self.gpu.clone(), self.trainer.clone());
        future_to_promise(async move {
            if iterations.is_nan() || iterations < 1.0 {
                return Err(thrown("iterations: give 1 or more"));
            }
            train(&gpu, &trainer, iterations as u64, progress.as_ref()).await?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Remembers examples to adapt to, `x` `[N, …input]` and `y` `[N, outputs]` or, for classes, `[N]` labels; `steps` inner steps
    /// (those of the training by default) at `rate` (likewise). Returns the loss of each step.
    #[wasm_bindgen(unchecked_return_type = "Promise<Float32Array>")]
    pub fn adapt(
        &self,
        x: &[f32],
        y: &[f32],
        #[wasm_bindgen(unchecked_optional_param_type = "{ steps?: number; rate?: number }")]
        options: JsValue,
    ) -> Promise {
        let support = settings::adapting(options).map(|(steps, rate)| {
            let (x, y) = (x.to_vec(), y.to_vec());
            Rc::new(Support { x, y, steps, rate })
        });
        if let Ok(support) = &support {
            *self.support.borrow_mut() = Some(support.clone());
        }
        let (gpu, trainer) = (self.gpu.clone(), self.trainer.clone());
        future_to_promise(async move {
            let [losses, _] = adapted(&gpu, &trainer, &*support?, &[]).await?;
            Ok(Float32Array::from(losses.as_slice()).into())
        })
    }

    /// What the network says of `x` `[Q, …input]`, adapted to the examples of the last [`Reptile::adapt`]: `[Q, outputs]`,
    /// logits for classes.
    #[wasm_bindgen(unchecked_return_type = "Promise<Float32Array>")]
    pub fn predict(&self, x: &[f32]) -> Promise {
        let (gpu, trainer) = (self.gpu.clone(), self.trainer.clone());
        let (support, x) = (self.support.borrow().clone(), x.to_vec());
        future_to_promise(async move {
            let support =
                support.ok_or_else(|| thrown("nothing was adapted to; call adapt first"))?;
            let [_, outputs] = adapted(&gpu, &trainer, &support, &x).await?;
            Ok(Float32Array::from(outputs.as_slice()).into())
        })
    }

    /// The meta-learned parameters `[P]`, in PyTorch's order.
    #[wasm_bindgen(unchecked_return_type = "Promise<Float32Array>")]
    pub fn parameters(&self) -> Promise {
        let (gpu, trainer) = (self.gpu.clone(), self.trainer.clone());
        future_to_promise(async move {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            let asked = frames::borrowed(&trainer).await.ask_parameters(&mut encoder, 0);
            let asked = asked.map_err(thrown)?;
            gpu.queue().submit([encoder.finish()]);
            let all = asked.await.map_err(thrown)?;
            Ok(Float32Array::from(all.as_slice()).into())
        })
    }
}

/// Meta-iterations of a frame.
struct Slice {
    count: u64,
    /// In all.
    done: u64,
    /// Of the last one.
    metrics: Pending<Vec<IterationMetrics>>,
}

/// Submits at most `left` meta-iterations; none where the budget allows none, or somebody adapts at the moment, who goes first.
fn slice(gpu: &Gpu, trainer: &RefCell<Trainer>, left: u64) -> Result<Option<Slice>, JsValue> {
    let Ok(mut own) = trainer.try_borrow_mut() else { return Ok(None) };
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let most = usize::try_from(left).unwrap_or(usize::MAX);
    let count = own.record_within_at_most(&mut encoder, SLICE, most).map_err(thrown)?;
    if count == 0 {
        return Ok(None);
    }
    let metrics = own.ask_metrics(&mut encoder, 1).map_err(thrown)?;
    gpu.queue().submit([encoder.finish()]);
    Ok(Some(Slice { count: count as u64, done: own.iteration(), metrics }))
}

async fn train(
    gpu: &Gpu,
    trainer: &Rc<RefCell<Trainer>>,
    iterations: u64,
    progress: Option<&Function>,
) -> Result<(), JsValue> {
    let mut left = iterations;
    while left > 0 {
        frames::next().await?;
        let Some(slice) = slice(gpu, trainer, left)? else { continue };
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

/// The losses of the inner steps on `support`, and what the adapted network says of `queries`.
#[expect(
    clippy::await_holding_refcell_ref,
    reason = "a training leaves out the frames in which somebody adapts"
)]
async fn adapted(
    gpu: &Gpu,
    trainer: &Rc<RefCell<Trainer>>,
    support: &Support,
    queries: &[f32],
) -> Result<[Vec<f32>; 2], JsValue> {
    let trainer = frames::borrowed(trainer).await;
    let model = trainer.model();
    if support.x.is_empty() {
        return Err(thrown("there are no examples to adapt to; give one or more"));
    }
    let count = support.x.len() / model.inputs();
    let mut builder = Adaptation::builder(&trainer).support(count);
    builder = builder.queries(queries.len() / model.inputs());
    if support.steps > 0 {
        builder = builder.steps(support.steps);
    }
    if let Some(rate) = support.rate {
        builder = builder.rate(rate);
    }
    let adaptation = builder.build_async().await.map_err(thrown)?;
    let tasks = adaptation.tasks();
    tasks.upload_support_x(gpu, model, &support.x).map_err(thrown)?;
    if model.loss() == Loss::CrossEntropy {
        let labels: Vec<u32> = support.y.iter().map(|label| *label as u32).collect();
        tasks.upload_support_labels(gpu, &labels).map_err(thrown)?;
    } else {
        tasks.upload_support_values(gpu, model, &support.y).map_err(thrown)?;
    }
    if !queries.is_empty() {
        tasks.upload_query_x(gpu, model, queries).map_err(thrown)?;
    }
    let losses = adaptation.run_async(0, |done, encoder| done.ask_support_losses(encoder));
    let losses = losses.await.map_err(thrown)?;
    let outputs = match queries.is_empty() {
        true => Vec::new(),
        false => {
            let [_, after] = adaptation.query_outputs_async().await.map_err(thrown)?;
            after.unwrap_or_default()
        }
    };
    Ok([losses, outputs])
}
