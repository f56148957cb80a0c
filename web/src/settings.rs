//! Objects of JavaScript as settings.

use js_sys::{Reflect, Uint8Array};
use reptile::config::Config;
use reptile::tasks::TaskSpec;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use wasm_bindgen::prelude::*;

use crate::{thrown, toml};

/// What a network is made from.
pub enum Made {
    /// Settings, and their text.
    From(Box<Config>, String),
    /// The bytes of a checkpoint.
    Checkpoint(Vec<u8>),
}

/// How to adapt.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapting {
    /// Inner steps; those of `eval` by default.
    pub steps: Option<usize>,
    /// Inner rate; that of the training by default.
    pub rate: Option<f32>,
    /// Classes, where they are fewer than the network's outputs.
    pub classes: Option<usize>,
}

/// Which network is to predict.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predicting {
    /// One of those that were loaded, from 0 on; else the one that the last `adapt` made.
    pub model: Option<usize>,
}

/// A plain object of JavaScript; nothing at all is its default.
pub fn options<T: Default + DeserializeOwned>(object: &JsValue) -> Result<T, JsValue> {
    if object.is_undefined() || object.is_null() {
        return Ok(T::default());
    }
    parsed(object)
}

fn parsed<T: DeserializeOwned>(object: &JsValue) -> Result<T, JsValue> {
    let text = js_sys::JSON::stringify(object)?.as_string();
    let text = text.ok_or_else(|| thrown("give an object of settings"))?;
    serde_json::from_str(&text).map_err(thrown)
}

/// A checkpoint, where there is one, or the keys of a configuration file.
pub fn read(settings: &JsValue) -> Result<Made, JsValue> {
    if let Ok(bytes) = Reflect::get(settings, &"checkpoint".into())
        && !bytes.is_undefined()
    {
        let bytes: Uint8Array = bytes
            .dyn_into()
            .map_err(|_| thrown("checkpoint: give the bytes of a file as a Uint8Array"))?;
        return Ok(Made::Checkpoint(bytes.to_vec()));
    }
    let mut given: Map<String, Value> = parsed(settings)?;
    given.entry("iterations").or_insert(1000.into());
    if let (None, Some(inner)) = (given.get("eval"), given.get("inner")) {
        let batch = inner.get("batch").cloned().unwrap_or(1.into());
        let steps = inner.get("steps").cloned().unwrap_or(32.into());
        given.insert("eval".into(), serde_json::json!({ "steps": steps, "batch": batch }));
    }
    let given = Value::Object(given);
    let config = configuration(&given)?;
    Ok(Made::From(Box::new(config), toml::from_json(&given)?))
}

/// A configuration; keys that there are not are refused.
pub fn configuration(given: &Value) -> Result<Config, JsValue> {
    let config = Config::deserialize(given).map_err(thrown)?;
    known_keys(&given["tasks"], &config.tasks)?;
    Ok(config)
}

/// Refuses keys of `given` that tasks of its kind do not have.
fn known_keys(given: &Value, tasks: &TaskSpec) -> Result<(), JsValue> {
    let all = serde_json::to_value(tasks).map_err(thrown)?;
    let unknown = given.as_object().and_then(|own| own.keys().find(|key| all.get(key).is_none()));
    match unknown {
        Some(key) => Err(thrown(format_args!("tasks.{key}: these tasks have no such key"))),
        None => Ok(()),
    }
}
