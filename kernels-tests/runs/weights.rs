//! Weights files that are given to a program.

use crate::{
    commands::{empty, fails, images, json, labelled, run, weights},
    golden,
    subjects::adapter,
};
use oneiro::weights::{Weights, load};
use safetensors::{Dtype, tensor::TensorView};
use std::{fs, path::Path};

/// A file fits the model or it is refused, unless a part of it is meant.
#[test]
fn a_deeper_networks_file_is_no_shallower_ones() {
    if adapter("strict weights").is_none() {
        return;
    }
    let dir = empty("strict");
    images(&dir, 6, |i| (i * 7) as u8);
    let train = "vae train --data . --latent 2 --batch 16 --steps 1";
    run(&dir, &format!("{train} --hidden 9,9 --out deep"));
    run(&dir, &format!("{train} --hidden 9 --out shallow"));
    let deep = "--weights deep/weights.safetensors";
    let told = "missing none; unexpected 4 (`fc1.1.bias`, `fc1.1.weight`, `fc3.1.bias`, `fc3.1.weight`)";
    for command in [&format!("{train} --hidden 9 --out new")[..], "vae evaluate --run shallow"] {
        let text = fails(&dir, &format!("{command} {deep}"));
        assert!(text.contains(told) && text.contains("add --weights-partial"), "{text}");
        let text = run(&dir, &format!("{command} {deep} --weights-partial"));
        assert!(text.contains("taken 10 (`fc1.bias`") && text.contains("left in the file 4"), "{text}");
    }
    // Not even a part is there.
    generator(&dir.join("other.safetensors"));
    fs::write(dir.join("model.pt"), b"PK\x03\x04 and so on").unwrap();
    for command in [&format!("{train} --hidden 9 --out none")[..], "vae evaluate --run shallow"] {
        let text = fails(&dir, &format!("{command} --weights other.safetensors --weights-partial"));
        assert!(text.contains("holds nothing that the model has: the model has 10 (`fc1.bias`"), "{text}");
        let text = fails(&dir, &format!("{command} --weights model.pt"));
        assert!(text.contains("save the state dict by safetensors.torch.save_file"), "{text}");
    }
    // What is drawn needs a part of the model only; the other names are known all the same.
    run(&dir, "vae sample --run shallow --count 4");
    // With --weights-partial, what the file lacks is the run's own.
    let text = fails(&dir, "vae evaluate --run deep --weights shallow/weights.safetensors");
    assert!(text.contains("missing 4 (`fc1.1.bias`") && text.contains("unexpected none"), "{text}");
    let own = "--images 20 --k 1";
    let whole = run(&dir, &format!("vae evaluate --run deep {own}"));
    let part = format!("vae evaluate --run deep {deep} --weights-partial {own}");
    assert!(run(&dir, &part).contains(whole.split_once("test images").unwrap().1));
    assert_ne!(weights(&dir, "deep"), weights(&dir, "shallow"));
}

fn mean(scores: &Weights, name: &str) -> f64 {
    let (_, values) = &scores[name];
    values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64
}

