//! What commands tell of a run and its data: names that are true, figures that are numbers, advice that works.

use crate::{
    commands::{Folder, command, empty, fails, images, json, newest, run},
    subjects::adapter,
};
use std::{fs, path::Path};

/// A small VAE on the images of the folder.
const TRAIN: &str = "vae train --data . --batch 16 --hidden 16 --latent 2 --steps 4";

/// Keeps only so many of the images that [`images`] wrote to test with.
fn few(dir: &Path, count: u8, size: usize) {
    let path = dir.join("t10k-images-idx3-ubyte");
    let mut bytes = fs::read(&path).unwrap();
    bytes[7] = count;
    bytes.truncate(16 + usize::from(count) * size);
    fs::write(path, bytes).unwrap();
}

/// Labels for the training images and the test images.
fn labels(dir: &Path, label: impl Fn(u8) -> u8) {
    for name in ["train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"] {
        let labels = [0, 0, 8, 1, 0, 0, 0, 64].into_iter().chain((0..64).map(&label));
        fs::write(dir.join(name), labels.collect::<Vec<u8>>()).unwrap();
    }
}

/// 64 images of grey squares.
fn greys(name: &str) -> Folder {
    let dir = empty(name);
    images(&dir, 6, |i| (i * 7) as u8);
    dir
}

#[test]
fn only_black_and_white_pixels_have_a_likelihood_under_a_vae() {
    if adapter("grey bounds").is_none() {
        return;
    }
    let dir = greys("bounds");
    run(&dir, &format!("{TRAIN} --out grey"));
    run(&dir, &format!("{TRAIN} --binarise --out binary"));
    let text = run(&dir, "vae evaluate --run grey --k 3 --images 20 --json grey.json");
    assert!(
        text.contains("no log-likelihoods") && !text.contains("NLL") && !text.contains("log p"),
        "{text}"
    );
    assert_eq!(json(&dir.join("grey.json"))["likelihood"], false);
    let text = run(&dir, "vae evaluate --run binary --k 3 --images 20 --json binary.json");
    assert!(text.contains("NLL at k = 3") && !text.contains("grey"), "{text}");
    assert_eq!(json(&dir.join("binary.json"))["likelihood"], true);
    // What is reconstructed is what the model was trained on: the upper row is black and white.
    for (name, binary) in [("grey", false), ("binary", true)] {
        run(&dir, &format!("vae reconstruct --run {name} --count 6"));
        let picture = image::open(dir.join(name).join("reconstructions.png")).unwrap().into_rgb8();
        let row = picture.rows().take(picture.height() as usize / 2).flatten();
        // The gaps between images have a colour.
        let grey = row.filter(|p| p.0[0] == p.0[1] && p.0[1] == p.0[2]).any(|p| ![0, 255].contains(&p.0[0]));
        assert_eq!(grey, !binary, "{name}");
    }
}

#[test]
fn a_few_test_images_are_enough_to_look_at() {
    if adapter("few images").is_none() {
        return;
    }
    let dir = greys("few");
    few(&dir, 3, 36);
    run(&dir, &format!("{TRAIN} --out run"));
    run(&dir, "vae reconstruct --run run");
    run(&dir, "vae interpolate --run run");
    let text = fails(&dir, "vae reconstruct --run run --count 4");
    assert!(text.contains("only 3 test images"), "{text}");
    run(&dir, "autoencoder train --data . --batch 16 --steps 4 --out auto");
    run(&dir, "autoencoder reconstruct --run auto");
    run(&dir, "pixelcnn train --data . --batch 16 --features 4 --blocks 1 --steps 2 --out pixels");
    run(&dir, "pixelcnn complete --run pixels");
}

#[test]
fn a_mask_that_keeps_what_cannot_guide_is_told() {
    if adapter("masks").is_none() {
        return;
    }
    let dir = greys("masks");
    run(&dir, "pixelcnn train --data . --batch 16 --features 4 --blocks 1 --steps 2 --out run");
    // White below, and white that is transparent above.
    let mask = |visible: bool| {
        let white = |_, y: u32| image::Rgba([255, 255, 255, if (y < 3) == visible { 255 } else { 0 }]);
        image::RgbaImage::from_fn(6, 6, white).save(dir.join("mask.png")).unwrap();
    };
    mask(false);
    let text = run(&dir, "pixelcnn complete --run run --count 2 --mask mask.png");
    assert!(text.contains("guides only what is drawn after it"), "{text}");
    mask(true);
    let text = run(&dir, "pixelcnn complete --run run --count 2 --mask mask.png");
    assert!(!text.contains("guides"), "{text}");
}

#[test]
fn moved_data_are_found_again_and_others_refused() {
    if adapter("moved data").is_none() {
        return;
    }
    let dir = empty("moved");
    for (name, factor) in [("here", 7), ("other", 5)] {
        fs::create_dir_all(dir.join(name)).unwrap();
        images(&dir.join(name), 6, |i| (i * factor) as u8);
    }
    run(&dir, &format!("{TRAIN} --data here --out run").replace("--data . ", ""));
    fs::rename(dir.join("here"), dir.join("there")).unwrap();
    for command in ["evaluate --run run --k 2", "reconstruct --run run", "train --resume run --steps 6"] {
        let text = fails(&dir, &format!("vae {command}"));
        assert!(text.contains("--data says where the run's data lie"), "{command}: {text}");
        let text = fails(&dir, &format!("vae {command} --data other"));
        assert!(text.contains("not those of the run"), "{command}: {text}");
        run(&dir, &format!("vae {command} --data there"));
    }
    // The run remembers the place.
    run(&dir, "vae train --resume run --steps 8");
    assert_eq!(newest(&dir, "run").unwrap().position.step, 8);
}

