//! A device and the pipelines that the engine made on it.

use crate::{
    error::{Error, Result},
    kernel::{self, Reflection, caps::Caps},
    plan::Launch,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    pub(super) trouble: Arc<Mutex<Option<String>>>,
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

    /// Returns the device's first uncaptured error or its loss, if there was one. Hosts ask after every step,
    /// since a lost device is silent.
    pub fn check(&self) -> Result<()> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        trouble.map_or(Ok(()), |what| Err(Error::Device(what)))
    }

    /// Waits until all submitted work is done.
    pub fn wait(&self) -> Result<()> {
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| Error::Device(e.to_string()))?;
        self.check()
    }

    /// Records one submission into an encoder of its own and submits it.
    pub fn submit(&self, record: impl FnOnce(&mut wgpu::CommandEncoder)) {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        record(&mut encoder);
        self.queue.submit([encoder.finish()]);
    }

    /// The number of compiled pipelines.
    pub fn pipelines(&self) -> usize {
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).len()
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
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compile(&self, launch: &Launch, text: &str) -> Result<Pipeline> {
        let broken = |what: String| Error::Device(format!("{}/{}: {what}", launch.shader.stem, launch.entry));
        let reflection =
            kernel::reflect(text, launch.powers(), launch.entry, &launch.constants).map_err(broken)?;
        let pipeline = self.guarded(|device| {
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
        });
        Ok(Pipeline { pipeline: pipeline.map_err(|e| broken(e.to_string()))?, reflection })
    }

    /// Runs device calls inside error scopes, so that validation and memory errors come back as `Err`.
    pub(crate) fn guarded<T>(&self, make: impl FnOnce(&wgpu::Device) -> T) -> Result<T> {
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let made = make(&self.device);
        // Scope results are ready at once on native devices.
        let errors = [
            pollster::block_on(validation.pop()),
            pollster::block_on(memory.pop()),
            pollster::block_on(internal.pop()),
        ];
        match errors.into_iter().flatten().next() {
            Some(error) => Err(Error::Device(error.to_string())),
            None => Ok(made),
        }
    }
}

/// What tells pipelines apart.
pub(super) fn key(launch: &Launch) -> String {
    format!("{}|{:?}|{}", launch.entry, launch.constants, launch.text())
}
