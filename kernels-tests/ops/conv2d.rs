//! Convolutions and their two gradients: kernels of all kinds, channels around the tiles' edges, masks,
//! epilogues.

use crate::harness::{Case, Fill};
use oneiro::{
    graph::{
        Graph, Tensor,
        shape::Type,
        window::{Kernel, Taps},
    },
    ops::conv2d::{Conv2d, Side},
};

const HALF: Fill = Fill::Uniform(-0.5, 0.5);
const SIDES: [Side; 3] = [Side::Output, Side::Input, Side::Weight];

/// Images, their extents, and the channels that are read and made.
type Size = (usize, [usize; 2], usize, usize);

fn kernels() -> Vec<(&'static str, Kernel)> {
    let rect = |rows, columns| Kernel::same(5).taps(Taps::Rect(rows, columns));
    vec![
        ("3x3", Kernel::same(3)),
        ("1x1", Kernel::square(1)),
        ("mask A 7x7", Kernel::same(7).taps(Taps::MaskA)),
        ("mask B 3x3", Kernel::same(3).taps(Taps::MaskB)),
        ("vertical", rect([0, 3], [0, 5])),
        ("horizontal", rect([2, 3], [0, 2])),
        ("4x4 stride 2", Kernel::square(4).stride(2).padding(1)),
        ("3x3 stride 2", Kernel::square(3).stride(2)),
        ("2x2 stride 3", Kernel::square(2).stride(3)),
        ("dilated", Kernel { size: [3, 2], padding: [2, 1], dilation: [2, 3], ..Kernel::square(3) }),
        ("stride 2x1", Kernel { stride: [2, 1], padding: [1, 0], ..Kernel::square(3) }),
    ]
}

fn operands<'g>(
    g: &'g Graph,
    side: Side,
    kernel: &Kernel,
    (n, image, c, o): Size,
) -> (Conv2d, [Tensor<'g>; 2]) {
    let window = kernel.window(image).unwrap();
    let pixels = |name, [h, w]: [usize; 2], channels| g.input(name, Type::f32([n, h, w, channels]));
    let w = || g.input("w", Type::f32([window.taps.len(), c, o]));
    let inputs = match side {
        Side::Output => [pixels("x", image, c), w()],
        Side::Input => [pixels("y", window.made, o), w()],
        Side::Weight => [pixels("x", image, c), pixels("y", window.made, o)],
    };
    (Conv2d { side, window }, inputs)
}

fn terms(side: Side, kernel: &Kernel, (n, image, c, o): Size) -> usize {
    let window = kernel.window(image).unwrap();
    match side {
        Side::Output => window.taps.len() * c,
        Side::Input => window.taps.len() * o,
        Side::Weight => n * window.made[0] * window.made[1],
    }
}

fn plain(side: Side, (name, kernel): (&str, Kernel), size: Size) -> Case {
    let k = terms(side, &kernel, size);
    let build = move |g: &Graph| {
        let (op, inputs) = operands(g, side, &kernel, size);
        g.output("y", g.apply(op, &inputs));
    };
    let fills = |case: Case| ["x", "y", "w"].into_iter().fold(case, |case, name| case.fill(name, HALF));
    fills(Case::new(op_name(side), format!("{name} {size:?}"), build).tolerance(2e-6, 2e-6).terms(k))
}

fn op_name(side: Side) -> &'static str {
    match side {
        Side::Output => "conv2d",
        Side::Input => "conv2d input",
        Side::Weight => "conv2d weight",
    }
}

type Epilogue = for<'g> fn(&'g Graph, Tensor<'g>) -> Tensor<'g>;

const EPILOGUES: [(&str, Epilogue); 4] = [
    ("bias, relu", |g, y| (y + g.input("bias", Type::f32([y.shape()[3]]))).relu()),
    ("residual", |g, y| {
        (y + g.input("bias", Type::f32([y.shape()[3]]))).tanh() + g.input("residual", y.ty())
    }),
    ("gate", |g, y| g.input("other", y.ty()).gate(y)),
    ("expm1", |_, y| (y * 0.1).expm1()),
];

