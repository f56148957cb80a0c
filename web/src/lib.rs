//! Reptile meta-learning in a browser: a network is meta-trained and adapted on the visitor's GPU, through WebGPU.
//!
//! Nothing blocks the page: training goes on in slices of a few milliseconds a frame, everything else is a promise.

#![cfg(target_arch = "wasm32")]
#![expect(
    clippy::await_holding_refcell_ref,
    reason = "a training leaves out the frames in which somebody adapts"
)]

mod adapting;
mod device;
mod frames;
mod loading;
mod network;
mod settings;
mod toml;
mod training;

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Float32Array, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use crate::adapting::{Held, Support};
use crate::device::Device;
use crate::loading::Loaded;
use crate::network::Network;
use crate::settings::{Adapting, Made, Predicting};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** A configuration as an object: the keys of a configuration file (docs/config.md), one run. */
export interface Settings {
    model: { input: number[]; loss: 'mse' | 'cross-entropy'; init?: 'glorot' | 'he' | 'torch'; layers: Record<string, unknown>[] };
    tasks: { kind: 'sine' | 'glyphs'; [key: string]: unknown };
    inner: { optimizer: string; rate: number; batch: number; steps?: number; epochs?: number; [key: string]: unknown };
    outer: { rate: number; meta_batch: number; [key: string]: unknown };
    /** How `adapt` learns; by default the steps of the training (32 where it counts epochs), and its minibatches. */
    eval?: { steps: number; batch: number; [key: string]: unknown };
    /** Meta-iterations that the schedules span; 1000 if nothing is said. */
    iterations?: number;
    seed?: number;
    [key: string]: unknown;
}
/** How a training fares: meta-iterations done, and the loss before and after the inner loop. */
export interface Progress { iteration: number; first: number; last: number }
/** How to adapt: inner steps (0: not at all), inner rate, and the classes where they are fewer than the network's outputs. */
export interface Adapting { steps?: number; rate?: number; classes?: number }
"#;

/// A network that is meta-trained, and adapted to examples of the visitor's.
#[wasm_bindgen]
pub struct Reptile {
    device: Device,
    network: Rc<RefCell<Network>>,
    support: RefCell<Option<Rc<Support>>>,
    held: Rc<RefCell<Option<Held>>>,
    /// Models that the program adapted, `[T][P]`.
    models: Rc<RefCell<Vec<Vec<f32>>>>,
}

impl Reptile {
    /// A network on `device`.
    async fn on(device: Device, settings: JsValue) -> Result<Self, JsValue> {
        let network = match settings::read(&settings)? {
            Made::From(config, text) => {
                let network = Box::pin(Network::new(&device.gpu, *config, text));
                let network = network.await.map_err(thrown)?;
                network.trains().map_err(thrown)?;
                network
            }
            Made::Checkpoint(bytes) => {
                Box::pin(Network::open(&device.gpu, bytes)).await.map_err(thrown)?
            }
        };
        Ok(Self {
            device,
            network: Rc::new(RefCell::new(network)),
            support: RefCell::default(),
            held: Rc::default(),
            models: Rc::default(),
        })
    }
}

/// An error as JavaScript has them.
fn thrown(error: impl std::fmt::Display) -> JsValue {
    js_sys::Error::new(&error.to_string()).into()
}

/// Numbers as JavaScript has them.
fn array(numbers: &[f32]) -> JsValue {
    Float32Array::from(numbers).into()
}

#[wasm_bindgen]
impl Reptile {
    /// Opens the GPU and prepares a training: by `settings`, an object with the keys of a configuration file, or from
    /// `{ checkpoint }`, the bytes of a checkpoint that the program or a page wrote.
    #[wasm_bindgen]
    pub async fn create(
        #[wasm_bindgen(unchecked_param_type = "Settings | { checkpoint: Uint8Array }")]
        settings: JsValue,
    ) -> Result<Reptile, JsValue> {
        console_error_panic_hook::set_once();
        Self::on(Device::request().await?, settings).await
    }

    /// As [`Reptile::create`], another network on the same GPU.
    #[wasm_bindgen(unchecked_return_type = "Promise<Reptile>")]
    pub fn another(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Settings | { checkpoint: Uint8Array }")]
        settings: JsValue,
    ) -> Promise {
        let device = self.device.clone();
        future_to_promise(async move { Ok(Self::on(device, settings).await?.into()) })
    }

    /// Which GPU it is, as far as the browser tells.
    #[wasm_bindgen(getter)]
    pub fn device(&self) -> String {
        self.device.name.clone()
    }

    /// Is fulfilled, with the browser's words, when the device is lost; `create` with a checkpoint that was saved before
    /// goes on with another.
    #[wasm_bindgen(getter, unchecked_return_type = "Promise<string>")]
    pub fn lost(&self) -> Promise {
        self.device.lost.clone()
    }

    /// Gives the device back. What goes on fails, and `lost` is fulfilled.
    pub fn destroy(&self) {
        self.device.gpu.device().destroy();
    }

    /// Meta-iterations done.
    #[wasm_bindgen(getter)]
    pub fn iteration(&self) -> f64 {
        self.network.try_borrow().map_or(f64::NAN, |network| network.trainer.iteration() as f64)
    }

