//! A case on the device: its inputs are filled, its results checked against the f64 reference, and only then
//! it is timed.

use crate::cases::{Case, Check, ROWS};
use oneiro::{
    data::permutation,
    error::{Error, Result},
    gpu::{Executor, Gpu, Profile, State},
    graph::{
        op::Op,
        reference::{self, Values},
        shape::{Array, DType, Type},
    },
    ops::matmul::MatMul,
    plan::Plan,
    rng::{self, RandomStream},
};
use serde::{Deserialize, Serialize};
use std::time::Instant;

const SEED: u64 = 1;
/// The largest error, as a share of 1 + |reference|. The rounding of f32 sums of thousands of terms stays
/// below it; a wrong index does not.
const TOLERANCE: f64 = 1e-4;
/// Short kernels are repeated until a submission takes this many seconds, which hides its own cost and keeps
/// a GPU's clock high.
const SUBMISSION: f64 = 5e-3;
const MAX_REPEATS: f64 = 64.0;
/// The seconds of the warm-up. A GPU lowers its clock while the host checks a case, and takes time to raise it.
const WARM_UP: f64 = 0.2;
const SAMPLES: std::ops::Range<usize> = 3..500;

/// The statistics of a repeated measurement of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stat {
    /// The median, in seconds.
    pub(crate) median: f64,
    /// The shortest time, in seconds.
    pub(crate) best: f64,
    /// The distance between the quartiles, as a share of the median.
    pub(crate) spread: f64,
    /// The number of measurements.
    pub(crate) samples: usize,
}

impl Stat {
    pub(crate) fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let at = |quantile: f64| times[(quantile * (times.len() - 1) as f64).round() as usize];
        Self { median: at(0.5), best: at(0.0), spread: (at(0.75) - at(0.25)) / at(0.5), samples: times.len() }
    }
}

impl Stat {
    /// The statistics of several things that are done one after another.
    pub(crate) fn sum(parts: impl Iterator<Item = Self>) -> Self {
        let add = |a: Self, b: Self| Self {
            median: a.median + b.median,
            best: a.best + b.best,
            spread: a.spread.max(b.spread),
            samples: a.samples.min(b.samples),
        };
        parts.reduce(add).expect("there is a part")
    }
}

/// The clock by which a time was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Clock {
    /// GPU timestamps around every launch, added up.
    Gpu,
    /// The host's clock, around submission and wait.
    Wall,
}

/// Calls `f`, which returns a time in seconds, for about `seconds` after a warm-up.
pub(crate) fn sample(seconds: f64, mut f: impl FnMut() -> Result<f64>) -> Result<Stat> {
    let start = Instant::now();
    for i in 0.. {
        if i >= 2 && start.elapsed().as_secs_f64() > WARM_UP {
            break;
        }
        f()?;
    }
    let (start, mut times) = (Instant::now(), vec![]);
    while times.len() < SAMPLES.start
        || (start.elapsed().as_secs_f64() < seconds && times.len() < SAMPLES.end)
    {
        times.push(f()?);
    }
    Ok(Stat::of(times))
}

/// The times of a step.
pub(crate) struct Timing {
    /// The time of submission and wait, per step.
    pub(crate) wall: Stat,
    /// The time of all launches by timestamps, if they work.
    pub(crate) kernels: Option<Stat>,
    /// The time of each launch. Empty without timestamps.
    pub(crate) launches: Vec<Stat>,
    /// The share of `wall` in which a kernel runs: the median over pairs of both times, since other work on
    /// the machine slows both.
    pub(crate) busy: Option<f64>,
}

impl Timing {
    /// Combines each submission's wall time with the times of its launches, which are missing without
    /// timestamps.
    fn new(wall: Stat, walls: &[f64], stamps: &[Vec<f64>]) -> Self {
        let sums: Vec<f64> = stamps.iter().map(|launches| launches.iter().sum()).collect();
        // Some systems return zero for every timestamp. Then only the wall clock is left.
        if sums.is_empty() || sums.iter().any(|&t| t <= 0.0) {
            return Self { wall, kernels: None, launches: vec![], busy: None };
        }
        let launches =
            (0..stamps[0].len()).map(|i| Stat::of(stamps.iter().map(|launches| launches[i]).collect()));
        let busy = Stat::of(sums.iter().zip(walls).map(|(kernels, wall)| kernels / wall).collect()).median;
        Self { wall, launches: launches.collect(), busy: Some(busy), kernels: Some(Stat::of(sums)) }
    }

    /// The times by the better clock: timestamps if they work, else the wall clock.
    pub(crate) fn stat(&self) -> Stat {
        self.kernels.unwrap_or(self.wall)
    }

