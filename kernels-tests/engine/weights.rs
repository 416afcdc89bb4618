//! Weights files: which names and element types are taken, and what is said of the others.

use crate::subjects::{Ready, adapter};
use oneiro::{
    graph::{Graph, autodiff::grad, shape::Type, var::Init, window::Kernel},
    nn::Conv2d,
    weights::{self, Fit, Weights},
};
use safetensors::{Dtype, tensor::TensorView};
use std::path::{Path, PathBuf};

/// A safetensors file with one tensor of `[2]`.
fn file(name: &str, dtype: Dtype, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.safetensors"));
    let view = TensorView::new(dtype, vec![2], bytes).unwrap();
    std::fs::write(&path, safetensors::serialize([("w", view)], None).unwrap()).unwrap();
    path
}

#[test]
fn narrow_and_wide_types_become_f32() {
    // 1.5 and -0.0625 in each type; and the smallest number of f16.
    for (name, dtype, bytes, want) in [
        ("f16", Dtype::F16, vec![0x00, 0x3e, 0x00, 0xac], [1.5, -0.0625]),
        ("tiny", Dtype::F16, vec![0x01, 0x00, 0xff, 0x7b], [5.960_464_5e-8, 65504.0]),
        ("bf16", Dtype::BF16, vec![0xc0, 0x3f, 0x80, 0xbd], [1.5, -0.0625]),
        ("f32", Dtype::F32, bytemuck::cast_slice(&[1.5f32, -0.0625]).to_vec(), [1.5, -0.0625]),
        ("f64", Dtype::F64, bytemuck::cast_slice(&[1.5f64, -0.0625]).to_vec(), [1.5, -0.0625]),
        ("i64", Dtype::I64, bytemuck::cast_slice(&[7i64, -3]).to_vec(), [7.0, -3.0]),
    ] {
        let loaded = weights::load(&file(name, dtype, &bytes)).unwrap();
        assert_eq!(loaded["w"], (vec![2], want.to_vec()), "{name}");
    }
    let line = weights::load(&file("i8", Dtype::I8, &[1, 2])).unwrap_err().to_string();
    assert!(line.contains("i8.safetensors: `w` is of type I8") && line.contains("BF16"), "{line}");
}

#[test]
fn names_are_taken_strictly_or_told() {
    let Some(gpu) = adapter("names_are_taken_strictly_or_told") else { return };
    let g = Graph::new();
    let [a, b] = ["a", "b"].map(|name| g.param(name, Type::f32([2]), Init::Constant(9.0)));
    g.output("sum", a + b);
    assert_eq!(g.weights(), ["a", "b"]);
    let ready = Ready::new(gpu, &g, 0);
    let (state, path) = (&ready.state, Path::new("theirs.safetensors"));
    let names = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
    let of = |names: &[&str]| -> Weights {
        names.iter().map(|n| (n.to_string(), (vec![2], vec![1.0; 2]))).collect()
    };
    let refused = |asked: &[&str], file: &[&str]| {
        weights::apply(gpu, state, &names(asked), &of(file), path).unwrap_err().to_string()
    };

    let line = refused(&["a", "b"], &["b", "c"]);
    assert!(line.contains("theirs") && line.contains("missing 1 (`a`); unexpected 1 (`c`)"), "{line}");
    let line = refused(&["a", "b"], &["a", "b", "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"]);
    assert!(
        line.contains("missing none") && line.contains("unexpected 8 (`c0`") && line.contains("and 2 more")
    );
    // Asked names that the State does not have: for instance, misspelt ones.
    let line = refused(&["a", "bb"], &["a", "bb"]);
    assert!(line.contains("no f32 variables 1 (`bb`)") && line.contains("holds 2 (`a`, `b`)"), "{line}");
    let line = weights::to_bytes(gpu, state, &names(&["bb"])).unwrap_err().to_string();
    assert!(line.contains("`bb`"), "{line}");
    // What was refused wrote nothing, though the first of two tensors fitted.
    let mut wrong = of(&["a", "b"]);
    wrong.insert("b".into(), (vec![1], vec![1.0]));
    assert!(weights::apply(gpu, state, &names(&["a", "b"]), &wrong, path).is_err());
    assert_eq!(state.read(gpu, "a").unwrap(), [9.0; 2]);

    let fit = weights::apply_partial(gpu, state, &names(&["a", "b"]), &of(&["b", "c"]), path).unwrap();
    let [taken, missing, unexpected] = ["b", "a", "c"].map(|n| names(&[n]));
    assert_eq!(fit, Fit { taken, missing, unexpected });
    assert_eq!(fit.to_string(), "taken 1 (`b`); missing in the file 1 (`a`); left in the file 1 (`c`)");
    assert_eq!([state.read(gpu, "a").unwrap(), state.read(gpu, "b").unwrap()], [[9.0; 2], [1.0; 2]]);
}

/// A convolution's weight and its gradient, which lie as `[T, C, O]` here, are read as PyTorch's `[O, C, rows,
/// columns]`.
#[test]
fn variables_and_gradients_are_read_in_pytorchs_layout() {
    let Some(gpu) = adapter("variables_and_gradients_are_read_in_pytorchs_layout") else { return };
    let g = Graph::new();
    let layer = Conv2d::new(&g, "conv", Kernel::square(3), [2, 4]);
    let w = layer.params()[0];
    g.output("gradient", grad(w.square().sum_all() * 0.5, &[w])[0]);
    let ready = Ready::new(gpu, &g, 0);
    let theirs: Vec<f32> = (0..72).map(|i| i as f32 * 0.25 - 3.0).collect();
    let names = ["conv.weight".to_string()];
    let file = Weights::from([(names[0].clone(), (vec![4, 2, 3, 3], theirs.clone()))]);
    weights::apply(gpu, &ready.state, &names, &file, Path::new("conv.safetensors")).unwrap();
    assert_eq!(weights::read(gpu, &ready.state, "conv.weight").unwrap(), (vec![4, 2, 3, 3], theirs.clone()));
    // The gradient of half a square is the weight itself.
    let gradient = ready.step().read("gradient");
    assert_ne!(gradient, theirs);
    let laid = weights::in_file(&ready.state, "conv.weight", &gradient).unwrap();
    assert_eq!(laid, (vec![4, 2, 3, 3], theirs));
    let line = weights::in_file(&ready.state, "conv.weight", &gradient[1..]).unwrap_err().to_string();
    assert!(line.contains("`conv.weight` has 72 elements, got 71"), "{line}");
    assert!(weights::read(gpu, &ready.state, "conv").is_err());
}
