//! Rooms are made beside the window: on a thread natively, between frames in a browser.

use oneiro::{
    error::{Error, Result},
    gpu::wgpu::WasmNotSend,
};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

/// How far the making is: what is made, and which share of it is ready, from 0 to 1.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<(String, f32)>>);

impl Progress {
    /// Says what is made next.
    pub(crate) fn begin(&self, what: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (what.to_owned(), 0.0);
    }

    /// Says which share of it is ready.
    pub(crate) fn share(&self, share: f32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = share;
    }

    /// Returns the name of what is made, and the share of it that is ready.
    pub(crate) fn get(&self) -> (String, f32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A value that is being made.
pub(crate) struct Making<T> {
    pub(crate) progress: Progress,
    result: mpsc::Receiver<Result<T>>,
}

impl<T: WasmNotSend + 'static> Making<T> {
    /// Begins the making. Natively the future runs on a thread of its own, where it may block.
    pub(crate) fn new<F: Future<Output = Result<T>> + 'static>(
        make: impl FnOnce(Progress) -> F + WasmNotSend + 'static,
    ) -> Self {
        let progress = Progress::default();
        let (send, result) = mpsc::channel();
        let given = progress.clone();
        #[cfg(not(target_arch = "wasm32"))]
        std::thread::spawn(move || send.send(pollster::block_on(make(given))));
        #[cfg(target_arch = "wasm32")]
        wasm_bindgen_futures::spawn_local(async move { send.send(make(given).await).unwrap_or_default() });
        Self { progress, result }
    }

    /// The value, if it is made; once only.
    pub(crate) fn ready(&self) -> Option<Result<T>> {
        match self.result.try_recv() {
            Ok(result) => Some(result),
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => {
                let (what, _) = self.progress.get();
                Some(Err(Error::new(format!(
                    "{what}: the program made a mistake there, which it tells on the terminal"
                ))))
            }
        }
    }
}

/// Lets a browser draw a frame; natively there is nothing to wait for.
pub(crate) async fn breathe() {
    #[cfg(target_arch = "wasm32")]
    crate::web::next_turn().await;
}