    /// The clock of [`Timing::stat`].
    pub(crate) fn clock(&self) -> Clock {
        if self.kernels.is_some() { Clock::Gpu } else { Clock::Wall }
    }
}

/// Times an executor's step for about `seconds`. If `profiled`, timestamps around every launch also time the
/// last step of each submission.
pub(crate) fn time(gpu: &Gpu, executor: &Executor, seconds: f64, profiled: bool) -> Result<Timing> {
    let profile = if profiled && gpu.caps().timestamps { Some(Profile::new(gpu, executor)?) } else { None };
    let submit = |repeats: usize| -> Result<f64> {
        let start = Instant::now();
        gpu.submit(|encoder| {
            (1..repeats).try_for_each(|_| executor.record(encoder))?;
            match &profile {
                Some(profile) => profile.record(encoder, executor),
                None => executor.record(encoder),
            }
        })?;
        gpu.wait()?;
        Ok(start.elapsed().as_secs_f64() / repeats as f64)
    };
    // Drivers compile at the first dispatch, so the second one shows the speed.
    submit(1)?;
    let repeats = (SUBMISSION / submit(1)?).clamp(1.0, MAX_REPEATS) as usize;
    let (mut stamps, mut walls) = (vec![], vec![]);
    let wall = sample(seconds, || {
        let wall = submit(repeats)?;
        walls.push(wall);
        stamps.extend(profile.as_ref().map(|p| p.read(gpu)).transpose()?);
        Ok(wall)
    })?;
    Ok(Timing::new(wall, &walls, &stamps))
}

/// A case on the device, whose results are those of its reference.
pub(crate) struct Subject<'a> {
    gpu: &'a Gpu,
    /// The plan of the case.
    pub(crate) plan: Plan,
    /// The largest error, as a share of 1 + |reference|.
    pub(crate) error: f64,
    executor: Executor,
}

impl<'a> Subject<'a> {
    /// Prepares a case on the device and checks it.
    pub(crate) fn new(gpu: &'a Gpu, case: &Case) -> Result<Self> {
        let plan = Plan::new(&case.graph, gpu.caps())?;
        let state = State::new(gpu, &[&plan], SEED)?;
        let executor = Executor::new(gpu, &plan, &state, &[])?;
        let mut values = Values::new();
        for (name, ty) in &plan.inputs {
            let array = fill(name, ty);
            match ty.dtype {
                DType::F32 => executor.write(gpu, name, &array.to_f32())?,
                DType::U32 => {
                    executor.write(gpu, name, &array.data.iter().map(|&x| x as u32).collect::<Vec<_>>())?
                }
                DType::U8 => {
                    executor.write(gpu, name, &array.data.iter().map(|&x| x as u8).collect::<Vec<_>>())?
                }
            }
            values.insert(name.clone(), array);
        }
        executor.step(gpu)?;
        gpu.wait()?;
        let mut this = Self { gpu, plan, error: 0.0, executor };
        this.error = match case.check {
            Check::Whole => this.check_whole(case, &state, &values)?,
            Check::Rows(op) => this.check_rows(case, op, &values)?,
        };
        Ok(this)
    }

    /// Times the case, which was checked before.
    pub(crate) fn time(&self, seconds: f64) -> Result<Timing> {
        time(self.gpu, &self.executor, seconds, true)
    }

    /// Checks every output and every variable after one step.
    fn check_whole(&self, case: &Case, state: &State, values: &Values) -> Result<f64> {
        let mut after = reference::initial(&case.graph, SEED);
        let outputs = reference::eval(&case.graph, values, &mut after)?;
        let mut worst: f64 = 0.0;
        for output in &self.plan.outputs {
            let got = decode(&self.executor.read_words(self.gpu, &output.name)?, output.ty.dtype);
            worst = worst.max(compare(&case.name, &output.name, &got, &outputs[&output.name].data)?);
        }
        for (name, ty) in state.names() {
            let got = decode(&state.read_words(self.gpu, name)?, ty.dtype);
            worst = worst.max(compare(&case.name, name, &got, &after[name].data)?);
        }
        Ok(worst)
    }

