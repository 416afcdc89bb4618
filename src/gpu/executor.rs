//! A plan made ready on a device. Pipelines, buffers and bind groups exist once, and `record` is a for-loop
//! that neither allocates, submits, waits nor touches the queue.

use super::{
    Element, Gpu, Promise, State,
    bind::{Bound, Builder},
    device::STORAGE,
    health::Health,
    inputs::{Input, Inputs},
    owned::{Fill, Owned, Reached},
};
use crate::{
    error::{Error, Result},
    graph::{
        shape::{DType, Type},
        share::Merge,
    },
    plan::{Buffer, Constant, Launch, Place, Plan},
};
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// A named output: its type, buffer and place.
struct Port {
    ty: Type,
    buffer: wgpu::Buffer,
    offset: u64,
}

/// A value that ranks exchange.
#[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "step_with waits, which a browser may not"))]
pub(super) struct Exchange {
    /// The launch that wrote the value.
    pub(super) launch: usize,
    pub(super) merge: Merge,
    pub(super) buffer: wgpu::Buffer,
    /// The value's bytes in the buffer.
    pub(super) range: Range<u64>,
}

impl Exchange {
    /// The exchanges of a plan, whose places `locate` finds.
    fn all(plan: &Plan, locate: impl Fn(&Place) -> Result<(wgpu::Buffer, u64)>) -> Result<Vec<Self>> {
        let of = |(launch, of): (usize, &Launch)| {
            let (merge, elements) = of.exchange?;
            let place = of.written().next()?;
            let at = |(buffer, offset)| Self {
                launch,
                merge,
                buffer,
                range: offset..offset + 4 * elements as u64,
            };
            Some(locate(place).map(at))
        };
        plan.launches.iter().enumerate().filter_map(of).collect()
    }
}

/// A plan that is ready to run on a device.
pub struct Executor {
    launches: Vec<Bound>,
    labels: Vec<String>,
    /// The user's line of each launch, and the f32 ranges that the launch writes.
    #[cfg_attr(
        target_arch = "wasm32",
        expect(dead_code, reason = "first_bad waits, which a browser may not")
    )]
    written: Vec<(String, Vec<(wgpu::Buffer, Place)>)>,
    inputs: Inputs,
    outputs: BTreeMap<String, Port>,
    /// The values that ranks exchange, in the order of their launches.
    exchanges: Vec<Exchange>,
    /// How many launches were recorded.
    reached: Reached,
    slots: Vec<Arc<Owned>>,
    health: Arc<Health>,
    /// Its address tells this executor from others.
    token: Arc<()>,
}

