//! Runs of density models: a conditional PixelCNN from training to its figures, and a model whose figure is
//! known.

use crate::{
    commands::{empty, fails, images, json, labelled, run},
    subjects::adapter,
};
use oneiro::weights;
use safetensors::{Dtype, tensor::TensorView};
use std::fs;

#[test]
fn a_conditional_pixelcnn_trains_resumes_draws_and_scores() {
    if adapter("pixelcnn").is_none() {
        return;
    }
    let dir = empty("pixelcnn");
    labelled(&dir);
    let small = "--features 4 --blocks 1 --head 4 --batch 8 --steps 3";
    run(&dir, &format!("pixelcnn train --data . --gated --conditional {small} --out run --dropout 0.2"));
    // A run of a version that did not know these options goes on.
    let forget = |text: &str| {
        let known = |l: &&str| {
            !["dilations", "components", "classes =", "class_names"].iter().any(|new| l.starts_with(new))
        };
        text.lines().filter(known).map(|l| format!("{l}\n")).collect::<String>()
    };
    let config = dir.join("run/config.toml");
    fs::write(&config, forget(&fs::read_to_string(&config).unwrap())).unwrap();
    let text = run(&dir, "pixelcnn train --resume run --steps 5");
    assert!(text.contains("going on at step 3"), "{text}");
    let text = run(&dir, "pixelcnn evaluate --run run --images 50 --json nll.json");
    assert!(text.contains("class   2: NLL") && text.contains("the likeliest class"), "{text}");
    let nll = json(&dir.join("nll.json"));
    let (own, per_class) = (nll["nll"].as_f64().unwrap(), nll["nll_per_class"].as_array().unwrap());
    let of = |c: usize| per_class[c].as_f64().unwrap() * [17.0, 17.0, 16.0][c];
    assert!((own - (of(0) + of(1) + of(2)) / 50.0).abs() < 1e-6 && (1.0..40.0).contains(&own), "{nll}");
    run(&dir, "pixelcnn sample --run run --count 4 --class 1 --gif");
    run(&dir, "pixelcnn complete --run run --count 4");
    for name in ["samples.png", "samples.gif", "completed.png", "given.png", "surprise.png"] {
        assert!(dir.join("run").join(name).is_file(), "{name} is missing");
    }
    for (command, what) in [
        ("sample --run run --class 3", "there are 3 classes"),
        ("sample --run run --class 999", "--class"),
        ("train --data . --conditional --out other", "add --gated"),
    ] {
        let text = fails(&dir, &format!("pixelcnn {command}"));
        assert!(text.contains(what), "{text}");
    }
}

/// 50 images of 37x37 pixels are no whole words of 4 bytes; 100 at a time, with 256 levels for each pixel, are more
/// than a binding of WebGPU's default size.
#[test]
fn chunks_of_odd_images_are_scored() {
    if adapter("chunks_of_odd_images_are_scored").is_none() {
        return;
    }
    let dir = empty("chunks");
    images(&dir, 37, |i| (i * 7) as u8);
    let small = "--features 4 --blocks 1 --head 4 --batch 8 --steps 1";
    run(&dir, &format!("pixelcnn train --data . --output softmax {small} --out run"));
    let text = run(&dir, "pixelcnn evaluate --run run --images 3");
    assert!(text.contains("3 test images of 256 levels"), "{text}");
}

/// Weights of 0 make all 256 levels equally likely, which costs 8 bits per dimension.
#[test]
fn a_uniform_model_scores_8_bits_per_dimension() {
    if adapter("a_uniform_model_scores_8_bits_per_dimension").is_none() {
        return;
    }
    let dir = empty("uniform");
    labelled(&dir);
    let small = "--features 4 --blocks 1 --head 4 --batch 8 --steps 1";
    run(&dir, &format!("pixelcnn train --data . --output softmax {small} --out run"));
    let path = dir.join("run/weights.safetensors");
    let zeros: Vec<_> = weights::load(&path)
        .unwrap()
        .into_iter()
        .map(|(name, (shape, v))| (name, shape, vec![0u8; 4 * v.len()]))
        .collect();
    let views = zeros
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    let text = run(&dir, "pixelcnn evaluate --run run");
    assert!(text.contains("8.0000 bits per dimension"), "{text}");
}
