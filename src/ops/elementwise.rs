//! Elementwise ops are one table. A row holds the f64 reference, the derivative, and the name of the function
//! `e_NAME` in `shaders/elementwise.wgsl` that computes it. The planner composes calls of these functions
//! into clusters and epilogues; a row that is not fused is a cluster of one.

use crate::graph::{
    Graph, Tensor,
    op::{Class, Lowered, Lowering, Op, Row},
    shape::{Array, DType, Shape, Type},
};
use std::ops;

type Cotangents<'g> = Vec<Option<Tensor<'g>>>;

macro_rules! rows {
    ($($name:literal $arity:literal $flops:literal, $eval:expr, |$x:ident, $y:ident, $ct:ident| $vjp:expr;)*) => {
        /// Every elementwise function.
        pub static TABLE: &[Row] = &[$(Row {
            name: $name,
            arity: $arity,
            flops: $flops,
            eval: $eval,
            vjp: |$x, $y, $ct| { let _ = ($x, $y, $ct); $vjp },
        }),*];
    };
}

fn truth(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

/// log(1 + exp(x)) without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// log(1 - exp(-x)): for small x the argument is near 0, for large ones near 1.
fn log1mexp(x: f64) -> f64 {
    if x < 0.5 { (-(-x).exp_m1()).ln() } else { (-(-x).exp()).ln_1p() }
}

/// `a` if it is first, else `b`; a NaN if one is, which Rust's `min` and `max` leave out.
fn ordered(a: f64, b: f64, first: bool) -> f64 {
    match (a.is_nan(), b.is_nan()) {
        (true, _) => a,
        (_, true) => b,
        _ if first => a,
        _ => b,
    }
}

rows! {
    "identity" 1 0, |x| x[0], |x, y, ct| vec![Some(ct)];
    "neg" 1 1, |x| -x[0], |x, y, ct| vec![Some(-ct)];
    "exp" 1 8, |x| x[0].exp(), |x, y, ct| vec![Some(ct * y)];
    "expm1" 1 10, |x| x[0].exp_m1(), |x, y, ct| vec![Some(ct * x[0].exp())];
    "log1mexp" 1 16, |x| log1mexp(x[0]), |x, y, ct| vec![Some(ct / x[0].expm1())];
    "floor" 1 1, |x| x[0].floor(), |x, y, ct| vec![None];
    "log" 1 8, |x| x[0].ln(), |x, y, ct| vec![Some(ct / x[0])];
    "sqrt" 1 4, |x| x[0].sqrt(), |x, y, ct| vec![Some(ct * 0.5 / y)];
    "rsqrt" 1 4, |x| 1.0 / x[0].sqrt(), |x, y, ct| vec![Some(ct * y * y * y * -0.5)];
    "recip" 1 4, |x| 1.0 / x[0], |x, y, ct| vec![Some(-(ct * y * y))];
    "square" 1 1, |x| x[0] * x[0], |x, y, ct| vec![Some(ct * x[0] * 2.0)];
    "tanh" 1 12, |x| x[0].tanh(), |x, y, ct| vec![Some(ct * (1.0 - y.square()))];
    "sigmoid" 1 12, |x| 1.0 / (1.0 + (-x[0]).exp()), |x, y, ct| vec![Some(ct * y * (1.0 - y))];
    "softplus" 1 16, |x| softplus(x[0]), |x, y, ct| vec![Some(ct * x[0].sigmoid())];
    // The derivative is written with the output, so that the input need not be kept when the op ends a
    // matmul.
    "relu" 1 1, |x| if x[0] < 0.0 { 0.0 } else { x[0] }, |x, y, ct| vec![Some(y.gt(0.0).select(ct, 0.0))];
    "abs" 1 1, |x| x[0].abs(), |x, y, ct| vec![Some(ct * x[0].sign())];
    "sign" 1 1, |x| if x[0] == 0.0 { 0.0 } else { x[0].signum() }, |x, y, ct| vec![None];
    "add" 2 1, |x| x[0] + x[1], |x, y, ct| vec![Some(ct), Some(ct)];
    "sub" 2 1, |x| x[0] - x[1], |x, y, ct| vec![Some(ct), Some(-ct)];
    "mul" 2 1, |x| x[0] * x[1], |x, y, ct| vec![Some(ct * x[1]), Some(ct * x[0])];
    "div" 2 4, |x| x[0] / x[1], |x, y, ct| vec![Some(ct / x[1]), Some(-(ct * y / x[1]))];
    // Ties share the cotangent, as in PyTorch.
    "min" 2 1, |x| ordered(x[0], x[1], x[0] < x[1]), |x, y, ct| share(ct, x[0].lt(x[1]), x[0].eq(x[1]));
    "max" 2 1, |x| ordered(x[0], x[1], x[0] > x[1]), |x, y, ct| share(ct, x[0].gt(x[1]), x[0].eq(x[1]));
    "lt" 2 1, |x| truth(x[0] < x[1]), |x, y, ct| vec![None, None];
    "le" 2 1, |x| truth(x[0] <= x[1]), |x, y, ct| vec![None, None];
    "gt" 2 1, |x| truth(x[0] > x[1]), |x, y, ct| vec![None, None];
    "ge" 2 1, |x| truth(x[0] >= x[1]), |x, y, ct| vec![None, None];
    "eq" 2 1, |x| truth(x[0] == x[1]), |x, y, ct| vec![None, None];
    "ne" 2 1, |x| truth(x[0] != x[1]), |x, y, ct| vec![None, None];
    // Its derivative is written with the output too, which serves slopes of at least 0.
    "leaky_relu" 2 2, |x| if x[0] > 0.0 { x[0] } else { x[0] * x[1] },
        |x, y, ct| vec![Some(y.gt(0.0).select(ct, ct * x[1])), Some(y.gt(0.0).select(0.0, ct * x[0]))];
    // The derivative is written with the inputs, so that neither half's activation is kept for the way back.
    "gate" 2 26, |x| x[0].tanh() / (1.0 + (-x[1]).exp()),
        |x, y, ct| vec![Some(ct * (1.0 - x[0].tanh().square()) * x[1].sigmoid()), Some(ct * y * (1.0 - x[1].sigmoid()))];
    "bce_with_logits" 2 20, |x| softplus(x[0]) - x[0] * x[1],
        |x, y, ct| vec![Some(ct * (x[0].sigmoid() - x[1])), Some(-(ct * x[0]))];
    "select" 3 1, |x| if x[0] != 0.0 { x[1] } else { x[2] },
        |x, y, ct| vec![None, Some(x[0].select(ct, 0.0)), Some(x[0].select(0.0, ct))];
    "clamp" 3 2, |x| if x[0].is_nan() { x[0] } else { x[0].max(x[1]).min(x[2]) },
        |x, y, ct| vec![Some((x[0].ge(x[1]) * x[0].le(x[2])).select(ct, 0.0)), None, None];
}

fn share<'g>(ct: Tensor<'g>, first: Tensor<'g>, tie: Tensor<'g>) -> Cotangents<'g> {
    let weight = first + tie * 0.5;
    vec![Some(ct * weight), Some(ct * (1.0 - weight))]
}

