//! The visitor's GPU.

use js_sys::{Function, Promise, Reflect};
use reptile::gpu::{AdapterChoice, Gpu, GpuOptions};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::thrown;

/// A device, and what is known of it.
#[derive(Clone)]
pub struct Device {
    pub gpu: Gpu,
    /// Which it is, as far as the browser tells.
    pub name: String,
    /// Is fulfilled when it is lost.
    pub lost: Promise,
}

impl Device {
    /// Asks the browser for one.
    pub async fn request() -> Result<Self, JsValue> {
        let gpu = Gpu::request_async(&AdapterChoice::default(), GpuOptions::default())
            .await
            .map_err(|error| thrown(format_args!("{error}: a browser with WebGPU is needed")))?;
        let name = match gpu.info().name.as_str() {
            "" => name().await.unwrap_or_default(),
            name => name.to_owned(),
        };
        let lost = Promise::new(&mut |resolve, _| {
            gpu.device().set_device_lost_callback(move |_, message| {
                let _ = resolve.call1(&JsValue::NULL, &message.into());
            });
        });
        Ok(Self { gpu, name, lost })
    }
}

/// Maker and architecture of the browser's adapter; the library is told its description alone, which is often empty.
async fn name() -> Result<String, JsValue> {
    let part = |of: &JsValue, name: &str| Reflect::get(of, &name.into());
    let gpu = part(&part(&js_sys::global(), "navigator")?, "gpu")?;
    let request: Function = part(&gpu, "requestAdapter")?.dyn_into()?;
    let adapter = JsFuture::from(request.call0(&gpu)?.dyn_into::<Promise>()?).await?;
    let info = part(&adapter, "info")?;
    let words = ["vendor", "architecture"].map(|name| part(&info, name).ok()?.as_string());
    let words: Vec<String> = words.into_iter().flatten().filter(|word| !word.is_empty()).collect();
    Ok(words.join(" "))
}
