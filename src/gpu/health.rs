//! Whether a device still serves. Creation errors are caught in scopes, a loss is noticed by asking; what is
//! known is shared by all that was made on the device, and tells them from what another device made.

use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// The first trouble of a device, which its callbacks note.
#[derive(Default)]
pub(super) struct Trouble {
    what: Mutex<Option<String>>,
    /// Whether there was any: a look that takes no lock.
    any: AtomicBool,
}

impl Trouble {
    /// Notes trouble, unless there was some before.
    pub(super) fn note(&self, what: String) {
        lock(&self.what).get_or_insert(what);
        self.any.store(true, Ordering::Release);
    }
}

/// The state of a device, which its `Gpu` shares with everything that was made on it.
pub(super) struct Health {
    pub(super) trouble: Arc<Trouble>,
    /// The device, which is asked whether it is lost.
    #[cfg(not(target_arch = "wasm32"))]
    device: wgpu::Device,
    /// Held while a buffer is asked whose it is.
    #[cfg(not(target_arch = "wasm32"))]
    asking: Mutex<()>,
    /// The results of error scopes, which a browser gives later.
    #[cfg(target_arch = "wasm32")]
    scopes: Mutex<Vec<(String, Judgement)>>,
}

/// A future of an error scope; `Send` where wgpu's are.
#[cfg(target_arch = "wasm32")]
trait Scope: Future<Output = Option<wgpu::Error>> + wgpu::WasmNotSend {}
#[cfg(target_arch = "wasm32")]
impl<F: Future<Output = Option<wgpu::Error>> + wgpu::WasmNotSend> Scope for F {}

#[cfg(target_arch = "wasm32")]
type Judgement = std::pin::Pin<Box<dyn Scope>>;

/// Locks a mutex. A panic of another holder leaves none of the engine's data half written.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A text in one line.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// This says in one line what an error is about, and then its text.
fn line(what: &str, error: &wgpu::Error) -> String {
    format!("{what}: {}", one_line(&error.to_string()))
}

impl Health {
    pub(super) fn new(device: &wgpu::Device) -> Arc<Self> {
        #[cfg(target_arch = "wasm32")]
        let _ = device;
        Arc::new(Self {
            trouble: Arc::default(),
            #[cfg(not(target_arch = "wasm32"))]
            device: device.clone(),
            #[cfg(not(target_arch = "wasm32"))]
            asking: Mutex::default(),
            #[cfg(target_arch = "wasm32")]
            scopes: Mutex::default(),
        })
    }

    pub(super) fn note(&self, what: String) {
        self.trouble.note(what);
    }

    /// The trouble that was noted, by a look that neither locks nor asks the device.
    pub(super) fn noted(&self) -> Result<()> {
        match self.trouble.any.load(Ordering::Acquire) {
            false => Ok(()),
            true => Err(Error::Device(lock(&self.trouble.what).clone().unwrap_or_default())),
        }
    }

    /// The trouble that was noted, or that is found by asking.
    pub(super) fn check(&self) -> Result<()> {
        self.ask();
        self.noted()
    }

    /// Asks the device whether it is lost. A device that serves refuses a query set without queries; a lost one says
    /// nothing, since wgpu tells a loss to the device-lost callback alone. The question makes nothing, so that any
    /// threads may ask while others wait for the device.
    #[cfg(not(target_arch = "wasm32"))]
    fn ask(&self) {
        if self.noted().is_err() {
            return;
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let ty = wgpu::QueryType::Occlusion;
        let _ = self.device.create_query_set(&wgpu::QuerySetDescriptor { label: None, ty, count: 0 });
        if pollster::block_on(scope.pop()).is_none() {
            // A callback that knows the reason comes with the next poll.
            let _ = self.device.poll(wgpu::PollType::Poll);
            self.note("the device was lost".into());
        }
    }

    /// Whether the device made a buffer, which is not mapped. A buffer's number does not tell, as another instance
    /// counts from the same beginning: wgpu would panic over such a buffer, or take its own of that number. But a
    /// mapping that begins within a word is refused before it does anything, and that is told to the device which made
    /// the buffer. One of a stranger's may have nobody who hears it, and then wgpu panics: it is caught.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn made(&self, buffer: &wgpu::Buffer) -> bool {
        let _one_at_a_time = lock(&self.asking);
        let told = |ask: &dyn Fn()| {
            let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
            drop(catch_unwind(AssertUnwindSafe(ask)));
            pollster::block_on(scope.pop()).is_some()
        };
        let made = told(&|| buffer.slice(1..2).map_async(wgpu::MapMode::Read, |_| ()));
        // wgpu remembers the range all the same, until this call, which does nothing else. A stranger's buffer is left
        // alone, since its owner may have mapped it.
        made && told(&|| buffer.unmap())
    }

    /// A browser tells strangers by itself, in an error scope.
    #[cfg(target_arch = "wasm32")]
    pub(super) fn made(&self, _: &wgpu::Buffer) -> bool {
        true
    }

    /// Looks at those error scopes whose results have come.
    #[cfg(target_arch = "wasm32")]
    fn ask(&self) {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        lock(&self.scopes).retain_mut(|(what, scope)| match scope.as_mut().poll(&mut context) {
            std::task::Poll::Pending => true,
            std::task::Poll::Ready(error) => {
                error.iter().for_each(|error| self.note(line(what, error)));
                false
            }
        });
    }

    /// Waits for the results of all error scopes so far.
    pub(super) async fn settled(&self) -> Result<()> {
        #[cfg(target_arch = "wasm32")]
        {
            let scopes = std::mem::take(&mut *lock(&self.scopes));
            for (what, scope) in scopes {
                scope.await.iter().for_each(|error| self.note(line(&what, error)));
            }
        }
        self.check()
    }

    /// Runs device calls inside error scopes. An error comes back as `Err`, natively at once; in a browser it
    /// is noted when it comes.
    pub(super) fn guarded<T>(
        &self,
        what: &str,
        device: &wgpu::Device,
        make: impl FnOnce(&wgpu::Device) -> T,
    ) -> Result<T> {
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let made = make(device);
        #[cfg(not(target_arch = "wasm32"))]
        {
            // Scope results are ready at once on native devices.
            let errors = [validation.pop(), memory.pop(), internal.pop()].map(pollster::block_on);
            if let Some(error) = errors.iter().flatten().next() {
                return Err(Error::Device(line(what, error)));
            }
        }
        #[cfg(target_arch = "wasm32")]
        {
            let scopes: [Judgement; 3] =
                [Box::pin(validation.pop()), Box::pin(memory.pop()), Box::pin(internal.pop())];
            lock(&self.scopes).extend(scopes.map(|scope| (what.to_string(), scope)));
        }
        Ok(made)
    }
}