/// A row by its name.
pub fn row(name: &str) -> &'static Row {
    TABLE.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no elementwise row `{name}`"))
}

/// A row applied to tensors of one shape.
#[derive(Debug)]
pub struct Elementwise(pub &'static Row);

impl Op for Elementwise {
    fn name(&self) -> &'static str {
        self.0.name
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        if let Some(bad) = inputs.iter().find(|t| t.dtype != DType::F32) {
            return Err(format!("takes f32, not {:?}; convert with `.to_f32()`", bad.dtype));
        }
        if inputs.len() != self.0.arity || inputs.iter().any(|t| t != &inputs[0]) {
            return Err(format!("takes {} tensors of one shape, got {inputs:?}", self.0.arity));
        }
        Ok(inputs[0].clone())
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        let mut args = vec![0.0; inputs.len()];
        Array::from_fn(inputs[0].shape.clone(), |i| {
            for (arg, input) in args.iter_mut().zip(inputs) {
                *arg = input.data[i];
            }
            (self.0.eval)(&args)
        })
    }

    fn vjp<'g>(&self, inputs: &[Tensor<'g>], output: Tensor<'g>, cotangent: Tensor<'g>) -> Cotangents<'g> {
        (self.0.vjp)(inputs, output, cotangent)
    }

    fn lower(&self, _: &Lowering<'_>) -> Result<Lowered, String> {
        Err("elementwise ops are lowered by fusion".into())
    }

    fn class(&self) -> Class {
        Class::Elementwise(self.0)
    }
}

/// A constant scalar, of rank 0.
#[derive(Debug)]
pub struct Constant(pub f32);

impl Op for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn infer(&self, _: &[Type]) -> Result<Type, String> {
        Ok(Type::f32([]))
    }

    fn reference(&self, _: &[&Array]) -> Array {
        Array::scalar(f64::from(self.0))
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Cotangents<'g> {
        vec![]
    }

    fn lower(&self, _: &Lowering<'_>) -> Result<Lowered, String> {
        Err("constants are lowered by fusion".into())
    }

    fn class(&self) -> Class {
        Class::Constant(self.0)
    }
}

/// What elementwise methods take as a further operand: a tensor or a number.
pub trait IntoTensor<'g> {
    /// The operand as a tensor of `graph`.
    fn tensor(self, graph: &'g Graph) -> Tensor<'g>;
}

impl<'g> IntoTensor<'g> for Tensor<'g> {
    fn tensor(self, _: &'g Graph) -> Tensor<'g> {
        self
    }
}

impl<'g> IntoTensor<'g> for f32 {
    #[track_caller]
    fn tensor(self, graph: &'g Graph) -> Tensor<'g> {
        graph.constant(self)
    }
}

impl Graph {
    /// A constant scalar, of rank 0.
    #[track_caller]
    pub fn constant(&self, value: f32) -> Tensor<'_> {
        self.apply(Constant(value), &[])
    }