#[test]
fn one_class_is_no_lack_of_labels() {
    if adapter("one class").is_none() {
        return;
    }
    let dir = greys("one-class");
    let commands = [
        "gan train --data . --batch 16 --hidden 8 --conditional --out run",
        "pixelcnn train --data . --batch 16 --gated --conditional --out run",
    ];
    for command in commands {
        assert!(fails(&dir, command).contains("the images have no labels"), "{command}");
    }
    labels(&dir, |_| 4);
    for command in commands {
        assert!(fails(&dir, command).contains("all images are of one class"), "{command}");
    }
    run(&dir, "gan train --data . --batch 16 --hidden 8 --steps 2 --out run");
    assert!(fails(&dir, "gan evaluate --run run --count 10").contains("all images are of one class"));
}

/// Every word that is no number where one should stand.
fn no_numbers(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| ["inf", "nan", "infinity"].contains(&word.to_lowercase().as_str())).collect()
}

#[test]
fn constant_images_give_numbers() {
    if adapter("constant images").is_none() {
        return;
    }
    let dir = empty("constant");
    for (value, k) in [(0, 1), (255, 2), (77, 3)] {
        images(&dir, 6, |_| value);
        labels(&dir, |i| i % 2);
        let runs = [
            format!("{TRAIN} --overwrite --out vae"),
            "vae evaluate --run vae --k 2".into(),
            format!("vae evaluate --run vae --k {k} --images 1"),
            format!("{TRAIN} --binarise --overwrite --out vae"),
            "vae evaluate --run vae --k 2".into(),
            "pixelcnn train --data . --batch 16 --features 4 --blocks 1 --steps 2 --overwrite --out pixels"
                .into(),
            "pixelcnn evaluate --run pixels --images 1".into(),
            "gan train --data . --batch 16 --hidden 8 --steps 2 --overwrite --out gan".into(),
        ];
        for typed in runs {
            let text = run(&dir, &typed);
            assert_eq!(no_numbers(&text), Vec::<&str>::new(), "{value}: {typed}: {text}");
        }
    }
}

/// The help of a subcommand.
fn help(typed: &str) -> String {
    let output = command(Path::new("."), &[], &format!("{typed} --help")).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_help_lists_only_what_has_an_effect() {
    let training =
        ["--batch ", "--lr ", "--decay ", "--clip ", "--beta ", "--beta1 ", "--noise ", "--dropout "];
    for looks in [
        "vae sample",
        "vae evaluate",
        "autoencoder reconstruct",
        "pixelcnn sample",
        "pixelcnn complete",
        "pixelrnn evaluate",
        "gan sample",
        "dcgan arithmetic",
        "wavenet sample",
        "wavenet continue",
        "wavenet evaluate",
    ] {
        let text = help(looks);
        let idle = training.iter().find(|option| text.contains(*option));
        assert!(idle.is_none() && text.contains("--weights"), "{looks}: {idle:?}\n{text}");
        let (program, _) = looks.split_once(' ').unwrap();
        assert!(help(&format!("{program} train")).contains("--batch "), "{program}");
    }
    for (looks, own, others) in [
        ("vae sample", "[default: 100]", "--axes"),
        ("vae manifold", "[default: 20]", "[default: 100]"),
        ("gan interpolate", "[default: 6]", "[default: 64]"),
        ("gan arithmetic", "--plus", "--count"),
        ("fvbn sample", "[default: 25]", "--class"),
        ("pixelcnn sample", "--class", "complete"),
        ("autoencoder reconstruct", "--image", "--classes"),
        ("wavenet train", "training signals", "image"),
        ("wavenet sample", "draws the same sounds", "--image"),
        ("wavenet evaluate", "--signals", "images"),
    ] {
        let text = help(looks);
        assert!(text.contains(own) && !text.contains(others), "{looks}: {text}");
    }
    // What a help hides is refused where it is typed.
    let dir = empty("idle");
    for typed in [
        "vae sample --lr 3",
        "gan arithmetic --count 3",
        "fvbn sample --naive",
        "wavenet sample --image 7,500,3",
    ] {
        assert!(fails(&dir, typed).contains("has no effect here"), "{typed}");
    }
}

#[test]
fn messages_fit_what_was_asked() {
    if adapter("messages").is_none() {
        return;
    }
    let dir = greys("asked");
    labels(&dir, |i| i % 2);
    let train = "autoencoder train --data . --hidden 4 --batch 16 --steps 3 --out run";
    run(&dir, train);
    let refused = [
        ("autoencoder train --seed -5", "wants a whole number from 0 on"),
        ("autoencoder train --steps 0", "wants a whole number from 1 on"),
        ("autoencoder train --hidden 70000", "wants a whole number from 1 to 65535"),
        ("vae manifold --axes 0,x", "wants a whole number from 0 to 65535"),
        (
            "autoencoder reconstruct --run absent",
            "train first, or give the folder that an earlier `train` named",
        ),
        ("autoencoder reconstruct --run run --data absent", "--data says where the run's data lie"),
    ];
    for (typed, told) in refused {
        let text = fails(&dir, typed);
        assert!(text.contains(told), "{typed}: {text}");
    }
    let told = [
        ("autoencoder train --resume run --steps 2", "run has done 3 steps, 2 are asked for"),
        (
            "autoencoder probe --run run --labels 2 --steps 1 --repeats 1",
            "1 fine-tuning step, mean of 1 run ±",
        ),
    ];
    for (typed, told) in told {
        let text = run(&dir, typed);
        assert!(text.contains(told), "{typed}: {text}");
    }
}
