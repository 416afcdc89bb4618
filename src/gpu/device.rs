//! A device and the pipelines that the engine made on it.

use super::{
    health::{Health, lock},
    owned::AllOwned,
};
use crate::{
    error::{Error, Result},
    kernel::{self, Reflection, caps::Caps},
    plan::Launch,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

/// A device and the pipelines that the engine made on it, one for each text, entry point and set of
/// constants.
pub struct Gpu {
    /// The device, an embedder's own or one made by [`Gpu::headless`].
    pub device: wgpu::Device,
    /// The device's queue.
    pub queue: wgpu::Queue,
    pub(super) caps: Caps,
    pub(super) pipelines: Mutex<HashMap<String, Arc<Pipeline>>>,
    pub(super) health: Arc<Health>,
    pub(super) owned: AllOwned,
    pub(super) advice: Option<String>,
}

/// A compiled entry point and its reflection.
pub(crate) struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) reflection: Reflection,
}

impl Gpu {
    /// The adapter's properties on which plans depend.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// What would make the engine faster on a host's device, in one line: useful features that the device was
    /// requested without. There is none on devices that [`Gpu::headless`] opens, and in browsers.
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    /// Returns the device's first uncaptured error or its loss, if there was one. Hosts ask after every frame,
    /// since a lost device is silent: wgpu's own calls go on as if nothing had happened.
    ///
    /// On a host's device a loss is found by asking. In a browser it is known from a read-back that fails, or
    /// from [`Gpu::note_loss`].
    pub fn check(&self) -> Result<()> {
        self.health.check()
    }

    /// Notes that the device is lost, for the device-lost callback of a host: from then on, whatever is asked
    /// of the engine is an `Err` that holds `reason`.
    pub fn note_loss(&self, reason: &str) {
        self.health.note(format!("the device was lost: {reason}"));
    }

    /// Waits until the device has judged everything that was made on it so far, and returns the first error.
    /// A browser judges shaders, pipelines and buffers late, so whoever has made executors there awaits this before
    /// the first step; natively it is ready at once.
    ///
    /// # Errors
    /// A shader that the browser refuses, with its message; memory that it does not have; a lost device.
    pub async fn settled(&self) -> Result<()> {
        self.health.settled().await
    }

    /// Waits until all submitted work is done.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&self) -> Result<()> {
        self.device
            .poll(wgpu::PollType::wait_indefinitely())
            .map_err(|e| Error::Device(super::health::one_line(&e.to_string())))?;
        self.check()
    }

    /// Records one submission into an encoder of its own and submits it.
    ///
    /// # Errors
    /// What `record` returns, of which nothing is then submitted; a lost device; a buffer that was destroyed.
    pub fn submit(&self, record: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<()>) -> Result<()> {
        self.check()?;
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        record(&mut encoder)?;
        self.hand_over(encoder)
    }

    /// Submits what was recorded. A buffer that its host destroyed meanwhile is an error.
    pub(super) fn hand_over(&self, encoder: wgpu::CommandEncoder) -> Result<()> {
        self.guarded("a submission", |_| {
            self.queue.submit([encoder.finish()]);
        })
    }

    /// The number of compiled pipelines.
    pub fn pipelines(&self) -> usize {
        self.known().len()
    }

    /// The launch's pipeline, which is compiled at its first use.
    pub(crate) fn pipeline(&self, launch: &Launch) -> Result<Arc<Pipeline>> {
        let key = key(launch);
        if let Some(known) = self.known().get(&key) {
            return Ok(known.clone());
        }
        let made = Arc::new(self.compile(launch, &launch.text())?);
        Ok(self.known().entry(key).or_insert(made).clone())
    }

    pub(super) fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Pipeline>>> {
        lock(&self.pipelines)
    }

    fn compile(&self, launch: &Launch, text: &str) -> Result<Pipeline> {
        let what = format!("{}/{}", launch.shader.stem, launch.entry);
        let reflection = kernel::reflect(text, launch.powers(), launch.entry, &launch.constants)
            .map_err(|e| Error::Device(format!("{what}: {e}")))?;
        let pipeline = self.guarded(&what, |device| {
            let label = Some(launch.shader.stem);
            let source = wgpu::ShaderSource::Wgsl(text.into());
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label,
                layout: None,
                module: &module,
                entry_point: Some(launch.entry),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &launch.constants,
                    ..Default::default()
                },
                cache: None,
            })
        })?;
        Ok(Pipeline { pipeline, reflection })
    }

    /// Runs device calls inside error scopes, so that validation and memory errors come back as `Err` that
    /// begin with `what`; in a browser they are noted, see [`Gpu::settled`].
    pub(crate) fn guarded<T>(&self, what: &str, make: impl FnOnce(&wgpu::Device) -> T) -> Result<T> {
        self.health.guarded(what, &self.device, make)
    }

    /// Makes a buffer.
    pub(super) fn buffer(&self, label: &str, size: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let desc = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        self.guarded(label, |device| device.create_buffer(&desc))
    }

    /// Refuses a host's buffer that another device made, or that is mapped. One of less than two bytes cannot be asked;
    /// no word of it is bound, read or written.
    pub(super) fn ours(&self, what: &str, buffer: &wgpu::Buffer) -> Result<()> {
        self.check()?;
        match buffer.size() < 2 || self.health.made(buffer) {
            true => Ok(()),
            false => Err(Error::State(format!(
                "{what} is mapped, or of another device; make it on `gpu.device`, and unmap it before"
            ))),
        }
    }

    /// Refuses what another Gpu made: its buffers are another device's, or carry numbers that mean other buffers here.
    pub(super) fn owns(&self, what: &str, health: &Arc<Health>) -> Result<()> {
        match Arc::ptr_eq(&self.health, health) {
            true => self.health.noted(),
            false => Err(Error::State(format!("{what} was made on another Gpu; make all on one"))),
        }
    }
}

/// The usage of the engine's own buffers.
pub(super) const STORAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_DST).union(wgpu::BufferUsages::COPY_SRC);

/// The key of a launch's pipeline: two launches with one key run one pipeline.
pub(super) fn key(launch: &Launch) -> String {
    format!("{}|{:?}|{}", launch.entry, launch.constants, launch.text())
}
