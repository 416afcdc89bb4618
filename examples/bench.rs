//! The kernel benchmark: every case is checked against its f64 reference, warmed up, then timed (medians).

use clap::Parser;
use oneiro::{
    caps::Caps,
    data::{Images, glyphs::glyphs},
    gpu::{Executor, Gpu, Profile, State},
    graph::Graph,
    models::vae::{Config, Vae},
    ops::matmul::product,
    optim::{Optimizer, advance},
    plan::{Plan, table},
    reference::{self, Values},
    run::{AdapterOption, Feed, Result, batch, remember},
    shape::{Array, Type},
};
use std::time::Instant;

/// Times kernels and whole training steps on this machine
#[derive(Parser)]
#[command(after_help = "Examples:
  bench                        all kernels, with their share of the machine's ceiling
  bench --filter matmul
  bench --model vae            a training step: time, launches, memory, idle share")]
struct Cli {
    #[command(flatten)]
    adapter: AdapterOption,
    /// Only cases whose name contains this
    #[arg(long, default_value = "")]
    filter: String,
    /// A whole training step instead of kernels
    #[arg(long, value_parser = ["vae"])]
    model: Option<String>,
    /// Print each launch's share of the step
    #[arg(long)]
    launches: bool,
    /// Seconds per case
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

fn main() -> Result<()> {
    let start = Instant::now();
    let cli = Cli::parse();
    let gpu = cli.adapter.open()?;
    match cli.model {
        Some(_) => vae(&cli, &gpu, start),
        None => kernels(&cli, &gpu),
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Median seconds of `f`, after a warm-up, within the budget.
fn time(seconds: f64, mut f: impl FnMut() -> Result<()>) -> Result<f64> {
    for _ in 0..3 {
        f()?;
    }
    let (start, mut times) = (Instant::now(), vec![]);
    while times.len() < 5 || (start.elapsed().as_secs_f64() < seconds && times.len() < 500) {
        let t = Instant::now();
        f()?;
        times.push(t.elapsed().as_secs_f64());
    }
    Ok(median(times))
}

/// f32 matrix product on all cores of the host: the ceiling for CPU adapters.
fn ceiling(n: usize, seconds: f64) -> Result<f64> {
    let (a, b, mut c) = (vec![1.0f32; n * n], vec![0.5f32; n * n], vec![0.0f32; n * n]);
    let s = n as isize;
    let t = time(seconds, || {
        // SAFETY: the three buffers are n x n and row-major, as the strides say.
        #[allow(unsafe_code, reason = "the gemm crate's only interface is a pointer call")]
        unsafe {
            gemm::gemm(
                n,
                n,
                n,
                c.as_mut_ptr(),
                1,
                s,
                false,
                a.as_ptr(),
                1,
                s,
                b.as_ptr(),
                1,
                s,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::Rayon(0),
            );
        }
        Ok(())
    })?;
    Ok(2.0 * (n * n * n) as f64 / t)
}

struct Case {
    name: String,
    graph: Graph,
}

fn cases() -> Vec<Case> {
    let mut out = vec![];
    let mut matmul = |name: String, [m, k, n]: [usize; 3], ta: bool, tb: bool| {
        let graph = Graph::new();
        let a = graph.input("a", Type::f32(if ta { [k, m] } else { [m, k] }));
        let b = graph.input("b", Type::f32(if tb { [n, k] } else { [k, n] }));
        graph.output("y", product(a, b, ta, tb));
        out.push(Case { name, graph });
    };
    for n in [256, 512, 1024] {
        matmul(format!("matmul nn {n}"), [n; 3], false, false);
    }
    matmul("matmul nt 512".into(), [512; 3], false, true);
    matmul("matmul tn 512".into(), [512; 3], true, false);
    matmul("matmul nt 128x784x400 (vae fc1)".into(), [128, 784, 400], false, true);
    matmul("matmul tn 400x128x784 (vae fc1 weight gradient)".into(), [400, 128, 784], true, false);
    matmul("matmul nn 128x784x400 (vae fc4 input gradient)".into(), [128, 784, 400], false, false);
    let graph = Graph::new();
    let (x, y) = (graph.input("a", Type::f32([1 << 22])), graph.input("b", Type::f32([1 << 22])));
    graph.output("y", x * 1.5 + y);
    out.push(Case { name: "elementwise x*1.5+y 4M".into(), graph });
    let graph = Graph::new();
    graph.output("y", graph.input("a", Type::f32([1 << 22])).sum_all());
    out.push(Case { name: "sum 4M".into(), graph });
    out
}

fn kernels(cli: &Cli, gpu: &Gpu) -> Result<()> {
    let peak = ceiling(512, cli.seconds)?;
    println!("ceiling: host sgemm 512 on all cores {:.1} GFLOP/s", peak / 1e9);
    println!("{:<50} {:>10} {:>10} {:>9} {:>8}", "case", "ms", "GFLOP/s", "GB/s", "ceiling");
    for case in cases().iter().filter(|c| c.name.contains(&cli.filter)) {
        let plan = Plan::new(&case.graph, gpu.caps())?;
        let state = State::new(gpu, &[&plan], 0)?;
        let executor = Executor::new(gpu, &plan, &state, &[])?;
        let mut values = Values::new();
        for (name, ty) in &plan.inputs {
            let array = Array::from_fn(ty.shape.clone(), |i| ((i * 7919 + name.len()) % 1009) as f64 / 1009.0 - 0.5);
            executor.write(gpu, name, &array.to_f32())?;
            values.insert(name.clone(), array);
        }
        let step = || {
            gpu.submit(|encoder| executor.record(encoder));
            gpu.wait().map_err(Into::into)
        };
        step()?;
        if plan.flops() < 300_000_000 {
            let want = reference::eval(&case.graph, &values, &mut Values::new())?["y"].to_f32();
            let worst = executor.read(gpu, "y")?.iter().zip(&want).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f32::max);
            assert!(worst < 1e-3, "{}: differs from the reference by {worst}", case.name);
        }
        let t = time(cli.seconds, step)?;
        let bytes: u64 = plan.launches.iter().map(|l| l.bytes).sum();
        let rate = plan.flops() as f64 / t;
        println!("{:<50} {:>10.3} {:>10.2} {:>9.2} {:>8.3}", case.name, t * 1e3, rate / 1e9, bytes as f64 / t / 1e9, rate / peak);
    }
    Ok(())
}

/// The training step of pytorch/examples' VAE, batch 128.
fn vae_step(images: &Images, caps: &Caps) -> Result<Plan> {
    let g = Graph::new();
    let vae = Vae::new(&g, &Config::default());
    let loss = vae.loss(batch(&g, images, 128, None));
    Optimizer::adam(1e-3).step("vae", loss.total, &vae.params());
    remember(&g, &[loss.total, loss.reconstruction, loss.kl]);
    advance(&g);
    Ok(Plan::new(&g, caps)?)
}

fn vae(cli: &Cli, gpu: &Gpu, start: Instant) -> Result<()> {
    let images = glyphs(1280, 0);
    let plan = vae_step(&images, gpu.caps())?;
    let state = State::new(gpu, &[&plan], 0)?;
    let feed = Feed::new(gpu, &images)?;
    let executor = Executor::new(gpu, &plan, &state, &feed.bindings(&plan))?;
    let step = |n: usize| {
        gpu.submit(|encoder| (0..n).for_each(|_| executor.record(encoder)));
        gpu.wait()
    };
    step(1)?;
    println!("process start to first finished step: {:.2} s", start.elapsed().as_secs_f64());
    const BURST: usize = 4;
    let t = time(cli.seconds, || Ok(step(BURST)?))? / BURST as f64;
    println!("step, batch 128: {:.2} ms, {:.0} images/s, {:.1} GFLOP/s", t * 1e3, 128.0 / t, plan.flops() as f64 / t / 1e9);
    println!("{} launches, {} pipelines", plan.launches.len(), plan.pipelines());
    let (slots, live) = (plan.slot_bytes(), plan.live_minimum);
    println!("slots {} against {} alive at the worst point: {:.3}", table::bytes(slots), table::bytes(live), slots as f64 / live as f64);
    if gpu.caps().timestamps {
        let profile = Profile::new(gpu, &executor)?;
        let mut sums = vec![0.0; plan.launches.len()];
        const RUNS: usize = 20;
        for _ in 0..RUNS {
            gpu.submit(|encoder| executor.record_profiled(encoder, &profile));
            profile.read(gpu)?.into_iter().zip(&mut sums).for_each(|(t, sum)| *sum += t / RUNS as f64);
        }
        let busy: f64 = sums.iter().sum();
        println!("kernels {:.2} ms by timestamps, idle share {:.3}", busy * 1e3, 1.0 - busy / t);
        if cli.launches {
            for (launch, t) in plan.launches.iter().zip(&sums) {
                println!(
                    "  {:<34} {:<26} {:>8.3} ms {:>8.1} GFLOP/s",
                    launch.label,
                    format!("{}/{}", launch.shader.stem, launch.entry),
                    t * 1e3,
                    launch.flops as f64 / t / 1e9
                );
            }
        }
    }
    Ok(())
}
