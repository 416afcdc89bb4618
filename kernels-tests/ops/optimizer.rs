//! Updates of optimizer groups, alone and as part of three training steps; and the two ops that keep a step's
//! counter and history.

use crate::harness::{Case, Fill};
use oneiro::{
    graph::{Graph, shape::Type, var::Init},
    ops::optimizer::{Rule, Update},
    optim::{Optimizer, Schedule, advance},
};

fn rules() -> [(&'static str, Rule); 5] {
    let adam = |beta1, weight_decay, decoupled| Rule::Adam {
        beta1,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay,
        decoupled,
    };
    [
        ("sgd", Rule::Sgd { momentum: 0.0, weight_decay: 0.01 }),
        ("sgd momentum", Rule::Sgd { momentum: 0.9, weight_decay: 0.0 }),
        ("adam", adam(0.9, 0.0, false)),
        ("adam beta1 0, decay", adam(0.0, 0.1, false)),
        ("adamw", adam(0.9, 0.1, true)),
    ]
}

/// One update of a state that is an input, so that a copy is updated.
fn update((name, rule): (&'static str, Rule), total: usize, ema: Option<f64>, step: f64) -> Case {
    let build = move |g: &Graph| {
        let op = Update { rule, ema };
        let state = g.input("state", Type::f32([op.rows(), total]));
        let (grads, lr, scale) = (
            g.input("grads", Type::f32([total])),
            g.input("lr", Type::f32([1])),
            g.input("scale", Type::f32([1])),
        );
        g.output("y", g.apply(op, &[state, grads, lr, scale, g.step()]));
    };
    Case::new(name, format!("{total}, ema {ema:?}, step {step}"), build)
        .fill("state", Fill::Uniform(0.1, 1.0))
        .fill("lr", Fill::Uniform(0.01, 0.1))
        .fill("scale", Fill::Uniform(0.5, 1.0))
        .state("step", [step])
        .tolerance(2e-6, 2e-5)
}

/// Three training steps of a small regression: gradients, clipping, schedule, arena.
fn training(name: &'static str, optimizer: Optimizer) -> Case {
    let build = move |g: &Graph| {
        let x = g.input("x", Type::f32([7, 5]));
        let (w, b) =
            (g.var("w", Type::f32([5, 3]), Init::Normal(0.0, 0.5)), g.var("b", Type::f32([3]), Init::Zeros));
        let loss = (x.matmul(w) + b - g.input("target", Type::f32([7, 3]))).square().mean_all();
        let step = optimizer.clone().step("group", loss, &[w, b]);
        g.output("loss", loss);
        g.output("rate", step.lr);
        step.grad_norm.into_iter().for_each(|norm| g.output("norm", norm));
        advance(g);
    };
    Case::new("training step", name, build).tolerance(2e-5, 1e-4)
}

fn record(slots: usize, widths: &'static [usize], step: f64) -> Case {
    let width: usize = widths.iter().sum();
    let build = move |g: &Graph| {
        let history = g.var("history", Type::f32([slots, width]), Init::Constant(0.5));
        let row = |(i, n): (usize, &usize)| g.input(&format!("values{i}"), Type::f32([*n]));
        let values: Vec<_> = widths.iter().enumerate().map(row).collect();
        g.assign(history, history.record(&values));
        advance(g);
    };
    Case::new("record", format!("{slots}x{widths:?} from {step}"), build)
        .state("step", [step])
        .tolerance(0.0, 0.0)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut out = vec![];
    for rule in rules() {
        for total in [64, 128, 960, 1_024, 1_088, 10_048] {
            out.extend([
                update(rule, total, None, 0.0),
                update(rule, total, Some(0.99), 0.0),
                update(rule, total, Some(0.9), 3.0),
            ]);
        }
    }
    let many = 4 * 65_600;
    out.extend([0, 2].map(|i| update(rules()[i], many, Some(0.9), 1.0).many_workgroups(1)));
    out.push(training("sgd", Optimizer::sgd(0.1, 0.0)));
    out.push(training("momentum, clipped", Optimizer::sgd(0.1, 0.9).clip_norm(0.5)));
    out.push(training("adam, warmup", Optimizer::adam(0.01).schedule(Schedule::Warmup { steps: 5 })));
    out.push(training(
        "adamw, ema, linear",
        Optimizer::adamw(0.01, 0.1).ema(0.9).schedule(Schedule::Linear { steps: 2, floor: 0.1 }),
    ));
    out.push(training(
        "adam, exponential",
        Optimizer::adam(0.01).betas(0.5, 0.9).schedule(Schedule::Exponential { per_step: 0.9 }),
    ));
    let histories: [(usize, &'static [usize]); 5] =
        [(1, &[1]), (2, &[1, 2]), (4, &[4]), (5, &[200, 57]), (64, &[1; 12])];
    for (slots, widths) in histories {
        out.extend([0.0, 3.0, 1_001.0].map(|step| record(slots, widths, step)));
    }
    out.push(record(2, &[65_601], 0.0).many_workgroups(1));
    for start in [0.0, 41.0, f64::from(u32::MAX - 1)] {
        let count = |g: &Graph| {
            let c = g.var("counter", Type::u32([1]), Init::Zeros);
            g.output("y", c.to_f32());
            g.assign(c, c.increment());
        };
        // Compared before it wraps to where f32 is coarser than 1.
        out.push(
            Case::new("increment", format!("{start}"), count).state("counter", [start]).tolerance(0.0, 1e-7),
        );
    }
    out
}
