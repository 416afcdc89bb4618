//! What a device owes: results that come after a submission.

use super::health::Health;
use crate::error::{Error, Result};
use futures::{FutureExt, future::Fuse};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// A result that a device owes, such as a read-back. It is a future, and a host without a runtime may ask for
/// it once a frame by [`Promise::ready`]. It is kept while the work is submitted and done.
///
/// ```no_run
/// # use oneiro::{error::Result, gpu::{Executor, Gpu, Promise}};
/// # fn frame(gpu: &Gpu, step: &Executor, waiting: &mut Option<Promise<Vec<f32>>>) -> Result<()> {
/// // Every frame: ask for the last read-back, and begin the next one when it has come.
/// if let Some(loss) = waiting.as_mut().and_then(Promise::ready) {
///     println!("loss {}", loss?[0]);
///     *waiting = None;
/// }
/// gpu.submit(|encoder| {
///     step.record(encoder)?;
///     if waiting.is_none() {
///         *waiting = Some(step.record_read(gpu, encoder, "loss")?);
///     }
///     Ok(())
/// })
/// # }
/// ```
///
/// Natively, somebody must poll the device until the work is done: both ways of asking do. Whoever awaits a
/// promise whose work is never submitted waits for ever.
#[must_use = "a result that nobody asks for never comes"]
pub struct Promise<T> {
    owed: Fuse<Pin<Box<dyn Owed<T>>>>,
    #[cfg(not(target_arch = "wasm32"))]
    device: wgpu::Device,
}

/// A future of a result; `Send` where wgpu's are.
trait Owed<T>: Future<Output = Result<T>> + wgpu::WasmNotSend {}
impl<T, F: Future<Output = Result<T>> + wgpu::WasmNotSend> Owed<T> for F {}

impl<T: 'static> Promise<T> {
    pub(crate) fn new(
        device: &wgpu::Device,
        owed: impl Future<Output = Result<T>> + wgpu::WasmNotSend + 'static,
    ) -> Self {
        #[cfg(target_arch = "wasm32")]
        let _ = device;
        let owed: Pin<Box<dyn Owed<T>>> = Box::pin(owed);
        Self {
            owed: owed.fuse(),
            #[cfg(not(target_arch = "wasm32"))]
            device: device.clone(),
        }
    }

    /// The result, if it has come; once only. This does not block.
    pub fn ready(&mut self) -> Option<Result<T>> {
        #[cfg(not(target_arch = "wasm32"))]
        let _ = self.device.poll(wgpu::PollType::Poll);
        match self.owed.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }
}

impl<T> Future for Promise<T> {
    type Output = Result<T>;

    #[cfg(target_arch = "wasm32")]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.owed.poll_unpin(context)
    }

    /// Native devices complete nothing unless they are polled, so each poll polls the device and rests for a moment.
    /// A wait with a timeout would serve as well, but wgpu-core panics when another thread's poll comes into it.
    #[cfg(not(target_arch = "wasm32"))]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        const REST: std::time::Duration = std::time::Duration::from_micros(100);
        if let Poll::Ready(result) = self.owed.poll_unpin(context) {
            return Poll::Ready(result);
        }
        let _ = self.device.poll(wgpu::PollType::Poll);
        let result = self.owed.poll_unpin(context);
        if result.is_pending() {
            std::thread::sleep(REST);
            context.waker().wake_by_ref();
        }
        result
    }
}

/// The error of a result that does not come.
pub(super) fn broken(health: &Arc<Health>, what: &str) -> Error {
    match health.check() {
        Err(trouble) => trouble,
        Ok(()) => Error::Device(format!("{what}; its encoder was dropped without being submitted")),
    }
}
