//! The page: the application in a canvas.

use crate::{Asked, Explorer, ROOMS};
use wasm_bindgen::{JsCast as _, prelude::*};
use wasm_bindgen_futures::JsFuture;

/// Opens the application in the page's canvas `explorer`. The page's address may ask for a room and for a number of
/// steps, as in `?room=vae&steps=500`.
///
/// # Errors
/// A page without the canvas; a browser that has no WebGPU.
#[wasm_bindgen]
#[expect(unreachable_pub, reason = "the macro exports what is public to the page's script")]
pub async fn open() -> Result<(), JsValue> {
    let window = web_sys::window().ok_or("no window")?;
    let canvas = window.document().and_then(|page| page.get_element_by_id("explorer")).ok_or("no canvas")?;
    let asked = asked(&window.location().search()?);
    let options = eframe::WebOptions { wgpu_options: crate::configuration(), ..Default::default() };
    let app: eframe::AppCreator<'_> = Box::new(|context| {
        let state = context.wgpu_render_state.clone().ok_or("this browser has no WebGPU")?;
        Ok(Box::new(Explorer::new(state, asked)))
    });
    eframe::WebRunner::new().start(canvas.dyn_into()?, options, app).await
}

/// What the part of the address behind the question mark asks for.
fn asked(search: &str) -> Asked {
    let mut asked = Asked::default();
    for (name, value) in search.trim_start_matches('?').split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "room" => asked.room = ROOMS.iter().position(|room| *room == value).unwrap_or_default(),
            "steps" => asked.steps = value.parse().ok(),
            _ => {}
        }
    }
    asked
}

/// Lets the browser draw a frame.
pub(crate) async fn next_turn() {
    let turn = web_sys::js_sys::Promise::new(&mut |done, _| {
        if let Some(window) = web_sys::window() {
            let _ = window.set_timeout_with_callback(&done);
        }
    });
    let _ = JsFuture::from(turn).await;
}
