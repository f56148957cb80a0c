//! Waiting without blocking the page.

use std::cell::{Ref, RefCell, RefMut};

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// Milliseconds after which a frame that was to be drawn is not waited for any more.
const LATEST: f64 = 250.0;

/// Until the next frame is to be drawn; where the page is hidden and none is, for a moment.
pub async fn next() -> Result<(), JsValue> {
    let global = js_sys::global();
    let promise = Promise::new(&mut |resolve, _| {
        let hidden = Reflect::get(&global, &"document".into())
            .and_then(|document| Reflect::get(&document, &"hidden".into()))
            .is_ok_and(|hidden| hidden.is_truthy());
        let call = |name: &str, milliseconds: f64| {
            let later: Function = Reflect::get(&global, &name.into())?.dyn_into()?;
            later.call2(&global, &resolve, &milliseconds.into())
        };
        // A worker has neither document nor frames, and a page may be hidden before the frame comes.
        let framed = !hidden && call("requestAnimationFrame", 0.0).is_ok();
        let _ = call("setTimeout", if framed { LATEST } else { 0.0 });
    });
    JsFuture::from(promise).await.map(|_| ())
}

/// `cell`, once nobody changes it.
pub async fn borrowed<T>(cell: &RefCell<T>) -> Ref<'_, T> {
    loop {
        if let Ok(own) = cell.try_borrow() {
            return own;
        }
        let _ = next().await;
    }
}

/// `cell` to change, once nobody uses it.
pub async fn alone<T>(cell: &RefCell<T>) -> RefMut<'_, T> {
    loop {
        if let Ok(own) = cell.try_borrow_mut() {
            return own;
        }
        let _ = next().await;
    }
}
