//! The ceilings: the most that this machine can do, measured in the same run as the kernels. On a GPU, two
//! kernels of `shaders/ceiling.wgsl` measure them, which are ops like any other and are checked like them. A
//! software driver is compared with the host's own matrix product and copy on all cores.

use crate::{
    cases::{Case, case},
    measure::{Stat, Subject, sample},
};
use oneiro::{
    error::{Error, Result},
    gpu::Gpu,
    graph::{
        Tensor,
        op::{LaunchSpec, Lowered, Lowering, Op, Operand, grid_1d},
        shape::{Array, Type},
    },
    kernel::{Shader, caps::AdapterClass},
    plan::Launch,
};
use serde::{Deserialize, Serialize};
use std::time::Instant;

static SHADER: Shader = Shader { stem: "ceiling", text: include_str!("../../shaders/ceiling.wgsl") };
/// The workgroup size, which the shader states too.
const WORKGROUP: usize = 256;
const CHAINS: usize = 32;
const FMAS_PER_ROUND: usize = 4;
/// The chains compute a·x + b, which converges to b / (1 - a), so that the values neither grow nor vanish.
const A: f32 = 0.5;
const B: f32 = 1.0;

/// The two peaks of a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ceilings {
    /// The peak of compute, in FLOP/s.
    pub(crate) flops_per_second: f64,
    /// The work that measured the peak of compute.
    pub(crate) flops_by: String,
    /// The peak of bandwidth, in bytes/s, reads and writes together.
    pub(crate) bytes_per_second: f64,
    /// The work that measured the peak of bandwidth.
    pub(crate) bytes_by: String,
}

/// The ceiling that limits a case.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Bound {
    Compute,
    Bandwidth,
}

impl Ceilings {
    /// Measures both peaks for about `seconds` each. A peak is the best run, not the median.
    pub(crate) fn measure(gpu: &Gpu, seconds: f64) -> Result<Self> {
        match gpu.caps().class {
            AdapterClass::Gpu => Self::on_gpu(gpu, seconds),
            AdapterClass::Cpu => Self::on_host(seconds),
        }
    }

    fn on_gpu(gpu: &Gpu, seconds: f64) -> Result<Self> {
        let rate = |case: &Case, work: fn(&Launch) -> u64| -> Result<f64> {
            let subject = Subject::new(gpu, case)?;
            Ok(subject.plan.launches.iter().map(work).sum::<u64>() as f64
                / subject.time(seconds)?.stat().best)
        };
        let (n, rounds, moved) = (1 << 20, 64, 1 << 24);
        Ok(Self {
            flops_per_second: rate(&fma(n, rounds), |l| l.flops)?,
            flops_by: "fma in registers".into(),
            bytes_per_second: rate(&copy(moved), |l| l.bytes)?,
            bytes_by: format!("copy of {} MiB", (4 * moved) >> 20),
        })
    }

    fn on_host(seconds: f64) -> Result<Self> {
        let (n, mib) = (512, 128);
        Ok(Self {
            flops_per_second: 2.0 * (n * n * n) as f64 / sgemm(n, seconds)?.best,
            flops_by: format!("host sgemm {n} on all cores"),
            bytes_per_second: 2.0 * f64::from(mib << 20) / host_copy((mib << 20) as usize, seconds)?.best,
            bytes_by: format!("host copy of {mib} MiB on all cores"),
        })
    }

    /// The seconds that the launches would take at the ceilings, and the ceiling that takes more of this
    /// time.
    pub(crate) fn best<'a>(&self, launches: impl IntoIterator<Item = &'a Launch>) -> (f64, Bound) {
        let mut spent = [0.0; 2];
        for launch in launches {
            let (compute, moving) =
                (launch.flops as f64 / self.flops_per_second, launch.bytes as f64 / self.bytes_per_second);
            spent[usize::from(moving > compute)] += compute.max(moving);
        }
        (spent[0] + spent[1], if spent[0] > spent[1] { Bound::Compute } else { Bound::Bandwidth })
    }
}