    /// Inputs of an example, `[C, H, W]` or `[N]`, the network's outputs, the kind of its tasks, and how many a meta-iteration
    /// has.
    #[wasm_bindgen(
        getter,
        unchecked_return_type = "{ input: number[]; outputs: number; tasks: string; metaBatch: number }"
    )]
    pub fn shape(&self) -> Result<JsValue, JsValue> {
        let Ok(network) = self.network.try_borrow() else { return Ok(JsValue::UNDEFINED) };
        let model = network.trainer.model();
        let input: js_sys::Array =
            model.spec().input.iter().map(|size| JsValue::from(*size as f64)).collect();
        let shape = Object::new();
        Reflect::set(&shape, &"input".into(), &input)?;
        Reflect::set(&shape, &"outputs".into(), &(model.outputs() as f64).into())?;
        Reflect::set(&shape, &"tasks".into(), &network.config.tasks.kind().into())?;
        let tasks = network.config.outer.meta_batch as f64;
        Reflect::set(&shape, &"metaBatch".into(), &tasks.into())?;
        Ok(shape.into())
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
        let (gpu, network) = (self.device.gpu.clone(), self.network.clone());
        future_to_promise(async move {
            training::train(&gpu, &network, iterations, progress.as_ref()).await?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Remembers examples to adapt to, `x` `[N, …input]` and `y` `[N, outputs]` or, for classes, `[N]` labels, and how many
    /// inner `steps` (those of `eval` by default) at which `rate` (that of the training by default). Returns the loss of each step.
    #[wasm_bindgen(unchecked_return_type = "Promise<Float32Array>")]
    pub fn adapt(
        &self,
        x: &[f32],
        y: &[f32],
        #[wasm_bindgen(unchecked_optional_param_type = "Adapting")] options: JsValue,
    ) -> Promise {
        let (x, y) = (x.to_vec(), y.to_vec());
        let support = settings::options::<Adapting>(&options).and_then(|own| {
            let usual = || self.network.try_borrow().map(|network| network.config.eval.steps);
            let steps = match own.steps {
                Some(steps) => steps,
                None => usual().map_err(thrown)?,
            };
            let support = Support { x, y, steps, rate: own.rate, classes: own.classes };
            Ok(Rc::new(support))
        });
        if let Ok(support) = &support {
            *self.support.borrow_mut() = Some(support.clone());
        }
        let (gpu, network, held) =
            (self.device.gpu.clone(), self.network.clone(), self.held.clone());
        future_to_promise(async move {
            let support = support?;
            let adapted = adapting::adapt(&gpu, &network, &held, &support, &[]);
            let [losses, _] = Box::pin(adapted).await.map_err(thrown)?;
            Ok(array(&losses))
        })
    }

    /// What the network says of `x` `[Q, …input]`, adapted to the examples of the last [`Reptile::adapt`], or of those that
    /// were loaded the one with the number `model`: `[Q, outputs]`, logits for classes.
    #[wasm_bindgen(unchecked_return_type = "Promise<Float32Array>")]
    pub fn predict(
        &self,
        x: &[f32],
        #[wasm_bindgen(unchecked_optional_param_type = "{ model?: number }")] options: JsValue,
    ) -> Promise {
        let (gpu, network, held) =
            (self.device.gpu.clone(), self.network.clone(), self.held.clone());
        let (support, x) = (self.support.borrow().clone(), x.to_vec());
        let models = self.models.clone();
        future_to_promise(async move {
            let outputs = match settings::options::<Predicting>(&options)?.model {
                Some(number) => {
                    let model = loading::model(&models.borrow(), number).map_err(thrown)?;
                    Box::pin(adapting::predict(&gpu, &network, model, &x)).await
                }
                None => {
                    let nothing = || thrown("nothing was adapted to; call adapt first");
                    let support = support.ok_or_else(nothing)?;
                    let adapted = adapting::adapt(&gpu, &network, &held, &support, &x);
                    Box::pin(adapted).await.map(|[_, outputs]| outputs)
                }
            };
            Ok(array(&outputs.map_err(thrown)?))
        })
    }

    /// The meta-learned parameters `[P]`, in PyTorch's order.
    #[wasm_bindgen(unchecked_return_type = "Promise<Float32Array>")]
    pub fn parameters(&self) -> Promise {
        let (gpu, network) = (self.device.gpu.clone(), self.network.clone());
        future_to_promise(async move {
            let all = adapting::parameters(&gpu, &network).await.map_err(thrown)?;
            Ok(array(&all))
        })
    }

    /// The network and all that its training goes on from, as the bytes of a checkpoint: the program's own format, for
    /// `reptile eval` and `reptile train --resume` as well.
    #[wasm_bindgen(unchecked_return_type = "Promise<Uint8Array>")]
    pub fn save(&self) -> Promise {
        let network = self.network.clone();
        future_to_promise(async move {
            let bytes = frames::borrowed(&network).await.saved().await.map_err(thrown)?;
            Ok(Uint8Array::from(bytes.as_slice()).into())
        })
    }

    /// Goes on from the `bytes` of a checkpoint of the same network, or takes models that `reptile adapt` or
    /// `reptile compress` wrote, adapted from the checkpoint that was opened last. Returns how many models there are now for
    /// [`Reptile::predict`].
    #[wasm_bindgen(unchecked_return_type = "Promise<number>")]
    pub fn load(&self, bytes: Vec<u8>) -> Promise {
        let (gpu, network) = (self.device.gpu.clone(), self.network.clone());
        let (held, models) = (self.held.clone(), self.models.clone());
        future_to_promise(async move {
            match loading::load(&gpu, &network, bytes).await.map_err(thrown)? {
                Loaded::Network(own) => {
                    *frames::alone(&network).await = *own;
                    *held.borrow_mut() = None;
                    models.borrow_mut().clear();
                }
                Loaded::Models(own) => *models.borrow_mut() = own,
            }
            Ok((models.borrow().len() as f64).into())
        })
    }
}