/// A model without a run is what its weights and the options say; it draws and scores as the run does. Pictures and
/// scores are written as numbers.
#[test]
fn weights_without_a_run_draw_and_score() {
    if adapter("weights without a run").is_none() {
        return;
    }
    let dir = empty("bare");
    images(&dir, 5, |i| (i * 7) as u8);
    run(&dir, "vae train --data . --hidden 9 --latent 2 --batch 16 --steps 2 --out run");
    fs::create_dir(dir.join("bare")).unwrap();
    fs::copy(dir.join("run/weights.safetensors"), dir.join("bare/w.safetensors")).unwrap();
    let (bare, model) = (dir.join("bare"), "--weights w.safetensors --hidden 9 --latent 2");
    let own = run(&dir, "vae evaluate --run run --images 20 --k 12 --json own.json");
    let options = "--images 20 --k 12 --raw scores.safetensors";
    let text = run(&bare, &format!("vae evaluate {model} --data .. {options}"));
    let table = |text: &str| {
        text.split_once("20 test images").unwrap().1.split("scores.saf").next().unwrap().to_string()
    };
    assert_eq!(table(&text), table(&own));
    let (scores, json) = (load(&bare.join("scores.safetensors")).unwrap(), json(&dir.join("own.json")));
    for (name, want) in [
        ("elbo", &json["elbo"]),
        ("reconstruction", &json["reconstruction"]),
        ("kl", &json["kl"]),
        ("log_px", &json["iwae"][2]["log_px"]),
    ] {
        let (got, want) = (mean(&scores, name), want["mean"].as_f64().unwrap());
        assert!(scores[name].0 == [20] && (got - want).abs() < 1e-4, "{name}: {got} instead of {want}");
    }

    // Without data, the size of the images is an option.
    run(&bare, &format!("vae sample {model} --image 5,5,1 --count 3 --raw drawn.npy"));
    run(&dir, "vae sample --run run --count 3 --raw drawn.safetensors");
    let (npy, drawn) =
        (fs::read(bare.join("drawn.npy")).unwrap(), load(&dir.join("drawn.safetensors")).unwrap());
    let (shape, values) = &drawn["pictures"];
    assert_eq!(*shape, [3, 5, 5, 1]);
    assert_eq!(npy[128..], *bytemuck::cast_slice::<f32, u8>(values));
    assert_eq!(fs::read(bare.join("samples.png")).unwrap(), fs::read(dir.join("run/samples.png")).unwrap());
    // A conditional model without classes once panicked.
    for program in ["pixelcnn sample --gated", "dcgan sample"] {
        let text = fails(&bare, &format!("{program} --conditional --weights w.safetensors --image 28,28,1"));
        assert!(text.contains("give it by --classes"), "{program}: {text}");
    }
    for (options, what) in [
        ("--weights bare/w.safetensors --hidden 9,9 --latent 2 --image 5,5,1", "missing 4 (`fc1.1.bias`"),
        ("--run run --hidden 9", "--hidden describes a model without a run"),
        ("--hidden 9", "--hidden describes a model without a run"),
        ("--run run --raw drawn.txt", "ends in .safetensors or .npy"),
        ("--weights bare/w.safetensors --image 5,5", "three numbers"),
    ] {
        let text = fails(&dir, &format!("vae sample {options}"));
        assert!(text.contains(what), "{options}: {text}");
    }
}

/// Writes the generator of pytorch/examples' DCGAN, whose file names its layers `main.N`.
fn generator(path: &Path) {
    let tensors = golden::tensors("dcgan_trajectory.safetensors");
    let main = tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix("generator.")?, tensor)));
    let views = main.map(|(name, (shape, values))| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values)).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn other_programs_draw_and_score_without_a_run() {
    if adapter("other weights without a run").is_none() {
        return;
    }
    let dir = empty("bare-others");
    labelled(&dir);
    let small = "--features 4 --blocks 1 --head 4";
    run(
        &dir,
        &format!("pixelcnn train --data . --gated --conditional {small} --batch 8 --steps 3 --out run"),
    );
    run(&dir, "pixelcnn evaluate --run run --images 50 --json own.json");
    let bare = format!("--weights run/weights.safetensors --gated --conditional {small}");
    run(
        &dir,
        &format!("pixelcnn evaluate {bare} --data . --images 50 --json bare.json --raw nats.safetensors"),
    );
    let [own, other] = ["own.json", "bare.json"].map(|name| json(&dir.join(name)));
    assert_eq!(own, other);
    let scores = load(&dir.join("nats.safetensors")).unwrap();
    assert_eq!(scores["nats_per_class"].0, [50, 3]);
    assert!((mean(&scores, "nats") - own["nll"].as_f64().unwrap()).abs() < 1e-4);
    run(
        &dir,
        &format!("pixelcnn sample {bare} --image 6,6,1 --classes 3 --class 2 --count 4 --raw drawn.npy"),
    );
    assert!(dir.join("samples.png").is_file() && dir.join("drawn.npy").is_file());

    generator(&dir.join("netG.safetensors"));
    let bare = "--weights netG.safetensors --latent 6 --features 4 --image 32,32,3";
    run(&dir, &format!("dcgan sample {bare} --count 5 --raw drawn.safetensors"));
    assert_eq!(load(&dir.join("drawn.safetensors")).unwrap()["pictures"].0, [5, 32, 32, 3]);
}
