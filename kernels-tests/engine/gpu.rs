//! Devices and executors: they open or are refused, share a State, allocate once, and repeat bit for bit.

use crate::subjects::{adapter, all_caps, config, decoder, evaluation, for_gpus, noop, training};
use oneiro::{
    data::Images,
    gpu::{Choice, Executor, Gpu, Profile, State, wgpu},
    graph::{
        Graph,
        shape::{DType, Type},
        var::Init,
    },
    kernel::{
        caps::{AdapterClass, Caps},
        power::POWERS,
    },
    models::vae::Config,
    plan::Plan,
    train::Feed,
};

const IMAGES: usize = 64;

/// A small VAE's training on the adapter.
struct Training {
    plan: Plan,
    state: State,
    executor: Executor,
}

fn small() -> Config {
    config(100, 36, 6)
}

impl Training {
    /// The training step, made ready together with plans that share its State.
    fn new(gpu: &Gpu, caps: &Caps, others: &[&Plan], seed: u64) -> Self {
        let plan = Plan::new(&training(&small(), IMAGES, 16), caps).unwrap();
        let plans: Vec<&Plan> = std::iter::once(&plan).chain(others.iter().copied()).collect();
        let state = State::new(gpu, &plans, seed).unwrap();
        let executor = Executor::new(gpu, &plan, &state, &[]).unwrap();
        let pixels: Vec<u8> = (0..IMAGES * 100).map(|i| (i * 37 % 251) as u8).collect();
        executor.write(gpu, "data", &pixels).unwrap();
        executor.write(gpu, "order", &(0..IMAGES as u32).rev().collect::<Vec<_>>()).unwrap();
        Self { plan, state, executor }
    }

    fn run(&self, gpu: &Gpu, submissions: usize, steps: usize) {
        for _ in 0..submissions {
            gpu.submit(|encoder| (0..steps).try_for_each(|_| self.executor.record(encoder))).unwrap();
        }
        gpu.wait().unwrap();
    }

    /// The names and words of all variables.
    fn words(&self, gpu: &Gpu) -> Vec<(String, Vec<u32>)> {
        self.state
            .names()
            .map(|(name, _)| (name.to_string(), self.state.read_words(gpu, name).unwrap()))
            .collect()
    }
}

fn assert_same(a: &[(String, Vec<u32>)], b: &[(String, Vec<u32>)]) {
    assert_eq!(a.len(), b.len());
    for ((name, a), (_, b)) in a.iter().zip(b) {
        let differs = a.iter().zip(b).position(|(a, b)| a != b);
        assert!(differs.is_none(), "`{name}` differs from element {differs:?}");
    }
}

/// Fifty images of 5x5 pixels are no whole words of 4 bytes; what is written fills up the last word.
#[test]
fn a_feed_of_odd_images_is_replaced() {
    let Some(gpu) = adapter("a_feed_of_odd_images_is_replaced") else { return };
    for (count, new) in [(50, 50), (50, 7), (5, 1), (1, 1), (4, 4)] {
        let pixels = vec![9; count * 25];
        let images = Images { count, height: 5, width: 5, channels: 1, classes: 0, pixels, labels: None };
        let feed = Feed::new(gpu, &images).unwrap();
        let bytes: Vec<u8> = (0..new * 25).map(|i| i as u8).collect();
        feed.replace(gpu, &bytes).unwrap();
        let held = gpu.read(feed.data.slice(..(count as u64 * 25).next_multiple_of(4))).unwrap();
        let rest = held[bytes.len()..].iter().all(|&b| b == 0);
        assert!(held[..bytes.len()] == bytes && rest, "{new} of {count}: {held:?}");
        assert!(feed.replace(gpu, &vec![0; count * 25 + 1]).is_err());
    }
}

#[test]
fn the_adapter_passes_its_self_test() {
    let Some(gpu) = adapter("the_adapter_passes_its_self_test") else { return };
    let caps = gpu.caps();
    let portable = Caps::portable(AdapterClass::Cpu);
    assert!(!caps.name.is_empty() && !caps.driver.trim().is_empty(), "{caps:?}");
    assert!(["Vulkan", "Metal", "Dx12"].contains(&caps.backend.as_str()), "{caps:?}");
    assert!(caps.max_binding >= portable.max_binding && caps.max_buffer >= portable.max_buffer, "{caps:?}");
    assert!(caps.powers.iter().all(|name| POWERS.iter().any(|power| power.name == *name)), "{caps:?}");
    assert!(gpu.pipelines() > 0, "the self-test compiled nothing");
    gpu.check().unwrap();
}