impl Executor {
    /// Makes a plan ready on the State that holds its variables. `host` binds inputs to ranges of the host's own
    /// buffers, which have the usage `STORAGE`, or to another executor's [`output`](Executor::output); a range
    /// begins at a multiple of 256 bytes, and its buffer has room for [`Type::bytes`] from there. The other
    /// inputs get buffers that [`Executor::write`] fills.
    ///
    /// A host's buffers are of this Gpu's device, and unmapped while they are bound.
    ///
    /// # Errors
    /// A State of another Gpu or of other plans, a plan made for an adapter that can do more, inputs that do not
    /// fit or that the same launch writes, buffers of another device or instance, what the device refuses.
    pub fn new(
        gpu: &Gpu,
        plan: &Plan,
        state: &State,
        host: &[(&str, wgpu::BufferSlice<'_>)],
    ) -> Result<Self> {
        state.belongs(gpu)?;
        gpu.check()?;
        plan.check_runs(gpu.caps())?;
        let inputs = Inputs::new(gpu, plan, host)?;
        let reached = Reached::default();
        let slot = |(i, &bytes): (usize, &u64)| -> Result<_> {
            let buffer = gpu.buffer(&format!("slot {i}"), bytes, STORAGE)?;
            let fill = |(step, Launch { dtype, .. }, place): (usize, &Launch, &Place)| Fill {
                range: place.offset..place.offset + place.bytes,
                dtype: *dtype,
                step,
            };
            let (fills, reached) = (plan.fills(i).map(fill).collect(), reached.clone());
            Ok(gpu.owned.add(Owned { buffer, input: false, reached, fills }))
        };
        let slots = plan.slots.iter().enumerate().map(slot).collect::<Result<Vec<_>>>()?;
        let filled = |c: &Constant| {
            let buffer = gpu.buffer("constant", c.bytes, STORAGE)?;
            gpu.write(&buffer, 0, bytemuck::cast_slice(&vec![c.value; c.bytes as usize / 4]))?;
            Ok(buffer)
        };
        let constants = plan.constants.iter().map(filled).collect::<Result<Vec<_>>>()?;
        let locate = |place: &Place| -> Result<(wgpu::Buffer, u64)> {
            Ok(match place.buffer {
                Buffer::Slot(i) => (slots[i].buffer.clone(), place.offset),
                Buffer::Constant(i) => (constants[i].clone(), place.offset),
                Buffer::Input(i) => {
                    let Input { buffer, offset, .. } = inputs.get(&plan.inputs[i].0)?;
                    (buffer.clone(), offset + place.offset)
                }
                buffer => {
                    let (buffer, base) = state.locate(plan, buffer)?;
                    (buffer.clone(), base + place.offset)
                }
            })
        };
        let mut builder = Builder::new(gpu);
        gpu.compile_all(&plan.launches)?;
        let pipelines = plan.launches.iter().map(|l| builder.prepare(l)).collect::<Result<Vec<_>>>()?;
        let dims = builder.uniform_buffer()?;
        let mut launches = vec![];
        for (i, (launch, pipeline)) in plan.launches.iter().zip(pipelines).enumerate() {
            inputs.apart(plan, launch, state)?;
            let group = builder.group(launch, &pipeline, &dims, builder.offsets[i], &locate)?;
            launches.push(Bound::new(pipeline, group, launch.grid));
        }
        let mut outputs = BTreeMap::new();
        for output in &plan.outputs {
            let (buffer, offset) = locate(&output.place)?;
            outputs.insert(output.name.clone(), Port { ty: output.ty.clone(), buffer, offset });
        }
        let exchanges = Exchange::all(plan, locate)?;
        let labels = plan.launches.iter().map(|l| l.label.clone()).collect();
        let mut written = vec![];
        for launch in &plan.launches {
            let floats = launch.written().filter(|_| launch.dtype == DType::F32);
            let ranges = floats
                .map(|place| locate(place).map(|(buffer, offset)| (buffer, Place { offset, ..*place })));
            written.push((launch.at.clone(), ranges.collect::<Result<_>>()?));
        }
        // A device that was lost meanwhile has made nothing.
        gpu.check()?;
        let (health, token) = (gpu.health.clone(), Arc::new(()));
        Ok(Self { launches, labels, written, inputs, outputs, exchanges, reached, slots, health, token })
    }

    /// Compiles the pipelines of a plan that are not there yet, one at each `next`, and gives the share of the plan
    /// that is then ready, from 0 to 1. [`Executor::new`] finds them. A desktop program runs this on a thread of its
    /// own; a page takes a few between its frames, and awaits [`Gpu::settled`] at the end.
    ///
    /// ```no_run
    /// # use oneiro::{error::Result, gpu::{Executor, Gpu}, plan::Plan};
    /// # fn f(gpu: &Gpu, plan: &Plan) -> Result<()> {
    /// for share in Executor::prepare(gpu, plan) {
    ///     println!("{:.0} %", 100.0 * share?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn prepare<'a>(gpu: &'a Gpu, plan: &'a Plan) -> impl Iterator<Item = Result<f32>> + use<'a> {
        let all = plan.launches.len() as f32;
        let share = move |(i, launch)| {
            gpu.check()?;
            gpu.pipeline(launch).map(|_| (i + 1) as f32 / all)
        };
        plan.launches.iter().enumerate().map(share)
    }

    /// Records one step as one compute pass.
    ///
    /// # Errors
    /// An input that was neither written nor bound, or bound to an output that nothing has filled; a device that is
    /// known to be lost; a step in which ranks exchange values, see [`Executor::step_with`]. Nothing is then recorded.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        self.whole()?;
        self.record_part(encoder, 0..self.launches.len())
    }