    /// A tensor filled with one value.
    #[track_caller]
    pub fn full(&self, shape: impl Into<Shape>, value: f32) -> Tensor<'_> {
        self.constant(value).broadcast_to(shape)
    }

    /// Applies the elementwise function of this name to operands (at least one), which are broadcast to their common
    /// shape.
    #[track_caller]
    pub fn map<'g>(&'g self, name: &str, operands: &[Tensor<'g>]) -> Tensor<'g> {
        let mut shape = Shape::default();
        for t in operands {
            match shape.broadcast(&t.shape()) {
                Some(common) => shape = common,
                None => {
                    return self
                        .poison(format!("{name}: shapes {shape:?} and {:?} do not broadcast", t.shape()));
                }
            }
        }
        // A loop, since a closure would forget the caller's line.
        let mut alike = vec![];
        for t in operands {
            alike.push(t.broadcast_to(shape.clone()));
        }
        match TABLE.iter().find(|row| row.name == name) {
            Some(row) => self.apply(Elementwise(row), &alike),
            None => self.poison(format!("there is no elementwise function `{name}`")),
        }
    }
}

macro_rules! unary {
    ($($name:ident: $doc:literal;)*) => {
        impl<'g> Tensor<'g> {$(
            #[doc = $doc]
            #[track_caller]
            #[must_use]
            pub fn $name(self) -> Tensor<'g> {
                self.graph().map(stringify!($name), &[self])
            }
        )*}
    };
}

unary! {
    exp: "e^x.";
    expm1: "e^x - 1, to all digits of an f32 for small x too.";
    log1mexp: "log(1 - e^-x) of a positive x, to all digits of an f32 for small x and for large ones, as its derivative.";
    floor: "The largest whole number that is not larger; its derivative counts as none.";
    log: "Natural logarithm; the argument must be positive (guard it, see `clamp`).";
    sqrt: "Square root.";
    rsqrt: "1/√x.";
    recip: "1/x.";
    square: "x².";
    tanh: "Hyperbolic tangent, to all digits of an f32 for small x too.";
    sigmoid: "1/(1 + e^-x), to all digits of an f32 for x far below 0 too.";
    softplus: "log(1 + e^x) without overflow, to all digits of an f32 for x far below 0 too, as its derivative.";
    relu: "max(x, 0).";
    abs: "|x|.";
    sign: "-1, 0 or 1.";
}

macro_rules! binary {
    ($($name:ident: $doc:literal;)*) => {
        impl<'g> Tensor<'g> {$(
            #[doc = $doc]
            #[track_caller]
            #[must_use]
            pub fn $name(self, other: impl IntoTensor<'g>) -> Tensor<'g> {
                self.graph().map(stringify!($name), &[self, other.tensor(self.graph())])
            }
        )*}
    };
}

binary! {
    min: "Smaller of two; a NaN if one is.";
    max: "Larger of two; a NaN if one is.";
    lt: "1 where self < other, else 0.";
    le: "1 where self <= other, else 0.";
    gt: "1 where self > other, else 0.";
    ge: "1 where self >= other, else 0.";
    eq: "1 where equal, else 0.";
    ne: "1 where different, else 0.";
    leaky_relu: "x where positive, else slope·x; the slope is at least 0.";
    gate: "tanh(self) ⊙ σ(other): a gated unit (van den Oord et al. 2016b, eq. 2).";
    bce_with_logits: "Binary cross-entropy of targets in [0, 1] under logits, in nats: softplus(l) - l·x.";
}

impl<'g> Tensor<'g> {
    /// The elements of `yes` where self is not 0, else those of `no`.
    #[track_caller]
    #[must_use]
    pub fn select(self, yes: impl IntoTensor<'g>, no: impl IntoTensor<'g>) -> Tensor<'g> {
        self.graph().map("select", &[self, yes.tensor(self.graph()), no.tensor(self.graph())])
    }

    /// Self limited to [low, high].
    #[track_caller]
    #[must_use]
    pub fn clamp(self, low: impl IntoTensor<'g>, high: impl IntoTensor<'g>) -> Tensor<'g> {
        self.graph().map("clamp", &[self, low.tensor(self.graph()), high.tensor(self.graph())])
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident)*) => {$(
        impl<'g, T: IntoTensor<'g>> ops::$trait<T> for Tensor<'g> {
            type Output = Tensor<'g>;
            #[track_caller]
            fn $method(self, other: T) -> Tensor<'g> {
                self.graph().map(stringify!($method), &[self, other.tensor(self.graph())])
            }
        }

        impl<'g> ops::$trait<Tensor<'g>> for f32 {
            type Output = Tensor<'g>;
            #[track_caller]
            fn $method(self, other: Tensor<'g>) -> Tensor<'g> {
                other.graph().map(stringify!($method), &[other.graph().constant(self), other])
            }
        }
    )*};
}

operators! { Add add Sub sub Mul mul Div div }

impl<'g> ops::Neg for Tensor<'g> {
    type Output = Tensor<'g>;
    #[track_caller]
    fn neg(self) -> Tensor<'g> {
        self.graph().map("neg", &[self])
    }
}
