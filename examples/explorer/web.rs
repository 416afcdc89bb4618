//! The page: the application in a canvas.

use crate::{Asked, Explorer, ROOMS};
use eframe::egui;
use std::panic;
use wasm_bindgen::{JsCast as _, prelude::*};
use wasm_bindgen_futures::JsFuture;

/// Opens the application in the page's canvas `explorer`. The page's address may ask for a room and for a test that
/// stops at given steps and posts its report to `result`, as in `?room=vae&stops=8,40`. By `?lose=20` it asks that the
/// device is destroyed after a step, and by `?panic` that the first frame panics; the page's script posts what is then
/// said.
///
/// # Errors
/// A page without the canvas; a browser that has no WebGPU.
#[wasm_bindgen]
#[expect(unreachable_pub, reason = "the macro exports what is public to the page's script")]
pub async fn open() -> Result<(), JsValue> {
    let window = web_sys::window().ok_or("no window")?;
    let canvas = window.document().and_then(|page| page.get_element_by_id("explorer")).ok_or("no canvas")?;
    let search = window.location().search()?;
    let mut asked = asked(&search);
    if !asked.stops.is_empty() {
        asked.report = Some(Box::new(|report| post(&report.map_or_else(|e| e, |report| report.to_string()))));
    }
    let options = eframe::WebOptions { wgpu_options: crate::configuration(None), ..Default::default() };
    let app: eframe::AppCreator<'_> = match &search[..] {
        "?panic" => Box::new(|_| Ok(Box::new(Failing))),
        _ => Box::new(|window| Ok(Box::new(Explorer::new(window, asked)?))),
    };
    // eframe's hook writes to the browser's console, and then calls this one.
    panic::set_hook(Box::new(tell_panic));
    eframe::WebRunner::new().start(canvas.dyn_into()?, options, app).await
}

/// The error of a shader that this browser refuses, for tests, or throws why there is none.
#[wasm_bindgen]
#[expect(unreachable_pub, reason = "the macro exports what is public to the page's script")]
pub async fn refused() -> Result<String, String> {
    crate::refused::line().await.map_err(|e| e.to_string())
}

/// What the part of the address behind the question mark asks for.
fn asked(search: &str) -> Asked {
    let mut asked = Asked::default();
    for (name, value) in search.trim_start_matches('?').split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "room" => asked.room = ROOMS.iter().position(|room| *room == value).unwrap_or_default(),
            "lose" => asked.lose = value.parse().ok(),
            "stops" => asked.stops = value.split(',').filter_map(|step| step.parse().ok()).collect(),
            _ => {}
        }
    }
    asked
}

/// Posts a test's report to the server that the page came from.
fn post(report: &str) {
    let options = web_sys::RequestInit::new();
    options.set_method("POST");
    options.set_body(&report.into());
    if let Some(window) = web_sys::window() {
        let _ = window.fetch_with_str_and_init("result", &options);
    }
}

/// For tests: an application that panics in its first frame.
struct Failing;

impl eframe::App for Failing {
    fn ui(&mut self, _: &mut egui::Ui, _: &mut eframe::Frame) {
        panic!("a test asked for it")
    }
}

/// Says in place of the canvas that the device is lost, with a way on.
pub(crate) fn tell_loss(reason: &str) {
    let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    tell(&format!("The graphics device was lost{reason}. "));
}

/// Says in place of the canvas, which is drawn no more, that the program has panicked, with a way on.
fn tell_panic(what: &panic::PanicHookInfo<'_>) {
    let message = what.payload_as_str().unwrap_or("no message");
    let at = what.location().map_or(String::new(), |at| format!(", {}:{}", at.file(), at.line()));
    tell(&format!("The page made a mistake and stands still ({message}{at}). "));
}

/// Says in place of the canvas what happened. The first such sentence stays: egui may panic over a device that is lost.
fn tell(what: &str) {
    let Some(page) = web_sys::window().and_then(|window| window.document()) else { return };
    if let (Some(told), Some(canvas)) = (page.get_element_by_id("told"), page.get_element_by_id("explorer"))
        && !canvas.has_attribute("hidden")
    {
        told.set_text_content(Some(what));
        let _ = told.insert_adjacent_html(
            "beforeend",
            "<a href=\"\">Load the page again</a>; saved weights can be dropped on it.",
        );
        let _ = canvas.set_attribute("hidden", "");
        let _ = told.remove_attribute("hidden");
    }
}

/// Hands a file to the browser, which keeps it among its downloads.
pub(crate) fn download(name: &str, bytes: &[u8]) -> Result<(), JsValue> {
    let parts = web_sys::js_sys::Array::of1(&web_sys::js_sys::Uint8Array::from(bytes));
    let address =
        web_sys::Url::create_object_url_with_blob(&web_sys::Blob::new_with_u8_array_sequence(&parts)?)?;
    let page = web_sys::window().and_then(|window| window.document()).ok_or("no page")?;
    let link: web_sys::HtmlAnchorElement = page.create_element("a")?.dyn_into()?;
    link.set_href(&address);
    link.set_download(name);
    link.click();
    web_sys::Url::revoke_object_url(&address)
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
