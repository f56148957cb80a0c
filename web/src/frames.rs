//! Waiting without blocking the page.

use std::cell::{Ref, RefCell, RefMut};

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// Until the next frame is to be drawn; where the page is hidden and none is, for a moment.
pub async fn next() -> Result<(), JsValue> {
    let global = js_sys::global();
    let promise = Promise::new(&mut |resolve, _| {
        let hidden = Reflect::get(&global, &"document".into())
            .and_then(|document| Reflect::get(&document, &"hidden".into()))
            .is_ok_and(|hidden| hidden.is_truthy());
        let name = if hidden { "setTimeout" } else { "requestAnimationFrame" };
        let later = Reflect::get(&global, &name.into()).and_then(|it| it.dyn_into::<Function>());
        // A worker has neither document nor frames.
        let later = later.or_else(|_| Reflect::get(&global, &"setTimeout".into())?.dyn_into());
        if let Ok(later) = later {
            let _ = later.call1(&global, &resolve);
        }
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