    /// Checks some rows of a product, at even distances, with all their columns. The whole of a large product
    /// takes the host too long.
    fn check_rows(&self, case: &Case, op: MatMul, values: &Values) -> Result<f64> {
        let (a, b) = (&values["a"], &values["b"]);
        let e = op.extents(&a.shape, &b.shape).expect("a product's inputs");
        let rows: Vec<usize> = (0..ROWS).map(|i| i * (e.m - 1) / (ROWS - 1)).collect();
        let at = |i: usize| if op.ta { i % e.k * e.m + rows[i / e.k] } else { rows[i / e.k] * e.k + i % e.k };
        let some = Array::from_fn([ROWS, e.k], |i| a.data[at(i)]);
        let want = MatMul { ta: false, ..op }.reference(&[&some, b]);
        let all = self.executor.read(self.gpu, "y")?;
        let got: Vec<f64> =
            rows.iter().flat_map(|row| &all[row * e.n..(row + 1) * e.n]).map(|&x| f64::from(x)).collect();
        compare(&case.name, "y", &got, &want.data)
    }
}

/// Values for an input: uniform numbers in [-½, ½) for f32, bytes for U8, each row number once for U32.
fn fill(name: &str, ty: &Type) -> Array {
    let n = ty.shape.numel();
    let key = RandomStream::new(name).key([SEED as u32, 0]);
    let order = if ty.dtype == DType::U32 { permutation(SEED, 0, n) } else { vec![] };
    Array::from_fn(ty.shape.clone(), |i| match ty.dtype {
        DType::F32 => f64::from(rng::uniform(key, 0, i as u32)) - 0.5,
        DType::U8 => (f64::from(rng::uniform(key, 0, i as u32)) * 256.0).floor(),
        DType::U32 => f64::from(order[i]),
    })
}

/// Converts 32-bit words to numbers, by their type.
pub(crate) fn decode(words: &[u32], dtype: DType) -> Vec<f64> {
    let value = |&w: &u32| if dtype == DType::F32 { f64::from(f32::from_bits(w)) } else { f64::from(w) };
    words.iter().map(value).collect()
}

/// Returns the largest error as a share of 1 + |reference|, or an error that names the first element that
/// differs too much.
pub(crate) fn compare(case: &str, what: &str, got: &[f64], want: &[f64]) -> Result<f64> {
    if got.len() != want.len() {
        let (got, want) = (got.len(), want.len());
        return Err(Error::new(format!("{case}: `{what}` has {got} elements, its reference {want}")));
    }
    let error = |(a, b): (&f64, &f64)| (a - b).abs() / (1.0 + b.abs());
    // A NaN is never within the tolerance.
    match got.iter().zip(want).position(|pair| error(pair).is_nan() || error(pair) > TOLERANCE) {
        None => Ok(got.iter().zip(want).map(error).fold(0.0, f64::max)),
        Some(i) => Err(Error::new(format!(
            "{case}: element {i} of `{what}` is {}, its reference {}; a wrong kernel is not timed: run `cargo xtask test` on this adapter",
            got[i], want[i]
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quartiles() {
        assert_eq!(
            Stat::of(vec![4.0, 1.0, 2.0, 3.0, 100.0]),
            Stat { median: 3.0, best: 1.0, spread: 2.0 / 3.0, samples: 5 }
        );
        assert_eq!(Stat::of(vec![2.0]), Stat { median: 2.0, best: 2.0, spread: 0.0, samples: 1 });
    }

    #[test]
    fn timestamps_are_preferred_unless_they_are_missing_or_zero() {
        let wall = Stat::of(vec![4.0, 4.0]);
        let timing = Timing::new(wall, &[4.0, 8.0], &[vec![1.0, 2.0], vec![2.0, 4.0]]);
        assert_eq!((timing.clock(), timing.launches.len(), timing.busy), (Clock::Gpu, 2, Some(0.75)));
        for stamps in [vec![], vec![vec![0.0, 0.0], vec![0.0, 0.0]], vec![vec![1.0], vec![0.0]]] {
            let timing = Timing::new(wall, &[4.0, 4.0], &stamps);
            assert_eq!((timing.clock(), timing.stat(), timing.busy), (Clock::Wall, wall, None));
        }
    }

    #[test]
    fn sampling_stops_by_time_but_not_before_a_few() {
        assert_eq!(sample(0.0, || Ok(1.0)).unwrap().samples, SAMPLES.start);
        assert_eq!(sample(1e9, || Ok(1.0)).unwrap().samples, SAMPLES.end);
    }

    #[test]
    fn wrong_results_are_named() {
        assert!(compare("c", "y", &[1.0, 1e6 + 50.0], &[1.0, 1e6]).is_ok());
        for bad in [&[1.0, 2.001][..], &[1.0, f64::NAN], &[1.0, f64::INFINITY], &[1.0]] {
            let line = compare("case", "y", bad, &[1.0, 2.0]).unwrap_err().to_string();
            assert!(line.starts_with("case: ") && line.contains("`y`"), "{line}");
        }
    }
}
