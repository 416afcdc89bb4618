//! A plan made ready on a device. Pipelines, buffers and bind groups exist once, and `record` is a for-loop
//! that neither allocates, submits, waits nor touches the queue.

use super::{Gpu, Pipeline, State};
use crate::{
    error::{Error, Result},
    graph::shape::{DType, Type},
    plan::{Buffer, Constant, Launch, Place, Plan},
};
use std::{collections::BTreeMap, sync::Arc};

/// A launch with its pipeline and bindings.
pub(super) struct Bound {
    pipeline: Arc<Pipeline>,
    group: wgpu::BindGroup,
    grid: [u32; 3],
}

impl Bound {
    pub(super) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(self.grid[0], self.grid[1], self.grid[2]);
    }
}

/// A named input or output: its type, buffer and range.
struct Port {
    ty: Type,
    buffer: wgpu::Buffer,
    offset: u64,
}

/// A plan that is ready to run on a device.
pub struct Executor {
    launches: Vec<Bound>,
    labels: Vec<String>,
    /// The user's line of each launch, and the f32 ranges that the launch writes.
    written: Vec<(String, Vec<(wgpu::Buffer, Place)>)>,
    inputs: BTreeMap<String, Port>,
    outputs: BTreeMap<String, Port>,
    slots: Vec<wgpu::Buffer>,
}

impl Executor {
    /// Makes a plan ready on the State that holds its variables. `host` binds inputs to the host's own
    /// buffers, which have the usage `STORAGE` and at least [`Type::bytes`]; the other inputs get buffers
    /// that [`Executor::write`] fills.
    ///
    /// # Errors
    /// A State that was not made for the plan, inputs that do not fit, what the device refuses.
    pub fn new(gpu: &Gpu, plan: &Plan, state: &State, host: &[(&str, &wgpu::Buffer)]) -> Result<Self> {
        let mut inputs = BTreeMap::new();
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let make = |label: &str, size| {
            gpu.guarded(|d| {
                d.create_buffer(&wgpu::BufferDescriptor {
                    label: Some(label),
                    size,
                    usage,
                    mapped_at_creation: false,
                })
            })
        };
        if let Some((name, _)) = host.iter().find(|(name, _)| !plan.inputs.iter().any(|(n, _)| n == name)) {
            return Err(Error::State(format!("the plan has no input `{name}`")));
        }
        for (name, ty) in &plan.inputs {
            let buffer = match host.iter().find(|(n, _)| n == name) {
                Some((_, buffer)) if buffer.size() < ty.bytes() => {
                    return Err(Error::State(format!(
                        "input `{name}` needs {} bytes, the bound buffer has {}",
                        ty.bytes(),
                        buffer.size()
                    )));
                }
                Some((_, buffer)) => (*buffer).clone(),
                None => make(name, ty.bytes())?,
            };
            inputs.insert(name.clone(), Port { ty: ty.clone(), buffer, offset: 0 });
        }
        let slots = plan
            .slots
            .iter()
            .enumerate()
            .map(|(i, &bytes)| make(&format!("slot {i}"), bytes))
            .collect::<Result<Vec<_>>>()?;
        let filled = |c: &Constant| {
            let buffer = make("constant", c.bytes)?;
            gpu.write(&buffer, 0, bytemuck::cast_slice(&vec![c.value; c.bytes as usize / 4]));
            Ok(buffer)
        };
        let constants = plan.constants.iter().map(filled).collect::<Result<Vec<_>>>()?;
        let locate = |place: &Place| -> Result<(wgpu::Buffer, u64)> {
            Ok(match place.buffer {
                Buffer::Slot(i) => (slots[i].clone(), place.offset),
                Buffer::Constant(i) => (constants[i].clone(), place.offset),
                Buffer::Input(i) => (inputs[&plan.inputs[i].0].buffer.clone(), place.offset),
                buffer => {
                    let (buffer, base) = state.locate(plan, buffer)?;
                    (buffer.clone(), base + place.offset)
                }
            })
        };
        let mut builder = Builder { gpu, uniforms: vec![], offsets: vec![] };
        let pipelines = plan.launches.iter().map(|l| builder.prepare(l)).collect::<Result<Vec<_>>>()?;
        let dims = builder.uniform_buffer()?;
        let mut launches = vec![];
        for (i, (launch, pipeline)) in plan.launches.iter().zip(pipelines).enumerate() {
            let group = builder.group(launch, &pipeline, &dims, builder.offsets[i], &locate)?;
            launches.push(Bound { pipeline, group, grid: launch.grid });
        }
        let mut outputs = BTreeMap::new();
        for output in &plan.outputs {
            let (buffer, offset) = locate(&output.place)?;
            outputs.insert(output.name.clone(), Port { ty: output.ty.clone(), buffer, offset });
        }
        let labels = plan.launches.iter().map(|l| l.label.clone()).collect();
        let mut written = vec![];
        for launch in &plan.launches {
            let places = launch
                .bindings
                .iter()
                .filter(|(name, _)| launch.dtype == DType::F32 && launch.writes.contains(name));
            let ranges = places
                .map(|(_, place)| locate(place).map(|(buffer, offset)| (buffer, Place { offset, ..*place })));
            written.push((launch.at.clone(), ranges.collect::<Result<_>>()?));
        }
        Ok(Self { launches, labels, written, inputs, outputs, slots })
    }

