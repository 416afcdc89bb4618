//! An op of your own. It is one struct that implements [`Op`] and one WGSL file, and it is planned,
//! differentiated and tested like the engine's ops. Here, the op is a moving average, and the program learns
//! a signal from its averages.

use clap::Parser;
use oneiro::{
    gpu::{Executor, State},
    graph::{
        Graph, Tensor,
        op::{LaunchSpec, Lowered, Lowering, Op, Operand, grid_1d},
        shape::{Array, DType, Type},
        var::Init,
    },
    kernel::Shader,
    optim::{Optimizer, advance},
    plan::Plan,
    run::AdapterOption,
};

static SHADER: Shader = Shader { stem: "custom_op", text: include_str!("custom_op.wgsl") };
const WORKGROUP: usize = 64;
/// A kernel must have fewer than 65,535 loop iterations. For longer windows, a running sum would be better.
const LONGEST: usize = 4096;

/// The mean of the last `window` elements along the innermost axis, where elements before the first count as
/// 0.
///
/// This is a linear map, so its derivative is its transpose: the mean of the *next* `window` elements. The
/// same struct computes both, so the op has derivatives of every order.
#[derive(Debug)]
struct MovingAverage {
    /// The number of elements that are averaged, from 1 to 4,096.
    window: usize,
    /// Whether this is the transpose, which averages over the elements that follow.
    transposed: bool,
}

impl Op for MovingAverage {
    fn name(&self) -> &'static str {
        "moving_average"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x] = inputs else { return Err(format!("takes one tensor, got {}", inputs.len())) };
        if x.dtype != DType::F32 || x.shape.is_empty() || x.shape.numel() == 0 {
            return Err(format!("takes f32 of at least one axis, got {x:?}"));
        }
        if !(1..=LONGEST).contains(&self.window) {
            return Err(format!("a window of {} is not between 1 and {LONGEST}", self.window));
        }
        Ok(x.clone())
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        let x = inputs[0];
        let length = x.shape[x.shape.len() - 1];
        Array::from_fn(x.shape.clone(), |e| {
            let (row, t) = (e - e % length, e % length);
            let (first, last) = match self.transposed {
                false => ((t + 1).saturating_sub(self.window), t),
                true => (t, (t + self.window - 1).min(length - 1)),
            };
            x.data[row + first..=row + last].iter().sum::<f64>() / self.window as f64
        })
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, cotangent: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
        let transpose = Self { window: self.window, transposed: !self.transposed };
        vec![Some(cotangent.graph().apply(transpose, &[cotangent]))]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let (n, length) = (at.output.shape.numel(), at.output.shape[at.output.shape.len() - 1]);
        let entry = if self.transposed { "anticausal" } else { "causal" };
        let launch = LaunchSpec::new(&SHADER, entry, grid_1d(n.div_ceil(WORKGROUP)))
            .constant("WORKGROUP", WORKGROUP as f64)
            .bind("y", Operand::Output)
            .bind("x", Operand::Input(0))
            .dim("n", n)
            .dim("length", length)
            .dim("window", self.window)
            .cost(n * self.window, 8 * n as u64);
        Ok(launch.into())
    }
}

/// The mean of the last `window` elements along the innermost axis of an f32 tensor `[..., T]`, where
/// elements before the first count as 0.
#[track_caller]
pub(crate) fn moving_average(x: Tensor<'_>, window: usize) -> Tensor<'_> {
    x.graph().apply(MovingAverage { window, transposed: false }, &[x])
}

/// Learn a signal from its moving averages, through a user-defined op
#[derive(Parser)]
#[command(after_help = "Examples:
  custom_op                    8 signals of 512 samples, seen through a window of 9
  custom_op --plan             the launches of a training step
  custom_op --window 33 --steps 5000")]
struct Cli {
    #[command(flatten)]
    adapter: AdapterOption,
    /// Number of samples that each observed value averages
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=LONGEST as i64))]
    window: u16,
    /// Training steps
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u16).range(1..))]
    steps: u16,
    /// Print the plan of a training step and stop
    #[arg(long)]
    plan: bool,
}

/// The number of signals, and the number of samples in each.
const SIZE: [usize; 2] = [8, 512];

/// Square waves of several periods. Averaging hides their edges.
fn signals() -> Array {
    Array::from_fn(SIZE, |e| {
        let (row, t) = (e / SIZE[1], e % SIZE[1]);
        if (t / (16 + 8 * row)).is_multiple_of(2) { 1.0 } else { -1.0 }
    })
}

fn main() -> oneiro::error::Result<()> {
    let cli = Cli::parse();
    let window = usize::from(cli.window);
    let gpu = cli.adapter.open()?;
    let g = Graph::new();
    let observed = g.input("observed", Type::f32(SIZE));
    let signal = g.var("signal", Type::f32(SIZE), Init::Zeros);
    let loss = (moving_average(signal, window) - observed).square().mean_all();
    Optimizer::adam(1e-2).step("signal", loss, &[signal]);
    advance(&g);
    g.output("loss", loss);
    let plan = Plan::new(&g, gpu.caps())?;
    if cli.plan {
        println!("{plan}");
        return Ok(());
    }
    let state = State::new(&gpu, &[&plan], 0)?;
    let executor = Executor::new(&gpu, &plan, &state, &[])?;
    let truth = signals();
    let averages = MovingAverage { window, transposed: false }.reference(&[&truth]);
    executor.write(&gpu, "observed", &averages.to_f32())?;
    for at in 0..cli.steps {
        executor.step(&gpu)?;
        if (at + 1).is_power_of_two() || at + 1 == cli.steps {
            println!("step {:>5}: loss {:.3e}", at + 1, executor.read(&gpu, "loss")?[0]);
        }
    }
    let learnt = state.read(&gpu, "signal")?;
    let error = learnt.iter().zip(&truth.data).map(|(a, b)| (f64::from(*a) - b).abs()).sum::<f64>()
        / learnt.len() as f64;
    println!("mean distance from the true signals: {error:.4}");
    Ok(())
}
