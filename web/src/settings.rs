//! Objects of JavaScript as settings.

use reptile::meta::{InnerSpec, Origin, OuterSpec, TrainerSetup};
use reptile::model::{Model, ModelSpec};
use reptile::tasks::{Batches, TaskSpec};
use serde::Deserialize;
use wasm_bindgen::prelude::*;

use crate::thrown;

/// The keys of a configuration file that a page may give.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    model: ModelSpec,
    tasks: TaskSpec,
    inner: InnerSpec,
    outer: OuterSpec,
    #[serde(default = "iterations")]
    iterations: u64,
    #[serde(default)]
    seed: u64,
}

fn iterations() -> u64 {
    1000
}

/// How to adapt.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Adapting {
    #[serde(default)]
    steps: usize,
    rate: Option<f32>,
}

/// A plain object of JavaScript.
fn parsed<T: serde::de::DeserializeOwned>(object: &JsValue) -> Result<T, JsValue> {
    let text = js_sys::JSON::stringify(object)?.as_string();
    let text = text.ok_or_else(|| thrown("give an object of settings"))?;
    serde_json::from_str(&text).map_err(thrown)
}

/// Refuses keys of `given` that tasks of its kind do not have.
fn known_keys(given: &serde_json::Value, tasks: &TaskSpec) -> Result<(), JsValue> {
    let all = serde_json::to_value(tasks).map_err(thrown)?;
    let unknown = given.as_object().and_then(|own| own.keys().find(|key| all.get(key).is_none()));
    match unknown {
        Some(key) => Err(thrown(format_args!("tasks.{key}: these tasks have no such key"))),
        None => Ok(()),
    }
}

/// The setup of a training.
pub fn read(settings: JsValue) -> Result<TrainerSetup, JsValue> {
    let given: serde_json::Value = parsed(&settings)?;
    let own: Settings = serde_json::from_value(given.clone()).map_err(thrown)?;
    known_keys(&given["tasks"], &own.tasks)?;
    let model = Model::new(own.model).map_err(thrown)?;
    let [way, shots, _] = own.tasks.groups();
    let origin = match own.tasks {
        TaskSpec::Sine(spec) => Origin::Sine(spec),
        TaskSpec::Glyphs(spec) => Origin::Glyphs(spec),
        _ => return Err(thrown("tasks.kind: a page has \"sine\" and \"glyphs\"")),
    };
    let inner = own.inner;
    if inner.steps.is_some() == inner.epochs.is_some() {
        return Err(thrown("inner: give steps, or epochs"));
    }
    let steps = inner.steps(way * shots);
    let mut batches = Batches::new([way, shots], inner.batch, steps);
    (batches.replacement, batches.tail) = (inner.replacement, own.outer.tail_shots);
    let mut setup = TrainerSetup::new(&model, origin, inner, own.outer, batches);
    (setup.iterations, setup.seed) = (own.iterations, own.seed);
    Ok(setup)
}

/// Steps (0: those of the training) and rate.
pub fn adapting(options: JsValue) -> Result<(usize, Option<f32>), JsValue> {
    if options.is_undefined() || options.is_null() {
        return Ok((0, None));
    }
    let own: Adapting = parsed(&options)?;
    Ok((own.steps, own.rate))
}