#[test]
fn an_unknown_adapter_lists_those_that_are_there() {
    let Some(gpu) = adapter("an_unknown_adapter_lists_those_that_are_there") else { return };
    let found = pollster::block_on(oneiro::gpu::adapters());
    let error = Gpu::headless_blocking(&Choice::Named("no such adapter".into())).err().unwrap().to_string();
    assert!(
        error.contains("`no such adapter`") && found.iter().all(|line| error.contains(line)),
        "{error}\n{found:?}"
    );
    let by_name = Gpu::headless_blocking(&Choice::Named(gpu.caps().name.to_uppercase())).unwrap();
    assert_eq!(by_name.caps().name, gpu.caps().name);
    // Digits that are no index are a part of a name, which none of these is.
    let beyond = Gpu::headless_blocking(&Choice::Named("99999999".into()));
    assert!(beyond.is_err(), "an index beyond the list");
}

#[test]
fn a_hosts_device_serves() {
    let Some(gpu) = adapter("a_hosts_device_serves") else { return };
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapters = pollster::block_on(
        instance.enumerate_adapters(wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12),
    );
    let adapter = adapters.into_iter().find(|a| a.get_info().name == gpu.caps().name).unwrap();
    let desc = wgpu::DeviceDescriptor { required_limits: Gpu::required_limits(), ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&desc)).unwrap();
    let host = Gpu::from_existing_blocking(device, queue).unwrap();
    assert_eq!(
        (&host.caps().powers[..], host.caps().timestamps),
        (&[][..], false),
        "features that the host did not enable"
    );
    let run = Training::new(&host, host.caps(), &[], 1);
    run.run(&host, 1, 3);
    assert_eq!(run.state.read_words(&host, "step").unwrap(), [3]);
}

#[test]
fn a_weak_device_is_refused_by_its_limit() {
    type Weaken = fn(&mut wgpu::Limits);
    let weaken: [(&str, Weaken); 4] = [
        ("max_storage_buffers_per_shader_stage is 4, the engine needs 8", |l| {
            l.max_storage_buffers_per_shader_stage = 4
        }),
        ("max_compute_invocations_per_workgroup is 128, the engine needs 256", |l| {
            l.max_compute_invocations_per_workgroup = 128
        }),
        ("max_compute_workgroup_storage_size is 8192, the engine needs 16384", |l| {
            l.max_compute_workgroup_storage_size = 8192
        }),
        ("max_compute_workgroups_per_dimension is 1024, the engine needs 65535", |l| {
            l.max_compute_workgroups_per_dimension = 1024
        }),
    ];
    for (expected, weaken) in weaken {
        let mut limits = Gpu::required_limits();
        weaken(&mut limits);
        let (device, queue) = noop(limits);
        let error =
            Gpu::from_existing_blocking(device, queue).err().expect("the device is too weak").to_string();
        assert!(error.contains(expected), "{error}");
    }
    // Strong enough, but it computes nothing: the self-test must see it.
    let (device, queue) = noop(Gpu::required_limits());
    let error =
        Gpu::from_existing_blocking(device, queue).err().expect("a device that computes nothing").to_string();
    assert!(error.contains("fails the self-test"), "{error}");
}

/// A device without a driver validates by WebGPU's rules and default limits.
#[test]
fn executors_record_within_webgpus_rules() {
    let config = Config::default();
    for (name, caps) in all_caps() {
        let (device, queue) = noop(Gpu::required_limits());
        let gpu = Gpu::untested(device, queue);
        let graphs =
            [training(&config, 10_000, 128), evaluation(&config, 10_000, 500), decoder(&config, 100)];
        let plans = graphs.map(|graph| Plan::new(&graph, &caps).unwrap());
        let state = State::new(&gpu, &plans.iter().collect::<Vec<_>>(), 0).unwrap();
        for plan in &plans {
            let executor = Executor::new(&gpu, plan, &state, &[]).unwrap_or_else(|e| panic!("{name}: {e}"));
            for (input, ty) in &plan.inputs {
                let n = ty.shape.numel();
                match ty.dtype {
                    DType::F32 => executor.write(&gpu, input, &vec![0.0; n]),
                    DType::U32 => executor.write(&gpu, input, &vec![0u32; n]),
                    DType::U8 => executor.write(&gpu, input, &vec![0u8; n]),
                }
                .unwrap();
            }
            let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
            gpu.submit(|encoder| (0..2).try_for_each(|_| executor.record(encoder))).unwrap();
            let error = pollster::block_on(scope.pop());
            assert!(error.is_none(), "{name}: {error:?}");
        }
        gpu.wait().unwrap();
    }
}