/// Times a matrix product of f32 matrices `[n, n]` on all cores of the host.
fn sgemm(n: usize, seconds: f64) -> Result<Stat> {
    let (a, b, mut c) = (vec![1.0f32; n * n], vec![0.5f32; n * n], vec![0.0f32; n * n]);
    let stat = sample(seconds, || {
        let start = Instant::now();
        product(n, &a, &b, &mut c);
        Ok(start.elapsed().as_secs_f64())
    })?;
    let right = c.iter().all(|&x| x == 0.5 * n as f32);
    right
        .then_some(stat)
        .ok_or_else(|| Error::new("the host's sgemm computed a wrong product; its rate is no ceiling"))
}

#[rustfmt::skip]
#[allow(unsafe_code, reason = "the gemm crate's only interface is a pointer call")]
fn product(n: usize, a: &[f32], b: &[f32], c: &mut [f32]) {
    assert!([a.len(), b.len(), c.len()] == [n * n; 3]);
    let (row, cores) = (n as isize, gemm::Parallelism::Rayon(0));
    // SAFETY: the three buffers are n x n and row-major, as the strides say.
    unsafe {
        gemm::gemm(
            n, n, n, c.as_mut_ptr(), 1, row, false, a.as_ptr(), 1, row, b.as_ptr(), 1, row, 0.0, 1.0, false, false, false, cores,
        );
    }
}

/// Times a copy of `bytes` bytes by all cores of the host, each of which copies a part.
fn host_copy(bytes: usize, seconds: f64) -> Result<Stat> {
    let part = bytes.div_ceil(std::thread::available_parallelism().map_or(1, usize::from));
    let (from, mut to) = (vec![1u8; bytes], vec![0u8; bytes]);
    sample(seconds, || {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for (from, to) in from.chunks(part).zip(to.chunks_mut(part)) {
                scope.spawn(|| to.copy_from_slice(from));
            }
        });
        std::hint::black_box(&to);
        Ok(start.elapsed().as_secs_f64())
    })
}

/// Multiply-adds in registers: `y[i]` is the sum of 32 chains of 4·rounds steps each.
#[derive(Debug)]
struct Fma {
    rounds: usize,
}

/// A copy y = x by whole vec4s.
#[derive(Debug)]
struct Copy;

fn one_vector(inputs: &[Type]) -> std::result::Result<Type, String> {
    match inputs {
        [x] if *x == Type::f32(x.shape.clone()) && x.shape.numel() % 4 == 0 => Ok(x.clone()),
        _ => Err(format!("takes f32 in whole fours, got {inputs:?}")),
    }
}

impl Op for Fma {
    fn name(&self) -> &'static str {
        "fma"
    }

    fn infer(&self, inputs: &[Type]) -> std::result::Result<Type, String> {
        one_vector(inputs)
    }

    /// The chains in closed form: after s steps, the value c has become a^s·c + b·(1 - a^s)/(1 - a).
    fn reference(&self, inputs: &[&Array]) -> Array {
        let (a, b) = (f64::from(A), f64::from(B));
        let shrunk = a.powi((FMAS_PER_ROUND * self.rounds) as i32);
        let chain = |start: f64| shrunk * start + b * (1.0 - shrunk) / (1.0 - a);
        Array::from_fn(inputs[0].shape.clone(), |i| {
            (0..CHAINS).map(|j| chain(inputs[0].data[i] + j as f64)).sum()
        })
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
        vec![None]
    }

    fn lower(&self, at: &Lowering<'_>) -> std::result::Result<Lowered, String> {
        let n = at.output.shape.numel();
        let launch = LaunchSpec::new(&SHADER, "fma_chains", grid_1d(n.div_ceil(WORKGROUP)))
            .bind("x", Operand::Input(0))
            .bind("y", Operand::Output)
            .dim("count", n)
            .dim("rounds", self.rounds)
            .dim_f32("a", A)
            .dim_f32("b", B)
            .cost(2 * CHAINS * FMAS_PER_ROUND * self.rounds * n, 8 * n as u64)
            .why("32 chains in registers");
        Ok(launch.into())
    }
}

