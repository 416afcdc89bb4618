//! Updates of an optimizer group as one launch over its arena, with PyTorch's arithmetic. Users reach them
//! through [`crate::optim`]. The file also holds what a training step counts and remembers: a counter, and a
//! ring of metrics.

use super::random::{LANES, inputs};
use crate::{
    graph::{
        ALIGN, Tensor,
        op::{LaunchSpec, Lowered, Lowering, Op, Operand, grid_1d},
        shape::{Array, DType, Type},
    },
    kernel::Shader,
};

static SHADER: Shader = crate::shader!("optimizer");
type Cotangents<'g> = Vec<Option<Tensor<'g>>>;

/// How parameters follow their gradient. Hyperparameters are f64, since 1 - β loses digits in f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Stochastic gradient descent.
    Sgd {
        /// The share of the last update that is kept; 0 needs no moment.
        momentum: f64,
        /// The L2 penalty, which is added to the gradient.
        weight_decay: f64,
    },
    /// Adam (Kingma & Ba 2014), or AdamW (Loshchilov & Hutter 2017) when decoupled.
    Adam {
        /// The decay of the first moment.
        beta1: f64,
        /// The decay of the second moment.
        beta2: f64,
        /// What is added to the root of the second moment.
        eps: f64,
        /// The weight decay.
        weight_decay: f64,
        /// Whether the decay shrinks the weights directly, instead of joining the gradient.
        decoupled: bool,
    },
}

impl Rule {
    /// The names of the moments, in the order of their rows.
    pub fn moments(&self) -> &'static [&'static str] {
        match self {
            Rule::Sgd { momentum: 0.0, .. } => &[],
            Rule::Sgd { .. } => &["sgd.momentum"],
            Rule::Adam { .. } => &["adam.m", "adam.v"],
        }
    }
}

/// One step of a group, whose new state is the output, in place. The inputs are the state `[rows, T]`
/// (parameters, the rule's moments, the moving average), the gradients `[T]`, lr and scale (one f32 each;
/// scale multiplies the gradients and clips them), and the step (t = step + 1).
#[derive(Debug)]
pub struct Update {
    /// The rule.
    pub rule: Rule,
    /// The decay of the parameters' moving average, if there is one; it starts as a copy of the parameters
    /// after step 0.
    pub ema: Option<f64>,
}

impl Update {
    /// The number of rows of the state.
    pub fn rows(&self) -> usize {
        1 + self.rule.moments().len() + usize::from(self.ema.is_some())
    }

    /// The new values of one parameter, of its moments and of its average; `t` counts from 1.
    fn apply(&self, column: &mut [f64], grad: f64, lr: f64, t: i32) {
        let p = column[0];
        column[0] = match self.rule {
            Rule::Sgd { momentum, weight_decay } => {
                let mut b = grad + weight_decay * p;
                if momentum != 0.0 {
                    b += momentum * column[1];
                    column[1] = b;
                }
                p - lr * b
            }
            Rule::Adam { beta1, beta2, eps, weight_decay, decoupled } => {
                let (p, g) = match decoupled {
                    true => (p * (1.0 - lr * weight_decay), grad),
                    false => (p, grad + weight_decay * p),
                };
                column[1] = beta1 * column[1] + (1.0 - beta1) * g;
                column[2] = beta2 * column[2] + (1.0 - beta2) * g * g;
                let denom = column[2].sqrt() / (1.0 - beta2.powi(t)).sqrt() + eps;
                p - lr / (1.0 - beta1.powi(t)) * column[1] / denom
            }
        };
        if let (Some(decay), [p, .., average]) = (self.ema, column) {
            *average = if t == 1 { *p } else { decay * *average + (1.0 - decay) * *p };
        }
    }
}

