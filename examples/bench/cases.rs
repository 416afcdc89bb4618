//! The cases of the benchmark: square matrix products that can be compared with other programs, the layers of
//! the models as their training steps run them, and one case of every other kind of kernel.

use bench::BATCH;
use oneiro::{
    error::{Error, Result},
    graph::{
        Graph, Tensor,
        autodiff::vjp,
        shape::{DType, Type},
        var::Init,
        window::{Kernel, Taps},
    },
    models::vae::Config,
    nn::Linear,
    ops::{
        conv2d::{Conv2d, Side},
        matmul::{MatMul, product},
        optimizer::{Rule, Update},
        reparameterize::reparameterize,
    },
};

const M: usize = 1 << 20;

/// How the results of a case are compared with the reference.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Check {
    /// Every element of all outputs and variables is compared.
    Whole,
    /// Only [`ROWS`] rows of the product of `a` and `b` are compared.
    Rows(MatMul),
}

/// The number of rows that are checked in a large product.
pub(crate) const ROWS: usize = 8;

/// A named graph that is timed as one step.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) graph: Graph,
    pub(crate) check: Check,
    /// Whether the case takes seconds on a software driver, where it runs only if `--filter` is its full
    /// name.
    pub(crate) large: bool,
}

/// Makes a case whose results are all checked.
pub(crate) fn case(name: impl Into<String>, build: impl FnOnce(&Graph)) -> Case {
    let graph = Graph::new();
    build(&graph);
    Case { name: name.into(), graph, check: Check::Whole, large: false }
}

/// The cases that match `--filter`; on a software driver, without the large ones. If none matches, the error
/// lists the names.
pub(crate) fn chosen(filter: &str, software: bool) -> Result<Vec<Case>> {
    let keep = |c: &Case| c.name == filter || (c.name.contains(filter) && !(software && c.large));
    let (kept, rest): (Vec<_>, Vec<_>) = all().into_iter().partition(keep);
    if kept.is_empty() {
        let names: Vec<_> = rest.iter().map(|c| c.name.as_str()).collect();
        let hint = "(the largest run on software drivers by their full names only)";
        return Err(Error::new(format!(
            "no case matches --filter `{filter}` {hint}; there are: {}",
            names.join("; ")
        )));
    }
    Ok(kept)
}

