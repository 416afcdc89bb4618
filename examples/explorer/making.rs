//! Rooms are made beside the window: on a thread natively, between frames in a browser.

use oneiro::{
    error::{Error, Result},
    gpu::wgpu::WasmNotSend,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

/// How far the making is: what is made, and which share of the whole is ready, from 0 to 1.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<Stand>>);

#[derive(Clone, Default)]
struct Stand {
    what: String,
    /// The pieces that are ready, the number of all, and the share of the next one.
    ready: usize,
    pieces: usize,
    share: f32,
}

impl Progress {
    fn stand(&self) -> MutexGuard<'_, Stand> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says of how many pieces the whole is: executors that are made, and first steps.
    pub(crate) fn pieces(&self, pieces: usize) {
        self.stand().pieces = pieces;
    }

    /// Says what is made next.
    pub(crate) fn begin(&self, what: &str) {
        self.stand().what = what.to_owned();
    }

    /// Says which share of the piece is ready.
    pub(crate) fn share(&self, share: f32) {
        self.stand().share = share;
    }

    /// Says that a piece is ready.
    pub(crate) fn ready(&self) {
        let mut stand = self.stand();
        (stand.ready, stand.share) = (stand.ready + 1, 0.0);
    }

    /// Returns the name of what is made, and the share of the whole that is ready.
    pub(crate) fn get(&self) -> (String, f32) {
        let Stand { what, ready, pieces, share } = self.stand().clone();
        (what, ((ready as f32 + share) / pieces.max(1) as f32).min(1.0))
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

#[cfg(test)]
mod tests {
    use super::Progress;

    #[test]
    fn one_bar_goes_from_the_first_piece_to_the_last() {
        let progress = Progress::default();
        progress.pieces(4);
        let mut seen = vec![];
        for what in ["kernels", "kernels", "a step", "a step"] {
            progress.begin(what);
            for share in [0.0, 0.5, 1.0] {
                progress.share(share);
                seen.push(progress.get().1);
            }
            progress.ready();
        }
        assert!(seen.is_sorted() && seen[0] == 0.0 && seen[4] == 0.375, "{seen:?}");
        assert_eq!(progress.get(), ("a step".to_owned(), 1.0));
    }
}
