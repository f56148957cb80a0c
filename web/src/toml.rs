//! TOML, by a library of JavaScript's: a tenth of what it would add to the module.

use wasm_bindgen::prelude::*;

use crate::thrown;

#[wasm_bindgen(raw_module = "./smol-toml/index.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn parse(text: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch)]
    fn stringify(object: &JsValue) -> Result<String, JsValue>;
}

/// The text of `value`.
pub fn from_json(value: &serde_json::Value) -> Result<String, JsValue> {
    let text = serde_json::to_string(value).map_err(thrown)?;
    stringify(&js_sys::JSON::parse(&text)?)
}

/// What `text` says.
pub fn to_json(text: &str) -> Result<serde_json::Value, JsValue> {
    let text = js_sys::JSON::stringify(&parse(text)?)?;
    serde_json::from_str(&String::from(text)).map_err(thrown)
}
