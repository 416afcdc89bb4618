//! What a user can get wrong in graphs and layers: every constructor and every forward pass defers its error,
//! which names the user's line, and goes on recording; nothing panics after the first mistake either.

mod ops;

use oneiro::{
    graph::{
        Graph, Tensor,
        shape::{DType, Type},
        var::Init,
        window::Kernel,
    },
    nn::{
        BatchNorm, Channels, Conv2d, ConvTranspose2d, InstanceNorm, Layer, LayerNorm, Linear, MaskedLinear,
        Mode, PixelLstm, Sequential, Weight,
    },
    ops::{cursor::Wave, matmul::product, recurrence::Order, reparameterize::reparameterize},
    optim::Optimizer,
};

/// A line, what is recorded there and after it, and what the error says.
pub(crate) type Mistake = (u32, for<'g> fn(&'g Graph), &'static str);

#[track_caller]
pub(crate) fn x<'g>(g: &'g Graph, shape: &[usize]) -> Tensor<'g> {
    g.input(&format!("x{shape:?}"), Type::f32(shape))
}

/// Each mistake's error names its line, the first of the entry or one before the next entry.
pub(crate) fn check(file: &str, mistakes: &[Mistake]) {
    let next = mistakes[1..].iter().map(|m| m.0).chain([u32::MAX]);
    for ((line, record, what), next) in mistakes.iter().zip(next) {
        let g = Graph::new();
        record(&g);
        let error = g.check().expect_err(&format!("line {line}: nothing is wrong")).to_string();
        let at =
            error.strip_prefix(&format!("{}:", file)).and_then(|rest| rest.split(':').next()?.parse().ok());
        let at: u32 = at.unwrap_or_else(|| panic!("line {line}: `{error}` names no line of {}", file));
        assert!((*line..next).contains(&at), "line {line}: `{error}` names another line");
        assert!(
            error.contains(what) && error.lines().count() == 1,
            "line {line}: `{error}` does not say `{what}`"
        );
    }
}

#[test]
fn graphs_defer_mistakes() {
    check(
        file!(),
        &[
            (line!(), |g| _ = g.input("x", Type::f32([0, 3])) + 1.0, "input `x` [0x3] has no elements"),
            (
                line!(),
                |g| _ = g.var("v", Type::f32([2, 0]), Init::Zeros) + 1.0,
                "variable `v` [2x0] has no elements",
            ),
            (line!(), |g| _ = g.full([0], 1.0) + 1.0, "[0] has no elements"),
            (line!(), |g| _ = x(g, &[1 << 40, 1 << 40]).tanh(), "has too many elements"),
            (
                line!(),
                |g| _ = g.var("v", Type::f32([usize::MAX, 2]), Init::Zeros) + 1.0,
                "has too many elements",
            ),
            (
                line!(),
                |g| _ = x(g, &[1]).broadcast_to([1 << 33, 1 << 31]).mean_all(),
                "has too many elements",
            ),
            // As many elements as four, where 64 bits wrap.
            (line!(), |g| _ = x(g, &[4]).reshape([(1 << 63) + 2, 2]), "reshape"),
            (line!(), |g| _ = x(g, &[1]).pad(0, usize::MAX, 5), "at most 2147483647 zeros"),
            (line!(), |g| _ = x(g, &[1]).pad(0, 5, usize::MAX), "at most 2147483647 zeros"),
            (line!(), |g| _ = x(g, &[9]).shift(0, usize::MAX), "at most 2147483647 places"),
            (line!(), |g| _ = x(g, &[9]).slice(0, 3..usize::MAX), "slice"),
            (
                line!(),
                |g| _ = x(g, &[1, 2, 2, 1]).upsample_nearest(usize::MAX),
                "a factor of 1 to 2147483647",
            ),
            (line!(), |g| _ = x(g, &[1, 1 << 20, 1 << 20, 1]).upsample_nearest(1 << 20), "too many elements"),
            (line!(), |g| _ = x(g, &[1, 2, 2, 1]).upsample_bilinear(usize::MAX), "a factor of 1 to"),
            (
                line!(),
                |g| {
                    _ = g.param("v", Type::f32([2]), Init::Zeros) + g.buffer("v", Type::f32([3]), Init::Zeros)
                },
                "twice",
            ),
            (line!(), |g| _ = g.arena("a", &[x(g, &[2])], &[], false), "is not a variable"),
            (line!(), |g| g.initialise(x(g, &[2]), Init::Zeros), "not a variable"),
            (
                line!(),
                |g| _ = g.var("v", Type::f32([3]), Init::Values([1.0].into())),
                "variable `v` [3] has 3 elements, but its first values are 1",
            ),
            (line!(), |g| _ = g.var("v", Type::u32([3]), Init::Seed), "a seed is two words"),
            (
                line!(),
                |g| g.initialise(g.param("v", Type::f32([3]), Init::Zeros), Init::Values([1.0; 4].into())),
                "has 3 elements, but its first values are 4",
            ),
            (
                line!(),
                |g| {
                    let init = Init::Values([1.0].into()).into();
                    _ = g.buffer("v", Type::f32([3]), Init::Copy { of: "w".into(), init });
                },
                "has 3 elements",
            ),
            (line!(), |g| g.traced(|| g.output("y", x(g, &[2]).matmul(x(g, &[3])))), "matmul"),
            (
                line!(),
                |g| _ = Optimizer::adam(0.1).step("fit", x(g, &[2]), &[g.step()]),
                "one number is wanted",
            ),
            (
                line!(),
                |g| _ = Optimizer::adam(0.1).apply(g, "fit", &[x(g, &[2])], &[g.step()]),
                "give one of each shape",
            ),
            (line!(), |g| _ = x(g, &[1, 4, 4, 1]).avg_pool(&Kernel::square(2).stride(0)), "has a 0"),
            (
                line!(),
                |g| _ = x(g, &[1, 4, 4, 1]).conv2d(x(g, &[9, 1, 1]), &Kernel::square(3).dilation(0)),
                "has a 0",
            ),
        ],
    );
}