    /// Records these of the step's launches, of which there are as many as [`Executor::labels`], as one compute pass.
    /// Whoever cuts a step, so that a window does not wait for all of it, records its parts in order. Where ranks
    /// exchange values, a part that goes on after such a launch takes the value that this rank brought.
    ///
    /// # Errors
    /// As [`Executor::record`]; launches that the step does not have.
    pub fn record_part(&self, encoder: &mut wgpu::CommandEncoder, part: Range<usize>) -> Result<()> {
        let launches = self.part(&part)?;
        self.begin()?;
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        launches.iter().for_each(|launch| launch.record(&mut pass));
        self.reached.note(part);
        Ok(())
    }

    /// Refuses to record a step whole in which ranks exchange values.
    pub(super) fn whole(&self) -> Result<()> {
        match self.exchanges.len() {
            0 => Ok(()),
            n => Err(Error::State(format!(
                "the step exchanges values with other ranks {n} times; run it by Executor::step_with"
            ))),
        }
    }

    /// The values that ranks exchange.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn exchanges(&self) -> &[Exchange] {
        &self.exchanges
    }

    /// The launches of a part of a step.
    fn part(&self, part: &Range<usize>) -> Result<&[Bound]> {
        let all = self.launches.len();
        let what = || Error::State(format!("launches {part:?} cannot be recorded: the step has {all}"));
        self.launches.get(part.start..part.end).ok_or_else(what)
    }

    /// Refuses a step that cannot be recorded.
    pub(super) fn begin(&self) -> Result<()> {
        self.health.noted()?;
        self.inputs.written()
    }

    /// How many of the launches were recorded, in their order.
    pub(super) fn reached(&self) -> &Reached {
        &self.reached
    }

    pub(super) fn token(&self) -> &Arc<()> {
        &self.token
    }

    pub(super) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// The launches in the order in which a step runs them.
    pub(super) fn launches(&self) -> &[Bound] {
        &self.launches
    }

    /// Records one step, submits it and does not wait. Hosts that submit many steps at once use
    /// [`Executor::record`].
    ///
    /// # Errors
    /// As [`Executor::record`] and [`Gpu::submit`]; a Gpu that did not make the executor.
    pub fn step(&self, gpu: &Gpu) -> Result<()> {
        gpu.owns("the executor", &self.health)?;
        gpu.submit(|encoder| self.record(encoder))
    }

    /// Runs one step launch by launch and names the first f32 value that holds a NaN or an infinity, if there
    /// is one: a variable before the step, or what a launch wrote. Values are judged by their bits, since
    /// drivers' comparisons hide a NaN.
    ///
    /// # Errors
    /// As [`Executor::step`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn first_bad(&self, gpu: &Gpu, state: &State) -> Result<Option<String>> {
        gpu.owns("the executor", &self.health)?;
        self.whole()?;
        self.begin()?;
        let bad = |words: Vec<u32>| words.into_iter().any(|w| w & 0x7f80_0000 == 0x7f80_0000);
        for (name, ty) in state.names() {
            if ty.dtype == DType::F32 && bad(state.read_words(gpu, name)?) {
                return Ok(Some(format!("the variable `{name}`, before the step")));
            }
        }
        for (i, (at, ranges)) in self.written.iter().enumerate() {
            gpu.submit(|encoder| {
                let desc = wgpu::ComputePassDescriptor::default();
                self.launches[i].record(&mut encoder.begin_compute_pass(&desc));
                Ok(())
            })?;
            self.reached.note(i..i + 1);
            for (buffer, place) in ranges {
                if bad(gpu.read_words(buffer.slice(place.offset..place.offset + place.bytes))?) {
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
    pub fn slots(&self) -> impl Iterator<Item = &wgpu::Buffer> {
        self.slots.iter().map(|slot| &slot.buffer)
    }

    fn port(&self, name: &str) -> Result<&Port> {
        self.outputs.get(name).ok_or_else(|| Error::State(format!("the plan has no output `{name}`")))
    }

    /// Writes an input's elements, of its own type. They take effect before the next submission. Whole words are
    /// written: up to three bytes after elements of one byte become 0.
    ///
    /// # Errors
    /// An unknown name, another type or number of elements than the input has, an order that points outside the
    /// data, a host's buffer without the usage `COPY_DST`, a lost device.
    pub fn write<T: Element>(&self, gpu: &Gpu, name: &str, values: &[T]) -> Result<()> {
        gpu.owns("the executor", &self.health)?;
        let input = self.inputs.takes(name, values)?;
        gpu.write(&input.buffer, input.offset, bytemuck::cast_slice(values))?;
        input.note_written();
        Ok(())
    }

    /// Does what [`Executor::write`] does between what was recorded before and what is recorded after it, so
    /// that an epoch may begin inside a frame. The input counts as written from here on: wgpu tells nobody of an
    /// encoder that is dropped in place of being submitted, so that steps then read what was there before.
    ///
    /// # Errors
    /// As [`Executor::write`].
    pub fn record_write<T: Element>(
        &self,
        gpu: &Gpu,
        encoder: &mut wgpu::CommandEncoder,
        name: &str,
        values: &[T],
    ) -> Result<()> {
        gpu.owns("the executor", &self.health)?;
        let input = self.inputs.takes(name, values)?;
        gpu.record_write(encoder, &input.buffer, input.offset, bytemuck::cast_slice(values))?;
        input.note_written();
        Ok(())
    }

    /// An output's range of its buffer, for hosts that bind, copy or read it themselves. It may be another
    /// executor's input, which counts as written once the launch that fills it is recorded.
    pub fn output(&self, name: &str) -> Result<wgpu::BufferSlice<'_>> {
        let port = self.port(name)?;
        let bytes = (port.ty.shape.numel() * port.ty.dtype.size()) as u64;
        Ok(port.buffer.slice(port.offset..port.offset + bytes))
    }

    /// The shape and element type of an output.
    pub fn output_type(&self, name: &str) -> Result<&Type> {
        Ok(&self.port(name)?.ty)
    }

    /// Records a copy of an output's f32 elements to the host into the host's encoder.
    ///
    /// # Errors
    /// As [`Gpu::record_read`]; an unknown name; an output that is not f32.
    pub fn record_read(
        &self,
        gpu: &Gpu,
        encoder: &mut wgpu::CommandEncoder,
        name: &str,
    ) -> Result<Promise<Vec<f32>>> {
        gpu.owns("the executor", &self.health)?;
        let bytes = gpu.record_read(encoder, self.floats(name)?)?;
        Ok(Promise::new(&gpu.device, async move { Ok(bytemuck::pod_collect_to_vec(&bytes.await?)) }))
    }

    /// Copies the f32 elements of outputs to the host in one submission.
    pub fn read_async<const N: usize>(&self, gpu: &Gpu, names: [&str; N]) -> Promise<[Vec<f32>; N]> {
        let slices = || {
            gpu.owns("the executor", &self.health)?;
            names.iter().map(|name| self.floats(name)).collect::<Result<Vec<_>>>()
        };
        gpu.read_floats(slices())
    }

    /// The range of an f32 output.
    fn floats(&self, name: &str) -> Result<wgpu::BufferSlice<'_>> {
        match self.port(name)?.ty.dtype {
            DType::F32 => self.output(name),
            other => {
                Err(Error::State(format!("output `{name}` is {other:?}; read its bytes by Gpu::read_async")))
            }
        }
    }

    /// Waits for an output and returns its f32 elements.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(&self, gpu: &Gpu, name: &str) -> Result<Vec<f32>> {
        Ok(self.read_words(gpu, name)?.into_iter().map(f32::from_bits).collect())
    }

    /// Waits for an output and returns its 32-bit words.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_words(&self, gpu: &Gpu, name: &str) -> Result<Vec<u32>> {
        gpu.owns("the executor", &self.health)?;
        gpu.read_words(self.output(name)?)
    }
}
