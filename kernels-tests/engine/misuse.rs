//! What a host may get wrong with its objects is one line of error, and never a panic, another buffer's values or
//! a training run on zeros.

use crate::subjects::{Ready, adapter, config, decoder, for_gpus, training};
use oneiro::{
    error::Result,
    gpu::{Blit, Choice, Executor, Gpu, Profile, Shown, State, wgpu},
    graph::{Graph, shape::Type, var::Init},
    kernel::caps::{AdapterClass, Caps},
    optim::{Optimizer, advance},
    plan::Plan,
    train::Feed,
    weights,
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The error's line, which holds all of these words.
pub(super) fn line<T>(result: Result<T>, words: &[&str]) {
    let error = result.err().unwrap_or_else(|| panic!("no error; it should hold {words:?}")).to_string();
    assert!(words.iter().all(|word| error.contains(word)), "{error}\nlacks one of {words:?}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

/// Devices of the host's own, of one instance, on the tests' adapter.
pub(super) fn hosts<const N: usize>(gpu: &Gpu, features: bool) -> [(wgpu::Device, wgpu::Queue); N] {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let found = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let adapter = found.into_iter().find(|a| a.get_info().name == gpu.caps().name).unwrap();
    let useful = if features { Gpu::useful_features() & adapter.features() } else { wgpu::Features::empty() };
    let desc = wgpu::DeviceDescriptor {
        required_limits: Gpu::required_limits(),
        required_features: useful,
        ..Default::default()
    };
    std::array::from_fn(|_| pollster::block_on(adapter.request_device(&desc)).unwrap())
}

pub(super) fn sum() -> Graph {
    let g = Graph::new();
    let w = g.var("w", Type::f32([64]), Init::Zeros);
    g.output("y", g.input("x", Type::f32([64])) + g.input("z", Type::f32([64])) + w);
    g
}

#[test]
fn hosts_buffers_are_checked_by_name() {
    let Some(gpu) = adapter("hosts_buffers_are_checked_by_name") else { return };
    let Ready { plan, state, executor, .. } = Ready::new(gpu, &sum(), 0);
    let buffer = |usage, size| {
        let desc = wgpu::BufferDescriptor { label: Some("host's"), size, usage, mapped_at_creation: false };
        gpu.device.create_buffer(&desc)
    };
    let bind = |host: &[(&str, wgpu::BufferSlice<'_>)]| Executor::new(gpu, &plan, &state, host);
    let deaf = buffer(wgpu::BufferUsages::COPY_DST, 256);
    line(bind(&[("x", deaf.slice(..))]), &["input `x`", "COPY_DST", "create it with STORAGE"]);
    let large = buffer(wgpu::BufferUsages::STORAGE, 1024);
    line(bind(&[("z", large.slice(16..))]), &["input `z`", "byte 16", "multiple of"]);
    line(bind(&[("z", large.slice(..64))]), &["input `z`", "needs 256 bytes", "has 64"]);
    let twice = [("x", large.slice(..)), ("x", large.slice(..))];
    line(bind(&twice), &["input `x`", "bound twice"]);
    line(bind(&[("zz", large.slice(..))]), &["no input `zz`"]);
    let bound = bind(&[("z", large.slice(256..))]).unwrap();
    line(bound.write(gpu, "z", &[0.0f32; 64]), &["input `z`", "create it with COPY_DST"]);
    line(gpu.write(&large, 0, &[1; 4]), &["COPY_DST"]);
    line(gpu.write(executor.output("y").unwrap().buffer(), 2, &[1; 4]), &["whole words"]);
    line(executor.write(gpu, "x", &[0u32; 64]), &["input `x` is F32", "U32"]);
    line(executor.write(gpu, "x", &[0.0f32; 63]), &["input `x`", "256 bytes", "252 bytes"]);
    bound.write(gpu, "x", &[0.0f32; 64]).unwrap();
    let read = buffer(wgpu::BufferUsages::COPY_SRC, 256);
    large.destroy();
    read.destroy();
    line(bound.step(gpu), &["destroyed"]);
    line(gpu.read(read.slice(..)), &["destroyed"]);
    executor.write(gpu, "x", &[0.0f32; 64]).and_then(|()| executor.write(gpu, "z", &[0.0f32; 64])).unwrap();
    executor.step(gpu).unwrap();
}

/// The words of the error about a stranger's buffer.
const STRANGE: [&str; 2] = ["another device", "`gpu.device`"];

/// A buffer that can be bound, written and read.
fn storage(device: &wgpu::Device, usage: wgpu::BufferUsages, mapped: bool) -> wgpu::Buffer {
    let all = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
    let (label, usage) = (Some("a host's"), if usage.is_empty() { all } else { usage });
    device.create_buffer(&wgpu::BufferDescriptor { label, size: 256, usage, mapped_at_creation: mapped })
}

#[test]
fn another_devices_buffer_is_refused() {
    let Some(gpu) = adapter("another_devices_buffer_is_refused") else { return };
    let [(device, queue), (other, _)] = hosts(gpu, true);
    let gpu = Gpu::from_existing_blocking(device, queue).unwrap();
    let strange = storage(&other, wgpu::BufferUsages::empty(), false);
    let plan = Plan::new(&sum(), gpu.caps()).unwrap();
    let state = State::new(&gpu, &[&plan], 0).unwrap();
    let bound = Executor::new(&gpu, &plan, &state, &[("x", strange.slice(..))]);
    line(bound, &[&["input `x`"], &STRANGE[..]].concat());
    line(gpu.write(&strange, 0, &[0; 4]), &STRANGE);
    gpu.check().unwrap();
}

/// Another instance gives its buffers the same numbers as this one: wgpu panics over such a buffer, or takes the
/// buffer that has the number here. Both devices go on.
#[test]
fn another_instances_buffer_is_refused() {
    let Some(gpu) = adapter("another_instances_buffer_is_refused") else { return };
    let Ready { plan, state, executor, .. } = Ready::new(gpu, &sum(), 0);
    let [(silent, queue), (heard, _)] = hosts(gpu, true);
    let errors = Arc::new(AtomicUsize::new(0));
    let count = errors.clone();
    heard.on_uncaptured_error(Arc::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    }));
    executor.write(gpu, "x", &[1.0f32; 64]).unwrap();
    executor.write(gpu, "z", &[2.0f32; 64]).unwrap();
    for (i, device) in [&silent, &heard].into_iter().cycle().take(6).enumerate() {
        let strange = storage(device, wgpu::BufferUsages::empty(), false);
        // The strangers stay alive, so that each has a number of its own.
        std::mem::forget(strange.clone());
        let bound = Executor::new(gpu, &plan, &state, &[("z", strange.slice(..))]);
        line(bound, &[&["input `z`"], &STRANGE[..]].concat());
        if i < 2 {
            line(gpu.write(&strange, 0, &[1; 256]), &STRANGE);
            line(gpu.submit(|e| gpu.record_write(e, &strange, 0, &[1; 256])), &STRANGE);
            line(gpu.read(strange.slice(..)), &STRANGE);
        }
    }
    assert!(errors.load(Ordering::Relaxed) > 0, "a stranger's own handler hears of it");
    executor.step(gpu).unwrap();
    assert_eq!(executor.read(gpu, "y").unwrap(), [3.0; 64]);
    gpu.check().unwrap();
    let other = Gpu::from_existing_blocking(silent, queue).unwrap();
    let own = storage(&other.device, wgpu::BufferUsages::empty(), false);
    let state = State::new(&other, &[&plan], 0).unwrap();
    Executor::new(&other, &plan, &state, &[("x", own.slice(..))]).unwrap();
}

/// Asking whose a buffer is leaves it as it was.
#[test]
fn a_hosts_buffer_stays_mappable() {
    let Some(gpu) = adapter("a_hosts_buffer_stays_mappable") else { return };
    let Ready { plan, state, .. } = Ready::new(gpu, &sum(), 0);
    let mapped = storage(&gpu.device, wgpu::BufferUsages::empty(), true);
    let bind = || Executor::new(gpu, &plan, &state, &[("x", mapped.slice(..))]);
    line(bind(), &["input `x`", "is mapped", "unmap it"]);
    mapped.get_mapped_range_mut(..).unwrap().copy_from_slice(bytemuck::cast_slice(&[1.0f32; 64]));
    mapped.unmap();
    let executor = bind().unwrap();
    executor.write(gpu, "z", &[0.5f32; 64]).unwrap();
    executor.step(gpu).unwrap();
    assert_eq!(executor.read(gpu, "y").unwrap(), [1.5; 64]);

    let read = storage(&gpu.device, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST, false);
    gpu.submit(|e| gpu.record_write(e, &read, 0, &[7; 256])).unwrap();
    read.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
    gpu.wait().unwrap();
    assert_eq!(read.get_mapped_range(..).unwrap()[..], [7; 256]);
    // A buffer that is mapped is asked for nothing.
    line(gpu.write(&read, 0, &[0; 4]), &["mapped"]);
    assert_eq!(read.get_mapped_range(..).unwrap()[..], [7; 256]);
}

/// WebGPU allows no launch that reads and writes one buffer.
#[test]
fn an_input_is_no_variable_that_its_launch_writes() {
    let Some(gpu) = adapter("an_input_is_no_variable_that_its_launch_writes") else { return };
    let g = Graph::new();
    let w = g.var("w", Type::f32([64]), Init::Zeros);
    g.assign(w, w + g.input("x", Type::f32([64])));
    let plan = Plan::new(&g, gpu.caps()).unwrap();
    let state = State::new(gpu, &[&plan], 0).unwrap();
    let bound = Executor::new(gpu, &plan, &state, &[("x", state.variable("w").unwrap())]);
    line(bound, &["input `x`", "variable `w`", "misuse.rs", "copy"]);

    // Variables of one optimizer group are one buffer.
    let fit = Graph::new();
    let params = ["w", "v"].map(|name| fit.param(name, Type::f32([64]), Init::Zeros));
    Optimizer::sgd(0.1, 0.0).step("fit", (params[0] * params[1]).square().sum_all(), &params);
    advance(&fit);
    let fit = Plan::new(&fit, gpu.caps()).unwrap();
    let state = State::new(gpu, &[&fit, &plan], 0).unwrap();
    let bound = Executor::new(gpu, &plan, &state, &[("x", state.variable("v").unwrap())]);
    line(bound, &["input `x`", "variable `v`", "misuse.rs", "copy"]);
}

/// What reads an input and what updates the variable that the input is bound to stay two launches, in their order.
#[test]
fn an_input_may_be_a_variable_that_another_launch_writes() {
    let Some(gpu) = adapter("an_input_may_be_a_variable_that_another_launch_writes") else { return };
    for caps in [gpu.caps().clone(), for_gpus(gpu.caps())] {
        let g = Graph::new();
        let w = g.var("w", Type::f32([64]), Init::Constant(1.0));
        g.output("y", g.input("x", Type::f32([64])).exp());
        g.assign(w, w * 0.5);
        let plan = Plan::new(&g, &caps).unwrap();
        let state = State::new(gpu, &[&plan], 0).unwrap();
        let executor = Executor::new(gpu, &plan, &state, &[("x", state.variable("w").unwrap())]).unwrap();
        executor.step(gpu).unwrap();
        executor.step(gpu).unwrap();
        assert!((executor.read(gpu, "y").unwrap()[63] - 0.5_f32.exp()).abs() < 1e-5);
        assert_eq!(state.read(gpu, "w").unwrap()[63], 0.25);
    }
}

#[test]
fn another_gpus_objects_are_strangers() {
    let Some(gpu) = adapter("another_gpus_objects_are_strangers") else { return };
    let Ready { plan, state, executor, .. } = Ready::new(gpu, &sum(), 0);
    let other = Gpu::headless_blocking(&Choice::Named(gpu.caps().name.clone())).unwrap();
    let strange = "was made on another Gpu";
    line(Executor::new(&other, &plan, &state, &[]), &["the State", strange]);
    line(state.read(&other, "w"), &["the State", strange]);
    line(state.write(&other, "w", &[0.0; 64]), &["the State", strange]);
    line(pollster::block_on(state.read_async(&other, ["w"])), &["the State", strange]);
    line(executor.write(&other, "x", &[0.0f32; 64]), &["the executor", strange]);
    line(executor.read(&other, "y"), &["the executor", strange]);
    line(executor.step(&other), &["the executor", strange]);
    line(executor.first_bad(&other, &state), &["the executor", strange]);
    line(executor.step_with(&other, 1, &mut |_, _| Ok(())), &["the executor", strange]);
    line(pollster::block_on(executor.read_async(&other, ["y"])), &["the executor", strange]);
    line(other.submit(|e| executor.record_read(&other, e, "y").map(drop)), &["the executor", strange]);
    let format = wgpu::TextureFormat::R8Unorm;
    line(Blit::new(&other, &executor, "y", Shown::Image(0), format), &["the executor", strange]);
    line(weights::to_bytes(&other, &state, &["w".into()]), &["the State", strange]);
}

#[test]
fn plans_and_states_must_belong_together() {
    let Some(gpu) = adapter("plans_and_states_must_belong_together") else { return };
    let small = config(100, 36, 6);
    let Ready { plan, executor, .. } = Ready::new(gpu, &sum(), 0);
    let decoding = Plan::new(&decoder(&small, 8), gpu.caps()).unwrap();
    let state = State::new(gpu, &[&decoding], 0).unwrap();
    line(Executor::new(gpu, &plan, &state, &[]), &["no variable `w`", "make it from all plans"]);

    // A plan for an adapter that can do more.
    let [(device, queue)] = hosts(gpu, false);
    let weak = Gpu::from_existing_blocking(device, queue).unwrap();
    let graph = training(&small, 64, 16);
    let strong = Plan::new(&graph, &Caps::software()).unwrap();
    let state = State::new(&weak, &[&strong], 0).unwrap();
    line(Executor::new(&weak, &strong, &state, &[]), &["for an adapter that can do more", "gpu.caps()"]);
    let large = Caps { max_binding: 1 << 40, max_buffer: 1 << 40, ..weak.caps().clone() };
    let g = Graph::new();
    g.output("y", g.input("x", Type::f32([1 << 28])) + 1.0);
    let large = Plan::new(&g, &large).unwrap();
    let state = State::new(&weak, &[&large], 0).unwrap();
    line(Executor::new(&weak, &large, &state, &[]), &["allows"]);

    executor.write(gpu, "x", &[0.0f32; 64]).unwrap();
    executor.write(gpu, "z", &[0.0f32; 64]).unwrap();
    line(gpu.submit(|e| executor.record_part(e, 0..99)), &["launches 0..99", "the step has"]);
    if gpu.caps().timestamps {
        let profile = Profile::new(gpu, &executor).unwrap();
        let another = Ready::new(gpu, &sum(), 0);
        another.write("x", &[0.0f32; 64]).write("z", &[0.0f32; 64]);
        line(gpu.submit(|e| profile.record(e, &another.executor)), &["another executor"]);
    }
}

#[test]
fn inputs_that_were_never_written_stop_the_first_step() {
    let Some(gpu) = adapter("inputs_that_were_never_written_stop_the_first_step") else { return };
    let ready = Ready::new(gpu, &sum(), 0);
    line(ready.executor.step(gpu), &["input `x`", "never written"]);
    ready.write("x", &[1.0f32; 64]);
    line(ready.executor.step(gpu), &["input `z`", "never written"]);
    ready.write("z", &[2.0f32; 64]).step();
    assert_eq!(ready.read("y"), [3.0; 64]);
}

#[test]
fn an_order_stays_within_the_data() {
    let Some(gpu) = adapter("an_order_stays_within_the_data") else { return };
    let small = config(100, 36, 6);
    let ready = Ready::new(gpu, &training(&small, 64, 16), 0);
    let mut order: Vec<u32> = (0..64).collect();
    ready.write("order", &order);
    order[5] = 64;
    line(ready.executor.write(gpu, "order", &order), &["element 5", "`order` is 64", "64 rows"]);
    let digits = oneiro::data::glyphs::glyphs(64, 0);
    let feed = Feed::new(gpu, &digits).unwrap();
    line(feed.reorder(gpu, &order), &["element 5", "64 rows"]);
    line(gpu.submit(|e| feed.record_reorder(gpu, e, &order)), &["element 5", "64 rows"]);
    let short = ["has 63 places", "64 rows", "a place for each row"];
    line(feed.reorder(gpu, &order[..63]), &short);
    line(gpu.submit(|e| feed.record_reorder(gpu, e, &order[..63])), &short);
}

/// Two epochs in one submission: the order is written between their steps.
#[test]
fn an_epoch_may_begin_inside_a_submission() {
    let Some(gpu) = adapter("an_epoch_may_begin_inside_a_submission") else { return };
    let graph = training(&config(784, 20, 4), 64, 16);
    let digits = oneiro::data::glyphs::glyphs(64, 0);
    let orders: [Vec<u32>; 2] = [(0..64).collect(), (0..64).rev().collect()];
    let trained = |at_once: bool| {
        let ready = Ready::new(gpu, &graph, 1);
        ready.write("data", &digits.pixels).write("order", &orders[0]);
        let four = |e: &mut wgpu::CommandEncoder| (0..4).try_for_each(|_| ready.executor.record(e));
        if at_once {
            gpu.submit(|e| {
                four(e)?;
                ready.executor.record_write(gpu, e, "order", &orders[1])?;
                four(e)
            })
            .unwrap();
        } else {
            gpu.submit(four).unwrap();
            ready.write("order", &orders[1]);
            gpu.submit(four).unwrap();
        }
        ready.state.read_words(gpu, "fc1.weight").unwrap()
    };
    assert!(trained(true) == trained(false), "the second epoch's order came too early or too late");
}

#[test]
fn pipelines_are_prepared_beside_the_frames() {
    let Some(shared) = adapter("pipelines_are_prepared_beside_the_frames") else { return };
    let gpu = Gpu::headless_blocking(&Choice::Named(shared.caps().name.clone())).unwrap();
    let plan = Plan::new(&training(&config(100, 36, 6), 64, 16), gpu.caps()).unwrap();
    let shares: Vec<f32> = std::thread::scope(|scope| {
        let prepared = scope.spawn(|| Executor::prepare(&gpu, &plan).collect::<Result<Vec<_>>>().unwrap());
        prepared.join().unwrap()
    });
    assert!(shares.is_sorted() && shares.last() == Some(&1.0), "{shares:?}");
    let compiled = gpu.pipelines();
    let state = State::new(&gpu, &[&plan], 0).unwrap();
    Executor::new(&gpu, &plan, &state, &[]).unwrap();
    assert_eq!(gpu.pipelines(), compiled, "the executor compiled what was prepared");
}

#[test]
fn a_host_is_told_what_it_misses() {
    let Some(gpu) = adapter("a_host_is_told_what_it_misses") else { return };
    assert_eq!(gpu.advice(), None, "the engine's own device has everything");
    let [(device, queue)] = hosts(gpu, true);
    let gpu_with = Gpu::from_existing_blocking(device, queue).unwrap();
    let [(device, queue)] = hosts(gpu, false);
    let without = Gpu::from_existing_blocking(device, queue).unwrap();
    if gpu.caps().class == AdapterClass::Cpu && gpu.caps().powers.len() == 2 {
        assert_eq!(gpu_with.advice(), None);
        let advice = without.advice().expect("kernels are slower");
        assert!(
            advice.contains("SUBGROUP and SHADER_INT64") && advice.contains("useful_features()"),
            "{advice}"
        );
    } else {
        assert_eq!(without.advice().is_some(), gpu.caps().class == AdapterClass::Cpu);
    }
}