#[test]
fn steps_allocate_nothing() {
    let Some(shared) = adapter("steps_allocate_nothing") else { return };
    // A device of its own, since the counters are the device's.
    let gpu = &Gpu::headless_blocking(&Choice::Named(shared.caps().name.clone())).unwrap();
    let run = Training::new(gpu, gpu.caps(), &[], 1);
    let counts = || {
        let hal = gpu.device.get_internal_counters().hal;
        let counters = [
            ("buffers", &hal.buffers),
            ("bytes", &hal.buffer_memory),
            ("allocations", &hal.memory_allocations),
            ("bind groups", &hal.bind_groups),
            ("layouts", &hal.bind_group_layouts),
            ("pipelines", &hal.compute_pipelines),
            ("modules", &hal.shader_modules),
        ];
        counters.map(|(name, counter)| (name, counter.read()))
    };
    run.run(gpu, 1, 1);
    let (first, compiled) = (counts(), gpu.pipelines());
    assert!(first[0].1 > 10 && first[1].1 > 100_000, "the counters do not count: {first:?}");
    for step in 0..20 {
        run.run(gpu, 1, 1);
        assert_eq!(counts(), first, "after step {}", step + 2);
    }
    assert_eq!(gpu.pipelines(), compiled);
}

#[test]
fn executors_share_a_state() {
    let Some(gpu) = adapter("executors_share_a_state") else { return };
    let plan = Plan::new(&decoder(&small(), 8), gpu.caps()).unwrap();
    let run = Training::new(gpu, gpu.caps(), &[&plan], 1);
    let z: Vec<f32> = (0..8 * 6).map(|i| (i % 7) as f32 / 3.0 - 1.0).collect();
    let decode = |state: &State| {
        let executor = Executor::new(gpu, &plan, state, &[]).unwrap();
        executor.write(gpu, "z", &z).unwrap();
        executor.step(gpu).unwrap();
        executor.read_words(gpu, "pictures").unwrap()
    };
    let before = decode(&run.state);
    run.run(gpu, 2, 5);
    let after = decode(&run.state);
    assert_ne!(before, after, "the decoder does not see the training");
    // A State of the decoder alone, given the trained weights, decodes the same.
    let alone = State::new(gpu, &[&plan], 99).unwrap();
    for (name, _) in alone.names() {
        alone.write_words(gpu, name, &run.state.read_words(gpu, name).unwrap()).unwrap();
    }
    assert_eq!(decode(&alone), after);
    assert_eq!(run.plan.arenas.len(), 1);
    assert!(Executor::new(gpu, &run.plan, &alone, &[]).is_err(), "a State that lacks the optimizer's group");
}

#[test]
fn runs_repeat_bit_for_bit() {
    let Some(gpu) = adapter("runs_repeat_bit_for_bit") else { return };
    let gpu_kernels = for_gpus(gpu.caps());
    for caps in [gpu.caps(), &gpu_kernels] {
        let words = |submissions, steps, seed| {
            let run = Training::new(gpu, caps, &[], seed);
            run.run(gpu, submissions, steps);
            run.words(gpu)
        };
        let first = words(1, 12, 1);
        assert_same(&first, &words(1, 12, 1));
        // However the steps are submitted.
        assert_same(&first, &words(12, 1, 1));
        assert_same(&first, &words(3, 4, 1));
        assert_ne!(first, words(1, 12, 2), "the seed changes nothing");
        assert_ne!(first, words(1, 11, 1), "a step changes nothing");
    }
}

#[test]
fn profiles_measure_every_launch() {
    let Some(gpu) = adapter("profiles_measure_every_launch") else { return };
    let run = Training::new(gpu, gpu.caps(), &[], 1);
    if !gpu.caps().timestamps {
        assert!(Profile::new(gpu, &run.executor).is_err());
        return;
    }
    let profile = Profile::new(gpu, &run.executor).unwrap();
    for _ in 0..2 {
        gpu.submit(|encoder| profile.record(encoder, &run.executor)).unwrap();
    }
    let times = profile.read(gpu).unwrap();
    assert_eq!(times.len(), run.plan.launches.len());
    let total: f64 = times.iter().sum();
    assert!(times.iter().all(|t| (0.0..10.0).contains(t)) && total > 1e-6 && total < 10.0, "{times:?}");
    assert_eq!(run.state.read_words(gpu, "step").unwrap(), [2], "a profiled step is a step");
}

