//! Launches with their pipelines and bind groups, ready to be recorded.

use super::{Gpu, Pipeline};
use crate::{
    error::{Error, Result},
    plan::{Launch, Place},
};
use std::sync::Arc;

/// A launch with its pipeline and bindings.
pub(super) struct Bound {
    pipeline: Arc<Pipeline>,
    group: wgpu::BindGroup,
    grid: [u32; 3],
}

impl Bound {
    pub(super) fn new(pipeline: Arc<Pipeline>, group: wgpu::BindGroup, grid: [u32; 3]) -> Self {
        Self { pipeline, group, grid }
    }

    pub(super) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(self.grid[0], self.grid[1], self.grid[2]);
    }
}

/// The launches being made ready: their `dims` are collected into one uniform buffer, then bind groups are
/// made.
pub(super) struct Builder<'a> {
    gpu: &'a Gpu,
    uniforms: Vec<u8>,
    /// Where each launch's `dims` begin.
    pub(super) offsets: Vec<u64>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(gpu: &'a Gpu) -> Self {
        Self { gpu, uniforms: vec![], offsets: vec![] }
    }

    /// Makes a single launch ready.
    pub(super) fn one(
        gpu: &'a Gpu,
        launch: &Launch,
        locate: impl Fn(&Place) -> Result<(wgpu::Buffer, u64)>,
    ) -> Result<Bound> {
        let mut builder = Self::new(gpu);
        let pipeline = builder.prepare(launch)?;
        let group = builder.group(launch, &pipeline, &builder.uniform_buffer()?, 0, &locate)?;
        Ok(Bound { pipeline, group, grid: launch.grid })
    }

    pub(super) fn prepare(&mut self, launch: &Launch) -> Result<Arc<Pipeline>> {
        let pipeline = self.gpu.pipeline(launch)?;
        let reflection = &pipeline.reflection;
        let start = self.uniforms.len();
        self.offsets.push(start as u64);
        self.uniforms.resize(start + (reflection.dims_size as usize).next_multiple_of(256), 0);
        for (name, value) in &launch.dims {
            // A member that the specialised entry point does not read may be absent with its whole struct.
            let Some(&at) = reflection.dims.get(name) else {
                if reflection.dims_size == 0 {
                    continue;
                }
                return Err(Error::Device(format!(
                    "{}/{}: dims has no member `{name}`",
                    launch.shader.stem, launch.entry
                )));
            };
            let at = start + at as usize;
            self.uniforms[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        Ok(pipeline)
    }

    pub(super) fn uniform_buffer(&self) -> Result<wgpu::Buffer> {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = self.gpu.buffer("dims", self.uniforms.len().max(256) as u64, usage)?;
        self.gpu.write(&buffer, 0, &self.uniforms)?;
        Ok(buffer)
    }

    pub(super) fn group(
        &self,
        launch: &Launch,
        pipeline: &Pipeline,
        dims: &wgpu::Buffer,
        offset: u64,
        locate: &impl Fn(&Place) -> Result<(wgpu::Buffer, u64)>,
    ) -> Result<wgpu::BindGroup> {
        let mut ranges = vec![];
        for binding in &pipeline.reflection.bindings {
            let (buffer, offset, size) = if binding.uniform {
                (dims.clone(), offset, u64::from(pipeline.reflection.dims_size))
            } else {
                let place =
                    launch.bindings.iter().find(|(name, _)| *name == binding.name).map(|(_, place)| place);
                let place = place.ok_or_else(|| {
                    Error::Device(format!(
                        "{}/{}: nothing is bound to `{}`",
                        launch.shader.stem, launch.entry, binding.name
                    ))
                })?;
                let (buffer, offset) = locate(place)?;
                (buffer, offset, place.bytes)
            };
            ranges.push((binding.index, buffer, offset, size));
        }
        // Another plan of the State may have put two variables side by side.
        let writes = |i: usize| pipeline.reflection.bindings[i].writes;
        let apart = |i: usize, j: usize| {
            let ((_, _, a, n), (_, _, b, m)) = (&ranges[i], &ranges[j]);
            writes(i) && writes(j) && (a + n <= *b || b + m <= *a)
        };
        let clash =
            |i: usize, j: usize| ranges[i].1 == ranges[j].1 && (writes(i) || writes(j)) && !apart(i, j);
        if (0..ranges.len()).any(|i| (0..i).any(|j| clash(i, j))) {
            return Err(Error::State(format!(
                "{} ({}) reads and writes one buffer: another plan keeps both values in one optimizer group; assign \
                 through an optimizer of that name, or add the group to this plan",
                launch.label, launch.at
            )));
        }
        let entries: Vec<_> = ranges
            .iter()
            .map(|(binding, buffer, offset, size)| wgpu::BindGroupEntry {
                binding: *binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset: *offset,
                    size: wgpu::BufferSize::new(*size),
                }),
            })
            .collect();
        self.gpu.guarded(&format!("{} ({})", launch.label, launch.at), |device| {
            let layout = &pipeline.pipeline.get_bind_group_layout(0);
            let label = Some(launch.shader.stem);
            device.create_bind_group(&wgpu::BindGroupDescriptor { label, layout, entries: &entries })
        })
    }
}