#[test]
fn layers_defer_mistakes() {
    check(
        file!(),
        &[
            (
                line!(),
                |g| _ = Linear::new(g, "l", 0, 3).forward(x(g, &[2, 3])),
                "`l.weight` [3x0] has no elements",
            ),
            (line!(), |g| _ = Linear::new(g, "l", 4, 3).forward(x(g, &[2, 3])), "matmul"),
            (line!(), |g| _ = Linear::weight_normed(g, "l", 3, 0).forward(x(g, &[2, 3])), "has no elements"),
            (line!(), |g| _ = [Linear::new(g, "l", 4, 3), Linear::new(g, "l", 3, 4)], "declared twice"),
            (
                line!(),
                |g| {
                    let _ = Linear::of(g, "l", [4, 3], Weight::Plain, false);
                    _ = g.var("l.bias", Type::f32([7]), Init::Zeros);
                    // The bias is declared within a closure.
                    _ = g.sharing(|| Linear::new(g, "l", 4, 3));
                },
                "`l.bias` is declared twice",
            ),
            (
                line!(),
                |g| _ = [Linear::new(g, "l", 4, 3), Linear::new(g, "l", 4, 3)],
                "layer `l` is declared twice",
            ),
            (
                line!(),
                |g| {
                    _ = LayerNorm::new(g, "n", &[3]);
                    _ = InstanceNorm::new(g, "n", 3);
                },
                "layer `n` is declared twice",
            ),
            (line!(), |g| _ = MaskedLinear::new(g, "m", &[], &[1]).forward(x(g, &[2, 3])), "has no elements"),
            (line!(), |g| _ = MaskedLinear::new(g, "m", &[1, 2], &[1]).forward(x(g, &[2, 3])), "matmul"),
            (
                line!(),
                |g| _ = Conv2d::new(g, "c", Kernel::square(3), [2, 3]).forward(x(g, &[1, 5, 5, 3])),
                "conv2d",
            ),
            (line!(), |g| _ = Conv2d::new(g, "c", Kernel::square(3), [2, 3]).forward(x(g, &[5])), "conv2d"),
            (line!(), |g| _ = Conv2d::new(g, "c", Kernel::square(1 << 40), [2, 3]), "has no elements"),
            (
                line!(),
                |g| _ = Conv2d::new(g, "c", Kernel::square(0), [2, 3]).forward(x(g, &[1, 5, 5, 2])),
                "no elements",
            ),
            (
                line!(),
                |g| _ = Conv2d::over_signals(g, "c", Kernel::square(1), [3, 0]).forward(x(g, &[1, 1, 5, 3])),
                "has no elements",
            ),
            (
                line!(),
                |g| _ = Conv2d::masked(g, "c", Kernel::square(1), [3, 4], Channels::up_to(3).copies(0)),
                "[3, 4] channels are not 0 equal copies",
            ),
            (
                line!(),
                |g| _ = Conv2d::masked(g, "c", Kernel::square(1), [3, 4], Channels::up_to(3).copies(3)),
                "[3, 4] channels are not 3 equal copies",
            ),
            (
                line!(),
                |g| _ = Conv2d::masked(g, "c", Kernel::square(1), [0, 4], Channels::before(2)),
                "[0, 4] channels",
            ),
            (
                line!(),
                |g| {
                    _ = ConvTranspose2d::new(g, "c", Kernel::square(2), [3, 2])
                        .output_padding(1)
                        .forward(x(g, &[1, 4, 4, 3]))
                },
                "makes nothing of",
            ),
            (
                line!(),
                |g| _ = BatchNorm::new(g, "n", 0, Mode::Training).forward(x(g, &[2, 3])),
                "has no elements",
            ),
            (line!(), |g| _ = BatchNorm::new(g, "n", 3, Mode::Training).forward(x(g, &[1, 3])), "batch_norm"),
            (
                line!(),
                |g| _ = BatchNorm::new(g, "n", 4, Mode::Evaluation).forward(x(g, &[2, 3])),
                "do not broadcast",
            ),
            (
                line!(),
                |g| _ = Conv2d::of(g, "c", Kernel::square(3), [2, 0], Weight::Normed, false),
                "has no elements",
            ),
            (
                line!(),
                |g| _ = Conv2d::weight_normed(g, "c", Kernel::square(3), [0, 2]).forward(x(g, &[1, 5, 5, 2])),
                "has no elements",
            ),
            (
                line!(),
                |g| _ = ConvTranspose2d::of(g, "c", Kernel::square(3), [0, 2], Weight::Plain, true),
                "has no elements",
            ),
            (line!(), |g| _ = MaskedLinear::of(g, "m", &[1, 2], &[], false), "has no elements"),
            (
                line!(),
                |g| _ = Conv2d::masked(g, "c", Kernel::square(1), [3, usize::MAX], Channels::up_to(3)),
                "has too many elements",
            ),
            (
                line!(),
                |g| _ = Conv2d::over_signals(g, "c", Kernel::square(3), [usize::MAX, 3]),
                "has too many elements",
            ),
            (
                line!(),
                |g| _ = PixelLstm::new(g, "l", Order::Diagonals, [2, 1 << 62], 1),
                "has too many elements",
            ),
            (line!(), |g| _ = PixelLstm::new(g, "l", Order::Rows(3), [2, 2], 0), "cannot be in 0 groups"),
            (line!(), |g| _ = PixelLstm::new(g, "l", Order::Rows(3), [2, 2], 7), "cannot be in 7 groups"),
            (line!(), |g| _ = PixelLstm::new(g, "l", Order::Rows(3), [2, 4], 2).forward(x(g, &[2, 3])), ""),
            (line!(), |g| _ = LayerNorm::new(g, "n", &[]).forward(x(g, &[2, 3])), "does not end in"),
            (line!(), |g| _ = InstanceNorm::new(g, "n", 3).forward(x(g, &[2, 3])), "takes images"),
            (
                line!(),
                |g| {
                    let chain = Sequential::new("s").with(|name| Layer::Linear(Linear::new(g, name, 4, 2)));
                    let chain =
                        chain.with(|name| Layer::Conv2d(Conv2d::new(g, name, Kernel::square(1), [2, 2])));
                    let chain = chain.with(|name| Layer::Linear(Linear::new(g, name, 4, 2)));
                    _ = chain.forward(x(g, &[2, 3]));
                },
                "matmul",
            ),
        ],
    );
}