/// All cases.
pub(crate) fn all() -> Vec<Case> {
    [
        squares(),
        convolutions(),
        vae(),
        elementwise(),
        reductions(),
        classification(),
        data(),
        random(),
        optimizers(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn large(case: Case) -> Case {
    Case { large: true, ..case }
}

fn matmul(name: String, [m, k, n]: [usize; 3], ta: bool, tb: bool) -> Case {
    case(name, |g| {
        let a = input(g, "a", if ta { [k, m] } else { [m, k] });
        let b = input(g, "b", if tb { [n, k] } else { [k, n] });
        g.output("y", product(a, b, ta, tb));
    })
}

fn input<'g, const N: usize>(g: &'g Graph, name: &str, shape: [usize; N]) -> Tensor<'g> {
    g.input(name, Type::f32(shape))
}

fn squares() -> Vec<Case> {
    let square = |n: usize, (layout, ta, tb): (&str, bool, bool)| {
        let case = matmul(format!("matmul {layout} {n}"), [n; 3], ta, tb);
        let check = if n > 512 { Check::Rows(MatMul { ta, tb }) } else { Check::Whole };
        Case { check, large: n > 1024, ..case }
    };
    let layouts = [("nn", false, false), ("nt", false, true), ("tn", true, false)];
    let mut out: Vec<_> = [256, 512, 1024, 2048, 4096].map(|n| square(n, layouts[0])).into();
    out.extend(layouts[1..].iter().flat_map(|&layout| [512, 2048].map(|n| square(n, layout))));
    out
}

/// The three roles of a convolution (output, input gradient, weight gradient), in layers of 16 images of
/// 28x28.
fn convolutions() -> Vec<Case> {
    let same = |size: usize| Kernel::same(size);
    let layers = [
        ("3x3", same(3), [64, 64]),
        ("3x3 mask B", same(3).taps(Taps::MaskB), [64, 64]),
        ("7x7 mask A", same(7).taps(Taps::MaskA), [1, 64]),
        ("4x4 stride 2", Kernel::square(4).stride(2).padding(1), [64, 128]),
    ];
    let mut out = vec![];
    for (name, kernel, [c, o]) in layers {
        let window = kernel.window([28, 28]).expect("the kernel fits");
        let [h, w] = window.made;
        for (side, what) in
            [(Side::Output, "forward"), (Side::Input, "input gradient"), (Side::Weight, "weight gradient")]
        {
            // Images have no gradient.
            if side == Side::Input && c == 1 {
                continue;
            }
            let (window, taps) = (window.clone(), window.taps.len());
            out.push(case(format!("conv2d {name} 16x28x28 {c} to {o} {what}"), |g| {
                let (x, y) = (|| input(g, "x", [16, 28, 28, c]), || input(g, "y", [16, h, w, o]));
                let weights = || input(g, "w", [taps, c, o]);
                let inputs = match side {
                    Side::Output => [x(), weights()],
                    Side::Input => [y(), weights()],
                    Side::Weight => [x(), y()],
                };
                g.output("z", g.apply(Conv2d { side, window }, &inputs));
            }));
        }
    }
    out
}

/// The VAE's layers, forward with bias and activation, and their gradients; its loss and its draw.
fn vae() -> Vec<Case> {
    let Config { pixels, hidden, latent, .. } = Config::default();
    let hidden = hidden[0];
    let mut out = vec![];
    for (layer, i, o) in
        [("fc1", pixels, hidden), ("fc21", hidden, latent), ("fc3", latent, hidden), ("fc4", hidden, pixels)]
    {
        out.push(case(format!("vae {layer} forward {BATCH}x{i}x{o}"), |g| {
            let y = Linear::new(g, layer, i, o).forward(input(g, "x", [BATCH, i]));
            g.output("y", if o == hidden { y.relu() } else { y });
        }));
        out.push(matmul(format!("vae {layer} weight gradient {o}x{BATCH}x{i}"), [o, BATCH, i], true, false));
        // Images have no gradient.
        if layer != "fc1" {
            out.push(matmul(
                format!("vae {layer} input gradient {BATCH}x{o}x{i}"),
                [BATCH, o, i],
                false,
                false,
            ));
        }
    }
    out.push(case(format!("vae fc4 bias gradient {BATCH}x{pixels}"), |g| {
        g.output("y", input(g, "dy", [BATCH, pixels]).sum(&[0]))
    }));
    out.push(case(format!("vae reconstruction loss {BATCH}x{pixels}"), |g| {
        let (logits, x) = (input(g, "logits", [BATCH, pixels]), input(g, "x", [BATCH, pixels]));
        g.output("y", logits.bce_with_logits(x).sum_all());
    }));
    out.push(case(format!("vae reconstruction loss gradient {BATCH}x{pixels}"), |g| {
        let (logits, x) = (input(g, "logits", [BATCH, pixels]), input(g, "x", [BATCH, pixels]));
        gradient(logits.bce_with_logits(x), &[logits]);
    }));
    out.push(case(format!("vae reparameterize {BATCH}x{latent}"), |g| {
        let (mu, logvar) = (input(g, "mu", [BATCH, latent]), input(g, "logvar", [BATCH, latent]));
        g.output("y", reparameterize("eps", mu, logvar));
    }));
    out
}

/// Outputs the gradients of `y` for a cotangent `dy`, which is an input.
fn gradient<'g>(y: Tensor<'g>, wrt: &[Tensor<'g>]) {
    let g = y.graph();
    for (i, dx) in vjp(y, g.input("dy", y.ty()), wrt).into_iter().enumerate() {
        g.output(&format!("dx{i}"), dx);
    }
}

fn elementwise() -> Vec<Case> {
    let axpy =
        |name: &str, n: usize| case(name, |g| g.output("y", input(g, "a", [n]) * 1.5 + input(g, "b", [n])));
    vec![
        axpy("elementwise x*1.5+y 4M", 4 * M),
        large(axpy("elementwise x*1.5+y 16M", 16 * M)),
        case("elementwise tanh(a)*sigmoid(b) 4M", |g| {
            g.output("y", input(g, "a", [4 * M]).tanh() * input(g, "b", [4 * M]).sigmoid())
        }),
        case("elementwise bias and relu 4096x1024", |g| {
            g.output("y", (input(g, "a", [4096, 1024]) + input(g, "b", [1024])).relu())
        }),
        case("transpose 2048x2048", |g| g.output("y", input(g, "a", [2048, 2048]).t())),
    ]
}

fn reductions() -> Vec<Case> {
    let shape = [4096, 1024];
    vec![
        case("sum 4M", |g| g.output("y", input(g, "a", [4 * M]).sum_all())),
        case("sum of rows 4096x1024", |g| g.output("y", input(g, "a", shape).sum(&[1]))),
        case("sum of columns 4096x1024", |g| g.output("y", input(g, "a", shape).sum(&[0]))),
        case("max of rows 4096x1024", |g| g.output("y", input(g, "a", shape).max_over(&[1]))),
        case("squared norm 1M", |g| g.output("y", input(g, "a", [M]).square().sum_all())),
    ]
}

/// Classifications with 256 classes, as a pixel's value has.
fn classification() -> Vec<Case> {
    let shape = [4096, 256];
    let loss = |g: &Graph| -> () {
        g.output("y", input(g, "logits", shape).cross_entropy(input(g, "target", shape)))
    };
    vec![
        case("softmax 4096x256", |g| g.output("y", input(g, "logits", shape).softmax(1))),
        case("softmax gradient 4096x256", |g| {
            let logits = input(g, "logits", shape);
            gradient(logits.softmax(1), &[logits]);
        }),
        case("cross-entropy 4096x256", loss),
        case("cross-entropy gradient 4096x256", |g| {
            let logits = input(g, "logits", shape);
            gradient(logits.cross_entropy(input(g, "target", shape)), &[logits]);
        }),
    ]
}

fn data() -> Vec<Case> {
    const IMAGES: usize = 10_000;
    let images = |g: &Graph, batch: fn(Tensor<'_>, Tensor<'_>)| {
        let bytes = g.input("data", Type { shape: [IMAGES, 784].into(), dtype: DType::U8 });
        batch(bytes, g.input("order", Type::u32([IMAGES])));
    };
    vec![
        case(format!("gather {BATCH} of {IMAGES}x784 bytes"), |g| {
            images(g, |data, order| data.graph().output("y", data.gather_rows(order, BATCH)));
        }),
        case(format!("gather and binarise {BATCH} of {IMAGES}x784 bytes"), |g| {
            images(g, |data, order| {
                data.graph().output("y", data.gather_rows_binarised(order, BATCH, "binarise"))
            });
        }),
    ]
}

fn random() -> Vec<Case> {
    let both =
        |g: &Graph, build: fn(Tensor<'_>, Tensor<'_>)| build(input(g, "mu", [M]), input(g, "logvar", [M]));
    vec![
        case("normal 1M", |g| g.output("y", g.normal("eps", [M]))),
        case("reparameterize 1M", |g| {
            both(g, |mu, logvar| mu.graph().output("y", reparameterize("eps", mu, logvar)))
        }),
        case("reparameterize gradient 1M", |g| {
            both(g, |mu, logvar| gradient(reparameterize("eps", mu, logvar), &[logvar]))
        }),
    ]
}

fn optimizers() -> Vec<Case> {
    let rules = [
        ("adam 1M", Rule::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decoupled: false }),
        ("sgd with momentum 1M", Rule::Sgd { momentum: 0.9, weight_decay: 0.0 }),
    ];
    let update = |(name, rule): (&str, Rule)| {
        case(name, |g| {
            let w = g.var("w", Type::f32([M]), Init::Uniform(0.1));
            let state = g.arena("group", &[w], rule.moments(), false);
            // The step counter stays at 0, so that every timed step computes what was checked.
            let inputs = [state, input(g, "gradient", [M]), g.full([1], 1e-3), g.constant(1.0), g.step()];
            g.assign(state, g.apply(Update { rule, ema: None }, &inputs));
        })
    };
    rules.map(update).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneiro::{
        kernel::caps::{AdapterClass, Caps},
        plan::Plan,
    };
    use std::collections::BTreeSet;

    #[test]
    fn every_case_has_its_own_name_and_fits_every_adapter() {
        let cases = all();
        assert_eq!(cases.iter().map(|c| &c.name).collect::<BTreeSet<_>>().len(), cases.len());
        for caps in [Caps::portable(AdapterClass::Gpu), Caps::portable(AdapterClass::Cpu), Caps::software()] {
            for case in &cases {
                let plan = Plan::new(&case.graph, &caps).unwrap_or_else(|e| panic!("{}: {e}", case.name));
                assert!(
                    !plan.launches.is_empty() && plan.launches.iter().all(|l| l.bytes > 0),
                    "{} moves nothing",
                    case.name
                );
            }
        }
    }

    #[test]
    fn a_filter_leaves_what_contains_it_and_an_unknown_one_lists_the_names() {
        assert!(chosen("adam", true).unwrap().iter().all(|c| c.name.contains("adam")));
        assert!(chosen("", false).unwrap().len() > chosen("", true).unwrap().len());
        assert_eq!(chosen("matmul nn 4096", true).unwrap().len(), 1);
        let line = chosen("warp drive", true).err().unwrap().to_string();
        assert!(line.contains("warp drive") && all().iter().all(|c| line.contains(&c.name)), "{line}");
    }
}