impl Op for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn infer(&self, inputs: &[Type]) -> std::result::Result<Type, String> {
        one_vector(inputs)
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        inputs[0].clone()
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, cotangent: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
        vec![Some(cotangent)]
    }

    fn lower(&self, at: &Lowering<'_>) -> std::result::Result<Lowered, String> {
        let n = at.output.shape.numel();
        let launch = LaunchSpec::new(&SHADER, "copy", grid_1d((n / 4).div_ceil(WORKGROUP)))
            .bind("src4", Operand::Input(0))
            .bind("dst4", Operand::Output)
            .dim("count", n / 4)
            .cost(0, 8 * n as u64)
            .why("a vec4 per invocation");
        Ok(launch.into())
    }
}

fn fma(n: usize, rounds: usize) -> Case {
    case("fma in registers", |g| g.output("y", g.apply(Fma { rounds }, &[g.input("x", Type::f32([n]))])))
}

fn copy(n: usize) -> Case {
    case("copy", |g| g.output("y", g.apply(Copy, &[g.input("x", Type::f32([n]))])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneiro::{gpu::Choice, kernel::caps::Caps, plan::Plan};

    #[test]
    fn ceiling_kernels_compute_their_references_and_measure_something() {
        if std::env::var("ONEIRO_SKIP_GPU").is_ok_and(|v| v == "1") {
            return;
        }
        let choice = std::env::var("ONEIRO_ADAPTER").map_or(Choice::Best, Choice::Named);
        let gpu = Gpu::headless_blocking(&choice).unwrap();
        // The size 1,004 is not a multiple of the workgroup size; with 2 rounds, the start value is still
        // visible in the sum.
        for case in [fma(1004, 2), fma(4096, 64), copy(1004)] {
            let subject = Subject::new(&gpu, &case).unwrap_or_else(|e| panic!("{e}"));
            assert!(subject.time(0.01).unwrap().stat().median > 0.0);
        }
    }

    #[test]
    fn a_step_of_the_chain_is_what_the_closed_form_says() {
        let x = Array::new([4], vec![0.5, -1.0, 0.0, 3.0]);
        let chain = |start: f64| (0..8).fold(start, |c, _| c * 0.5 + 1.0);
        let want: Vec<f64> = x.data.iter().map(|x| (0..32).map(|j| chain(x + f64::from(j))).sum()).collect();
        let got = Fma { rounds: 2 }.reference(&[&x]).data;
        assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-12), "{got:?} {want:?}");
    }

    #[test]
    fn the_slower_ceiling_bounds() {
        let ceilings = Ceilings {
            flops_per_second: 100.0,
            flops_by: String::new(),
            bytes_per_second: 10.0,
            bytes_by: String::new(),
        };
        let launch = |flops, bytes| {
            let plan = Plan::new(&copy(4).graph, &Caps::portable(AdapterClass::Gpu)).unwrap();
            Launch { flops, bytes, ..plan.launches[0].clone() }
        };
        assert_eq!(ceilings.best(&[launch(1000, 50)]), (10.0, Bound::Compute));
        assert_eq!(ceilings.best(&[launch(100, 50)]), (5.0, Bound::Bandwidth));
        assert_eq!(ceilings.best(&[launch(1000, 50), launch(0, 200)]), (30.0, Bound::Bandwidth));
    }

    #[test]
    fn the_host_has_ceilings() {
        let host = Ceilings::on_host(0.01).unwrap();
        assert!(host.flops_per_second > 1e8 && host.bytes_per_second > 1e8, "{host:?}");
    }
}