/// Every op takes what a mistake left, and a scalar, without panicking; the first error stays.
#[test]
fn ops_go_on_after_a_mistake() {
    let wave = Wave { image: [4, 4], lag: 1, shift: 0, counts: 1, mirrored: false };
    let kernel = &Kernel::square(2);
    let record = |g: &Graph, x: Tensor<'_>, i: usize| {
        let x = g.tensor(x.id());
        let stream = |name: &str| format!("{name}{i}");
        let all = [
            x.sum(&[0]),
            x.mean(&[1]),
            x.max_over(&[2]),
            x.min_over(&[0, 1]),
            x.logsumexp(&[0]),
            x.sum_all(),
        ];
        let _ = (all, x.mean_all(), x.log_softmax(1), x.softmax(0), x.cross_entropy(x), x.moments());
        let _ = (x.batch_norm(x, x, 0.1), x.detach(), x.pad(1, 2, 3), g.concat(&[x, x], 1), g.pack(&[x, x]));
        let _ = (x.avg_pool(kernel), x.max_pool(kernel), x.increment(), x.record(&[x]), x.gather_rows(x, 3));
        let _ =
            (x.gather_rows_binarised(x, 3, &stream("b")), x.gather_labels(x, 3), x.one_hot(4), x.to_f32());
        let _ = (x.unit_f32(), product(x, x, true, false), x.matmul(x), x.dropout(&stream("d"), 0.5));
        let _ = (
            x.upsample_nearest(2),
            x.upsample_bilinear(2),
            x.conv2d(x, kernel),
            x.conv2d_transposed(x, kernel, 0),
        );
        let _ = (g.map("add", &[x, x]), x.select(x, 1.0), x.clamp(0.0, x), x.pick(x), x.spread(x, 3));
        let _ = (
            x.draw_categorical(x),
            reparameterize(&stream("r"), x, x),
            x.reshape([2, 2]),
            x.broadcast_to([3]),
        );
        let _ = (x.permute(&[1, 0]), x.transpose(0, 3), x.t(), x.slice(2, 1..4), x.look(wave, &[[0, 0]], x));
        let _ = x.look_times(wave, &[], x, x);
        let _ =
            (x.place(wave, x, x), x.place_channel(wave, x, x), x.bernoulli(&stream("c")), x.exp() + x, -x);
        let _ = (Optimizer::sgd(0.1, 0.0).clip_weights(1.0).step(&stream("o"), x, &[x]), x.extent(7));
        g.assign(x, x);
        g.output(&stream("y"), x);
    };
    let g = Graph::new();
    let first = g.poison("the first mistake");
    record(&g, first, 0);
    for (i, dtype) in [DType::F32, DType::U32, DType::U8].into_iter().enumerate() {
        record(&g, g.input(&format!("scalar {i}"), Type { shape: [].into(), dtype }), i + 1);
    }
    assert!(g.check().unwrap_err().to_string().contains("the first mistake"));
}