    /// Records one step as one compute pass.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        self.launches.iter().for_each(|launch| launch.record(&mut pass));
    }

    /// The launches in the order in which a step runs them.
    pub(super) fn launches(&self) -> &[Bound] {
        &self.launches
    }

    /// Records one step, submits it and does not wait. Hosts that submit many steps at once use
    /// [`Executor::record`].
    pub fn step(&self, gpu: &Gpu) {
        gpu.submit(|encoder| self.record(encoder));
    }

    /// Runs one step launch by launch and names the first f32 value that holds a NaN or an infinity, if there
    /// is one: a variable before the step, or what a launch wrote. Values are judged by their bits, since
    /// drivers' comparisons hide a NaN.
    pub fn first_bad(&self, gpu: &Gpu, state: &State) -> Result<Option<String>> {
        let bad = |words: Vec<u32>| words.into_iter().any(|w| w & 0x7f80_0000 == 0x7f80_0000);
        for (name, ty) in state.names() {
            if ty.dtype == DType::F32 && bad(state.read_words(gpu, name)?) {
                return Ok(Some(format!("the variable `{name}`, before the step")));
            }
        }
        for (i, (at, ranges)) in self.written.iter().enumerate() {
            gpu.submit(|encoder| {
                self.launches[i]
                    .record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()))
            });
            for (buffer, place) in ranges {
                if bad(gpu.read_words(buffer, place.offset, place.bytes)?) {
                    return Ok(Some(format!("launch {i}, {} ({at})", self.labels[i])));
                }
            }
        }
        Ok(None)
    }

    /// The labels of the launches, in order.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The slots' buffers, for tests that poison them.
    #[doc(hidden)]
    pub fn slots(&self) -> &[wgpu::Buffer] {
        &self.slots
    }

    fn input_port(&self, name: &str) -> Result<&Port> {
        self.inputs.get(name).ok_or_else(|| Error::State(format!("the plan has no input `{name}`")))
    }

    fn output_port(&self, name: &str) -> Result<&Port> {
        self.outputs.get(name).ok_or_else(|| Error::State(format!("the plan has no output `{name}`")))
    }

    /// Writes an input's elements, which are f32, u32 or u8. They take effect before the next submission.
    ///
    /// # Errors
    /// An unknown name, or another number of bytes than the input has.
    pub fn write<T: bytemuck::NoUninit>(&self, gpu: &Gpu, name: &str, values: &[T]) -> Result<()> {
        let port = self.input_port(name)?;
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let need = port.ty.shape.numel() * port.ty.dtype.size();
        if bytes.len() != need {
            return Err(Error::State(format!(
                "input `{name}` is {:?} ({need} bytes), got {} bytes",
                port.ty,
                bytes.len()
            )));
        }
        gpu.write(&port.buffer, port.offset, bytes);
        Ok(())
    }

    /// The buffer and byte range of an output, for hosts that bind or copy it themselves.
    pub fn output(&self, name: &str) -> Result<(&wgpu::Buffer, std::ops::Range<u64>)> {
        let port = self.output_port(name)?;
        let bytes = (port.ty.shape.numel() * port.ty.dtype.size()) as u64;
        Ok((&port.buffer, port.offset..port.offset + bytes))
    }

    /// The shape and element type of an output.
    pub fn output_type(&self, name: &str) -> Result<&Type> {
        Ok(&self.output_port(name)?.ty)
    }

    /// Waits for an output and returns its f32 elements.
    pub fn read(&self, gpu: &Gpu, name: &str) -> Result<Vec<f32>> {
        Ok(self.read_words(gpu, name)?.into_iter().map(f32::from_bits).collect())
    }

    /// Waits for an output and returns its 32-bit words.
    pub fn read_words(&self, gpu: &Gpu, name: &str) -> Result<Vec<u32>> {
        let (buffer, range) = self.output(name)?;
        gpu.read_words(buffer, range.start, range.end - range.start)
    }
}

/// The launches being made ready: their `dims` are collected into one uniform buffer, then bind groups are
/// made.
pub(super) struct Builder<'a> {
    gpu: &'a Gpu,
    uniforms: Vec<u8>,
    offsets: Vec<u64>,
}

impl<'a> Builder<'a> {
    /// Makes a single launch ready.
    pub(super) fn one(
        gpu: &'a Gpu,
        launch: &Launch,
        locate: impl Fn(&Place) -> Result<(wgpu::Buffer, u64)>,
    ) -> Result<Bound> {
        let mut builder = Self { gpu, uniforms: vec![], offsets: vec![] };
        let pipeline = builder.prepare(launch)?;
        let group = builder.group(launch, &pipeline, &builder.uniform_buffer()?, 0, &locate)?;
        Ok(Bound { pipeline, group, grid: launch.grid })
    }

    fn prepare(&mut self, launch: &Launch) -> Result<Arc<Pipeline>> {
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

    fn uniform_buffer(&self) -> Result<wgpu::Buffer> {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let desc = wgpu::BufferDescriptor {
            label: Some("dims"),
            size: self.uniforms.len().max(256) as u64,
            usage,
            mapped_at_creation: false,
        };
        let buffer = self.gpu.guarded(|d| d.create_buffer(&desc))?;
        self.gpu.write(&buffer, 0, &self.uniforms);
        Ok(buffer)
    }

    fn group(
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
                "{} ({}) reads and writes one buffer: another plan keeps both values in one optimizer group; assign through an optimizer of \
                 that name, or add the group to this plan",
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
        let layout = pipeline.pipeline.get_bind_group_layout(0);
        self.gpu
            .guarded(|d| {
                d.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some(launch.shader.stem),
                    layout: &layout,
                    entries: &entries,
                })
            })
            .map_err(|e| Error::Device(format!("{} ({}): {e}", launch.label, launch.at)))
    }
}