impl Op for Update {
    fn name(&self) -> &'static str {
        match self.rule {
            Rule::Sgd { .. } => "sgd",
            Rule::Adam { .. } => "adam",
        }
    }

    fn infer(&self, types: &[Type]) -> Result<Type, String> {
        let [state, grads, lr, scale, step] = inputs(types)?;
        let (rows, total) = match state.shape.as_ref() {
            &[rows, total] if rows == self.rows() && total.is_multiple_of(ALIGN) => (rows, total),
            _ => {
                return Err(format!(
                    "takes a state of {} rows of whole {ALIGN}s, got {state:?}",
                    self.rows()
                ));
            }
        };
        if grads != &Type::f32([total]) {
            return Err(format!("takes one gradient per parameter, {total}, got {grads:?}"));
        }
        if [lr, scale].iter().any(|t| t.dtype != DType::F32 || t.shape.numel() != 1)
            || step != &Type::u32([1])
        {
            return Err(format!(
                "takes lr and scale as one f32 each and the step as U32[1], got {lr:?}, {scale:?}, {step:?}"
            ));
        }
        Ok(Type::f32([rows, total]))
    }

    fn reference(&self, x: &[&Array]) -> Array {
        let (rows, total) = (x[0].shape[0], x[0].shape[1]);
        let (lr, scale, t) = (x[2].data[0], x[3].data[0], x[4].data[0] as i32 + 1);
        let mut state = x[0].clone();
        for i in 0..total {
            let mut column: Vec<f64> = (0..rows).map(|r| state.data[r * total + i]).collect();
            self.apply(&mut column, x[1].data[i] * scale, lr, t);
            for (r, value) in column.into_iter().enumerate() {
                state.data[r * total + i] = value;
            }
        }
        state
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Cotangents<'g> {
        vec![None; 5]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let (rows, total) = (at.output.shape[0], at.output.shape[1]);
        let launch = LaunchSpec::new(&SHADER, self.name(), grid_1d((total / 4).div_ceil(LANES)))
            .constant("WORKGROUP", LANES as f64)
            .bind("state", Operand::Output)
            .bind("grads", Operand::Input(1))
            .bind("lr", Operand::Input(2))
            .bind("scale", Operand::Input(3))
            .bind("time", Operand::Input(4))
            .dim("n4", total / 4)
            .dim("average", if self.ema.is_some() { rows - 1 } else { 0 })
            .dim_f32("rest_average", (1.0 - self.ema.unwrap_or(1.0)) as f32)
            .cost(20 * total, 4 * (total * (2 * rows + 1)) as u64)
            .why("the whole group at once");
        let launch = match self.rule {
            Rule::Sgd { momentum, weight_decay } => {
                launch.dim_f32("momentum", momentum as f32).dim_f32("decay", weight_decay as f32)
            }
            Rule::Adam { beta1, beta2, eps, weight_decay, decoupled } => launch
                .dim_f32("rest1", (1.0 - beta1) as f32)
                .dim_f32("rest2", (1.0 - beta2) as f32)
                // β = 0 stays finite: β^t is then 1e-30 at most.
                .dim_f32("log_beta1", beta1.max(1e-30).ln() as f32)
                .dim_f32("log_beta2", beta2.max(1e-30).ln() as f32)
                .dim_f32("eps", eps as f32)
                .dim_f32("decay", weight_decay as f32)
                .dim("decoupled", usize::from(decoupled)),
        };
        Ok(launch.into())
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }
}

/// A counter (u32 `[1]`) plus 1, in place.
#[derive(Debug)]
pub struct Increment;

impl Op for Increment {
    fn name(&self) -> &'static str {
        "increment"
    }

    fn infer(&self, types: &[Type]) -> Result<Type, String> {
        let [counter] = inputs(types)?;
        match counter == &Type::u32([1]) {
            true => Ok(counter.clone()),
            false => Err(format!("takes a counter U32[1], got {counter:?}")),
        }
    }

    fn reference(&self, x: &[&Array]) -> Array {
        Array::new([1], vec![f64::from((x[0].data[0] as u32).wrapping_add(1))])
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Cotangents<'g> {
        vec![None]
    }

    fn lower(&self, _: &Lowering<'_>) -> Result<Lowered, String> {
        Ok(LaunchSpec::new(&SHADER, "increment", [1, 1, 1])
            .bind("counter", Operand::Output)
            .cost(0, 8)
            .into())
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }
}

/// Writes values into row `step mod H` of a history `[H, K]`, in place. The inputs are history, step, and rows of
/// values that are K together.
#[derive(Debug)]
pub struct Record;

impl Op for Record {
    fn name(&self) -> &'static str {
        "record"
    }

    fn infer(&self, types: &[Type]) -> Result<Type, String> {
        let widths = |values: &[Type]| values.iter().map(|v| v.shape.numel()).sum::<usize>();
        let row = |v: &Type| v.dtype == DType::F32 && v.shape.len() == 1;
        match types {
            [history, step, values @ ..]
                if matches!(*history.shape, [slots, width] if slots > 0 && width == widths(values))
                    && history.dtype == DType::F32
                    && step == &Type::u32([1])
                    && values.iter().all(row) =>
            {
                Ok(history.clone())
            }
            _ => Err(format!("takes a history [H, K], the step U32[1] and rows of K values, got {types:?}")),
        }
    }

    fn reference(&self, x: &[&Array]) -> Array {
        let (slots, width) = (x[0].shape[0], x[0].shape[1]);
        let mut history = x[0].clone();
        let values: Vec<f64> = x[2..].iter().flat_map(|x| x.data.iter().copied()).collect();
        history.data[x[1].data[0] as usize % slots * width..][..width].copy_from_slice(&values);
        history
    }

    fn vjp<'g>(&self, inputs: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Cotangents<'g> {
        vec![None; inputs.len()]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let (slots, width) = (at.output.shape[0], at.output.shape[1]);
        let mut column = 0;
        let mut launch = |i: usize| {
            let n = at.inputs[i].shape.numel();
            let launch = LaunchSpec::new(&SHADER, "record", grid_1d(n.div_ceil(LANES)))
                .constant("WORKGROUP", LANES as f64)
                .bind("history", Operand::Output)
                .bind("values", Operand::Input(i))
                .bind("time", Operand::Input(1))
                .dim("slots", slots)
                .dim("width", width)
                .dim("column", column)
                .dim("values", n)
                .cost(0, 8 * n as u64);
            column += n;
            launch
        };
        Ok(Lowered { launches: (2..at.inputs.len()).map(&mut launch).collect(), ..Lowered::default() })
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }
}