#[test]
fn threads_may_ask_and_wait_at_once() {
    let Some(gpu) = adapter("threads_may_ask_and_wait_at_once") else { return };
    std::thread::scope(|scope| {
        let asked = |_| scope.spawn(|| (0..200_000).try_for_each(|_| gpu.check()));
        let waited = |_| scope.spawn(|| (0..200_000).try_for_each(|_| gpu.wait()));
        let all: Vec<_> = (0..2).map(asked).chain((0..2).map(waited)).collect();
        all.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
    });
}

#[test]
fn threads_may_read_at_once() {
    let Some(gpu) = adapter("threads_may_read_at_once") else { return };
    let buffer = gpu.upload("numbers", &[7; 64]).unwrap();
    let waited = || gpu.read(buffer.slice(..));
    let awaited = || pollster::block_on(gpu.read_async(buffer.slice(..)));
    std::thread::scope(|scope| {
        let threads = [0, 1, 2, 3].map(|thread| {
            let read = move || if thread % 2 == 0 { waited() } else { awaited() };
            scope.spawn(move || (0..2_000).all(|_| read().unwrap() == [7; 64]))
        });
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    });
}

/// A query set has room for 2,048 launches.
#[test]
fn plans_of_any_length_are_profiled() {
    let Some(gpu) = adapter("plans_of_any_length_are_profiled").filter(|gpu| gpu.caps().timestamps) else {
        return;
    };
    let g = Graph::new();
    let x = g.input("x", Type::f32([3, 3]));
    g.output("y", (0..2050).fold(x, |power, _| power.matmul(x)));
    let plan = Plan::new(&g, gpu.caps()).unwrap();
    assert!(plan.launches.len() >= 2050);
    let state = State::new(gpu, &[&plan], 0).unwrap();
    let executor = Executor::new(gpu, &plan, &state, &[]).unwrap();
    executor.write(gpu, "x", &[0.0_f32, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]).unwrap();
    let profile = Profile::new(gpu, &executor).unwrap();
    gpu.submit(|encoder| profile.record(encoder, &executor)).unwrap();
    let times = profile.read(gpu).unwrap();
    assert_eq!(times.len(), plan.launches.len());
    // A permutation of three turns: its power 2,051 is its second.
    assert_eq!(executor.read(gpu, "y").unwrap(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    assert!(
        times.iter().all(|t| (0.0..10.0).contains(t)) && times[2048..].iter().any(|&t| t > 0.0),
        "{times:?}"
    );
}

#[test]
fn too_much_memory_is_an_error() {
    let Some(gpu) = adapter("too_much_memory_is_an_error") else { return };
    let g = Graph::new();
    let x = g.var("x", Type::f32([1 << 20, 1 << 18]), Init::Zeros);
    g.output("y", x + 1.0);
    let error = Plan::new(&g, gpu.caps()).unwrap_err().to_string();
    assert!(error.contains("allows"), "{error}");
    // A planner that believes in an endless adapter: the device says no, and lives on.
    let endless = Caps { max_binding: u64::MAX, max_buffer: u64::MAX, ..gpu.caps().clone() };
    let plan = Plan::new(&g, &endless).unwrap();
    assert!(State::new(gpu, &[&plan], 0).is_err());
    let run = Training::new(gpu, gpu.caps(), &[], 1);
    run.run(gpu, 1, 1);
    assert_eq!(run.state.read_words(gpu, "step").unwrap(), [1]);
}

#[test]
fn wrong_bindings_are_errors() {
    let Some(gpu) = adapter("wrong_bindings_are_errors") else { return };
    let plan = Plan::new(&decoder(&small(), 8), gpu.caps()).unwrap();
    let state = State::new(gpu, &[&plan], 0).unwrap();
    let short = gpu.upload("z", &[0; 16]).unwrap();
    let failed = |name, host: &wgpu::Buffer| {
        Executor::new(gpu, &plan, &state, &[(name, host.slice(..))]).err().unwrap()
    };
    assert!(failed("z", &short).to_string().contains("needs 192 bytes, the bound range has 16"));
    assert!(failed("zz", &short).to_string().contains("no input `zz`"));
    let executor = Executor::new(gpu, &plan, &state, &[]).unwrap();
    assert!(executor.write(gpu, "z", &[0.0f32; 47]).is_err());
    assert!(executor.write(gpu, "q", &[0.0f32; 48]).is_err());
    assert!(executor.read(gpu, "q").is_err());
    assert!(state.write(gpu, "fc1.bias", &[0.0; 3]).is_err() && state.read(gpu, "fc9").is_err());
}