fn with_epilogue(
    side: Side,
    (name, kernel): (&str, Kernel),
    size: Size,
    (what, epilogue): (&'static str, Epilogue),
) -> Case {
    let k = terms(side, &kernel, size);
    let build = move |g: &Graph| {
        let (op, inputs) = operands(g, side, &kernel, size);
        g.output("z", epilogue(g, g.apply(op, &inputs)));
    };
    let case = Case::new(format!("{} + epilogue", op_name(side)), format!("{name} {size:?} {what}"), build);
    ["x", "y", "w"].into_iter().fold(case.tolerance(2e-6, 1e-5).terms(k), |case, name| case.fill(name, HALF))
}

/// A layer as models write it, with pointwise kernels too.
fn layer((name, kernel): (&str, Kernel), transposed: Option<usize>, (n, [h, w], c, o): Size) -> Case {
    let taps = kernel.kept().len();
    let build = move |g: &Graph| {
        let weight = g.input("w", Type::f32([taps, c, o]));
        let y = match transposed {
            None => g.input("x", Type::f32([n, h, w, c])).conv2d(weight, &kernel),
            Some(extra) => g.input("x", Type::f32([n, h, w, o])).conv2d_transposed(weight, &kernel, extra),
        };
        g.output("y", y);
    };
    Case::new("conv2d layer", format!("{name} {transposed:?} {n} {h}x{w} {c} {o}"), build)
        .tolerance(1e-5, 1e-5)
}

/// One to four channels made, from shares of channels read that are not whole, whole, one more and two; of 15 to
/// 17 pixels and more.
fn few_made(side: Side) -> Vec<Case> {
    let size = |(n, image, read, made): Size| {
        if side == Side::Output { (n, image, read, made) } else { (n, image, made, read) }
    };
    let sizes: [Size; 4] = [(2, [5, 9], 68, 1), (1, [8, 7], 64, 2), (3, [6, 5], 12, 3), (1, [9, 11], 132, 4)];
    let all = kernels().into_iter().flat_map(|kernel| sizes.map(|s| plain(side, kernel.clone(), size(s))));
    let three = ("3x3", Kernel::same(3));
    let rows = [15, 16, 17, 33].map(|w| plain(side, three.clone(), size((1, [1, w], 8, 3))));
    let ends = EPILOGUES.map(|e| with_epilogue(side, three.clone(), size((2, [7, 6], 20, 4)), e));
    all.chain(rows).chain(ends).collect()
}

/// Input gradients whose sweeps have as many taps each over lattices of the same extents, so that a launch may
/// take them together; and one in which no tap meets a pixel.
fn divided() -> Vec<Case> {
    let stepped = |size, stride| Kernel { size, stride, ..Kernel::square(1) };
    let kernels = [
        ("2x3 stride 2x1", stepped([2, 3], [2, 1])),
        ("3x4 stride 3x2", stepped([3, 4], [3, 2])),
        ("3x3 stride 3", stepped([3, 3], [3, 3])),
        ("2x2 stride 2", stepped([2, 2], [2, 2])),
    ];
    let sizes: [Size; 6] = [
        (1, [6, 6], 4, 4),
        (2, [12, 6], 64, 36),
        (5, [24, 18], 8, 68),
        (1, [6, 6], 3, 8),
        (3, [12, 6], 3, 64),
        (1, [6, 12], 5, 7),
    ];
    let met = |kernel: &(&'static str, Kernel)| sizes.map(|size| plain(Side::Input, kernel.clone(), size));
    let ends = kernels.iter().map(|k| with_epilogue(Side::Input, k.clone(), sizes[1], EPILOGUES[0]));
    let none = ("no tap meets", Kernel::same(3).stride(2).taps(Taps::Rect([0, 1], [0, 3])));
    let unmet = [(2, [1, 4], 5, 7), (2, [1, 4], 4, 8)].map(|size| plain(Side::Input, none.clone(), size));
    kernels.iter().flat_map(met).chain(ends).chain(unmet).collect()
}

pub(crate) fn cases() -> Vec<Case> {
    let mut out = divided();
    for side in SIDES {
        for kernel in kernels() {
            // Vec4s and not; a pixel, a row; tiles of 32 and 64 pixels and channels and one more; primes.
            let sizes: [Size; 9] = [
                (1, [5, 5], 1, 1),
                (2, [7, 5], 3, 5),
                (1, [8, 8], 4, 4),
                (3, [5, 9], 8, 36),
                (2, [6, 7], 12, 64),
                (1, [9, 7], 64, 68),
                (2, [4, 8], 1, 32),
                (1, [13, 5], 20, 31),
                (2, [11, 4], 7, 12),
            ];
            out.extend(sizes.map(|size| plain(side, kernel.clone(), size)));
        }
        let [three, strided] =
            [("3x3", Kernel::same(3)), ("4x4 stride 2", Kernel::square(4).stride(2).padding(1))];
        out.extend(
            [(1, [1, 1], 4, 4), (1, [1, 17], 5, 3), (65, [1, 1], 8, 8), (1, [64, 1], 4, 128)]
                .map(|s| plain(side, three.clone(), s)),
        );
        // A few channels, in patches: of an image, and added up to one.
        out.extend(
            [(2, [8, 6], 3, 8), (1, [5, 9], 1, 36), (3, [6, 7], 2, 64), (1, [17, 16], 6, 4)]
                .map(|s| plain(side, strided.clone(), s)),
        );
        // Over 64 taps, over what one launch sums.
        out.push(plain(side, ("9x9", Kernel::same(9)), (2, [6, 5], 4, 8)));
        out.push(plain(side, ("9x9", Kernel::same(9)), (1, [5, 6], 3, 2)));
        out.extend(
            [(1, [2, 2], 9_000, 4), (1, [2, 3], 4, 9_000), (1, [2, 2], 3, 8_193)]
                .map(|size| plain(side, three.clone(), size)),
        );
        if side != Side::Weight {
            let sizes = [(2, [7, 6], 12, 68), (1, [9, 5], 3, 8), (1, [5, 5], 24, 32)];
            out.extend(
                sizes
                    .into_iter()
                    .flat_map(|size| EPILOGUES.map(|e| with_epilogue(side, three.clone(), size, e))),
            );
            out.push(with_epilogue(side, strided, sizes[0], EPILOGUES[0]));
            out.extend(few_made(side));
        }
    }
    // Enough pixels to be summed in two halves, the second shorter.
    let mask = Kernel::same(3).taps(Taps::MaskB);
    out.extend(
        [(3, [16, 11], 8, 36), (1, [23, 23], 4, 68), (2, [257, 1], 12, 4)]
            .map(|s| plain(Side::Weight, ("mask B 3x3", mask.clone()), s)),
    );
    // In patches: whole and odd halves, and an odd number of pixels, which stays whole.
    let four = Kernel::square(4).stride(2).padding(1);
    out.extend(
        [(2, [32, 32], 3, 8), (2, [2, 514], 3, 36), (1, [54, 38], 1, 68)]
            .map(|s| plain(Side::Weight, ("4x4 stride 2", four.clone()), s)),
    );
    // Rows of scalars: 63 to 65 of them, two tiles and more, of one image or several; a few parts, many, and
    // more than a workgroup adds up at once.
    for kernel in kernels() {
        let sizes: [Size; 4] =
            [(2, [9, 11], 3, 64), (1, [8, 7], 7, 68), (3, [7, 9], 13, 4), (5, [3, 6], 1, 132)];
        out.extend(sizes.map(|size| plain(Side::Weight, kernel.clone(), size)));
    }
    let mask = ("mask A 7x7", Kernel::same(7).taps(Taps::MaskA));
    out.extend(
        [(1, [28, 5], 1, 64), (3, [28, 27], 1, 64), (2, [13, 17], 3, 64)]
            .map(|s| plain(Side::Weight, mask.clone(), s)),
    );
    out.extend(
        [(4, [32, 30], 3, 64), (1, [33, 29], 5, 20)]
            .map(|s| plain(Side::Weight, ("4x4 stride 2", four.clone()), s)),
    );
    // Many pixels for one launch of the weight gradient, and over 65,535 rows of tiles.
    out.push(plain(Side::Weight, ("1x1", Kernel::square(1)), (1, [1, 33_000], 1, 1)));
    out.push(plain(Side::Weight, ("1x1", Kernel::square(1)), (1, [1, 132_000], 4, 4)));
    out.push(plain(Side::Weight, ("1x1", Kernel::square(1)), (1, [1, 263_000], 4, 4)));
    out.push(plain(
        Side::Output,
        ("1x2", Kernel { size: [1, 2], ..Kernel::square(1) }),
        (1, [1, 2_100_000], 1, 1),
    ));
    // A single pixel sees the whole image, or is seen by it.
    for (c, o) in [(1, 1), (3, 5), (8, 1), (12, 64)] {
        let whole = ("4x3 whole", Kernel { size: [4, 3], stride: [1, 2], ..Kernel::square(1) });
        out.extend([layer(whole.clone(), None, (3, [4, 3], c, o)), layer(whole, Some(0), (3, [1, 1], c, o))]);
    }
    for (name, kernel) in kernels() {
        out.push(layer((name, kernel.clone()), None, (2, [6, 8], 8, 12)));
        out.push(layer((name, kernel.clone()), Some(0), (2, [6, 8], 8, 12)));
        if kernel.stride == [2, 2] {
            out.push(layer((name, kernel), Some(1), (2, [5, 4], 4, 3)));
        }
    }
    out
}

pub(crate) fn smooth() -> Vec<Case> {
    let mut out: Vec<Case> = kernels()
        .into_iter()
        .flat_map(|kernel| SIDES.map(|side| plain(side, kernel.clone(), (1, [4, 5], 2, 3))))
        .collect();
    out.extend(
        EPILOGUES.map(|e| with_epilogue(Side::Output, ("3x3", Kernel::same(3)), (1, [3, 3], 2, 4), e)),
    );
    out.push(layer(("1x1", Kernel::square(1)), None, (1, [2, 3], 2, 3)));
    out.push(layer(("3x3 whole", Kernel::square(3)), None, (2, [3, 3], 2, 3)));
    out.push(layer(("3x3 whole", Kernel::square(3)), Some(0), (2, [1, 1], 2, 3)));
    out.push(layer(("4x4 stride 2", Kernel::square(4).stride(2).padding(1)), Some(0), (1, [2, 3], 2, 3)));
    out
}

#[test]
fn masks_keep_what_comes_before() {
    let kept = |taps| Kernel::same(3).taps(taps).kept();
    assert_eq!(kept(Taps::MaskA), [[0, 0], [0, 1], [0, 2], [1, 0]]);
    assert_eq!(kept(Taps::MaskB), [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1]]);
    assert_eq!(kept(Taps::Rect([1, 2], [0, 2])), [[1, 0], [1, 1]]);
    assert_eq!(Kernel::same(7).taps(Taps::MaskA).kept().len(), 24);
}

#[test]
fn extents_are_pytorchs() {
    let made = |kernel: Kernel, image| kernel.window(image).unwrap().made;
    assert_eq!(made(Kernel::square(4).stride(2).padding(1), [32, 17]), [16, 8]);
    assert_eq!(made(Kernel::square(3).dilation(2), [7, 5]), [3, 1]);
    let back = |kernel: Kernel, image, extra| kernel.transposed(image, extra).unwrap().image;
    assert_eq!(back(Kernel::square(4).stride(2).padding(1), [16, 8], 0), [32, 16]);
    assert_eq!(back(Kernel::square(3).stride(2).padding(1), [4, 5], 1), [8, 10]);
}

#[test]
fn bad_kernels_are_errors_with_the_users_line() {
    let error = |f: &dyn Fn(&Graph)| {
        let g = Graph::new();
        f(&g);
        g.check().unwrap_err().to_string()
    };
    let big = error(&|g| {
        _ = g
            .input("x", Type::f32([1, 3, 3, 1]))
            .conv2d(g.input("w", Type::f32([25, 1, 1])), &Kernel::square(5))
    });
    assert!(big.contains(file!()) && big.contains("does not fit an image of [3, 3]"), "{big}");
    let taps = error(&|g| {
        _ = g.input("x", Type::f32([1, 3, 3, 1])).conv2d(g.input("w", Type::f32([9, 2, 1])), &Kernel::same(3))
    });
    assert!(taps.contains("9 taps"), "{taps}");
    let flat = error(&|g| {
        _ = g.input("x", Type::f32([3, 3])).conv2d(g.input("w", Type::f32([9, 1, 1])), &Kernel::same(3))
    });
    assert!(flat.contains("[N, H, W, C]"), "{flat}");
    let none = error(&|g| {
        let empty = Kernel::square(1).taps(Taps::MaskA);
        _ = g.input("x", Type::f32([1, 3, 3, 1])).conv2d(g.input("w", Type::f32([1, 1, 1])), &empty);
    });
    assert!(none.contains("no tap"), "{none}");
}