impl<'g> Tensor<'g> {
    /// A counter (u32 `[1]`) plus 1.
    #[track_caller]
    #[must_use]
    pub fn increment(self) -> Tensor<'g> {
        self.graph().apply(Increment, &[self])
    }

    /// A history (f32 `[H, K]`) with this step's values in row `step mod H`: rows that are K together.
    #[track_caller]
    #[must_use]
    pub fn record(self, values: &[Tensor<'g>]) -> Tensor<'g> {
        self.graph().apply(Record, &[&[self, self.graph().step()], values].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs three steps on one parameter (in a row of 64) with gradients 0.5, -1, 2 and lr 0.1.
    fn three_steps(op: &Update) -> Vec<f64> {
        let mut state = Array::from_fn([op.rows(), 64], |i| if i < 64 { 1.0 } else { 0.0 });
        let (lr, scale) = (Array::scalar(0.1), Array::scalar(1.0));
        let run = |(step, g): (usize, f64)| {
            let (grads, step) = (Array::from_fn([64], |_| g), Array::new([1], vec![step as f64]));
            state = op.reference(&[&state, &grads, &lr, &scale, &step]);
            state.data[0]
        };
        [0.5, -1.0, 2.0].into_iter().enumerate().map(run).collect()
    }

    fn close(got: &[f64], expected: &[f64]) {
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-7), "{got:?} against {expected:?}");
    }

    /// The expected values are those of torch.optim.Adam, AdamW and Adam in f64 with lr 0.1 and weight_decay
    /// 0, 0.1 and 0.1.
    #[test]
    fn adam_is_pytorchs() {
        let rule = |weight_decay, decoupled| Rule::Adam {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay,
            decoupled,
        };
        close(&three_steps(&Update { rule: rule(0.0, false), ema: None }), &ADAM);
        close(&three_steps(&Update { rule: rule(0.1, true), ema: None }), &ADAMW);
        close(&three_steps(&Update { rule: rule(0.1, false), ema: None }), &ADAM_L2);
    }

    const ADAM: [f64; 3] = [0.900000002, 0.9366103542, 0.8946447927];
    const ADAMW: [f64; 3] = [0.890000002, 0.9177103542, 0.8665676892];
    const ADAM_L2: [f64; 3] = [0.9000000017, 0.9252635194, 0.8776172608];

    #[test]
    fn sgd_keeps_its_momentum() {
        let sgd = |momentum| Update { rule: Rule::Sgd { momentum, weight_decay: 0.0 }, ema: None };
        close(&three_steps(&sgd(0.0)), &[0.95, 1.05, 0.85]);
        close(&three_steps(&sgd(0.9)), &[0.95, 1.005, 0.8545]);
    }

    #[test]
    fn the_average_starts_as_a_copy() {
        let op = Update { rule: Rule::Sgd { momentum: 0.0, weight_decay: 0.0 }, ema: Some(0.9) };
        let (mut first, mut second) = ([1.0, 0.0], [2.0, 4.0]);
        op.apply(&mut first, 1.0, 0.5, 1);
        op.apply(&mut second, 0.0, 0.5, 2);
        assert_eq!(first, [0.5, 0.5]);
        close(&second, &[2.0, 3.8]);
    }

    #[test]
    fn bookkeepers_and_mistakes() {
        let history = Record.reference(&[
            &Array::from_fn([2, 3], |_| 0.0),
            &Array::new([1], vec![3.0]),
            &Array::new([1], vec![7.0]),
            &Array::new([2], vec![8.0, 9.0]),
        ]);
        assert_eq!(history.data, [0.0, 0.0, 0.0, 7.0, 8.0, 9.0]);
        assert_eq!(Increment.reference(&[&Array::new([1], vec![f64::from(u32::MAX)])]).data, [0.0]);
        let op = Update { rule: Rule::Sgd { momentum: 0.0, weight_decay: 0.0 }, ema: None };
        let one = Type::f32([1]);
        let infer = |rows: usize, n: usize| {
            op.infer(&[Type::f32([rows, 64]), Type::f32([n]), one.clone(), one.clone(), Type::u32([1])])
        };
        assert_eq!(infer(1, 64), Ok(Type::f32([1, 64])));
        assert!(infer(2, 64).unwrap_err().contains("1 rows") && infer(1, 60).unwrap_err().contains("64"));
    }
}
