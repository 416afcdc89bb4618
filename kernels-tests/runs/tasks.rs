//! Runs of models with a task: trained, drawn from, measured, and applied to a user's own pictures.

use crate::{
    commands::{empty, fails, json, labelled, run},
    subjects::adapter,
};

const SMALL: &str = "--features 4 --blocks 1 --head 4 --hint-features 4 --hint-layers 1 --batch 8 --steps 3";

/// A sheet has five columns of pictures of 6x6 with gaps between, magnified.
fn rows(path: &std::path::Path) -> u32 {
    let sheet = image::open(path).unwrap();
    let factor = sheet.width() / (5 * 7 + 1);
    (sheet.height() / factor - 1) / 7
}

/// The pixels by which two pictures of a row of a sheet differ.
fn differing(path: &std::path::Path, row: u32, [a, b]: [u32; 2]) -> usize {
    let sheet = image::open(path).unwrap().into_rgb8();
    let factor = sheet.width() / (5 * 7 + 1);
    let at = |column: u32, x: u32, y: u32| {
        *sheet.get_pixel((column * 7 + 1 + x) * factor, (row * 7 + 1 + y) * factor)
    };
    (0..36).filter(|i| at(a, i % 6, i / 6) != at(b, i % 6, i / 6)).count()
}

#[test]
fn pictures_are_enlarged() {
    if adapter("pictures_are_enlarged").is_none() {
        return;
    }
    let dir = empty("upscale");
    labelled(&dir);
    run(
        &dir,
        &format!("pixelcnn train --data . --task upscale=2 --output mixture --gated {SMALL} --out run"),
    );
    assert_eq!(rows(&dir.join("run/samples-000003.png")), 4);
    let text = run(&dir, "pixelcnn evaluate --run run --compare 3 --json figures.json");
    assert!(text.contains("given the hint") && text.contains("mean of 8 draws, 3 images: PSNR"), "{text}");
    let figures = json(&dir.join("figures.json"));
    assert_eq!((&figures["task"], &figures["bicubic"]["images"]), (&"upscale=2".into(), &3.into()));
    // Pictures of 6x6 are smaller than SSIM's window.
    assert!(figures["mean_of_draws"]["psnr_db"].as_f64().unwrap() > 0.0, "{figures}");
    assert!(figures["bicubic"]["ssim"].is_null(), "{figures}");
    run(&dir, "pixelcnn sample --run run --count 2 --raw drawn.npy");
    assert_eq!(rows(&dir.join("run/samples.png")), 2);
    std::fs::create_dir(dir.join("mine")).unwrap();
    image::RgbImage::from_fn(9, 4, |x, y| image::Rgb([(x * 20) as u8, (y * 60) as u8, 9]))
        .save(dir.join("mine/small.png"))
        .unwrap();
    let text = run(&dir, "pixelcnn apply --run run --images mine");
    let large = image::open(dir.join("mine/small-2x.png")).unwrap();
    assert!(text.contains("small-2x.png") && (large.width(), large.height()) == (18, 8), "{text}");
    for (command, what) in [
        ("apply --run run --images mine", "replace what is there by --overwrite"),
        ("apply --run run --images none", "cannot read none"),
        ("complete --run run", "take your pictures to `apply`"),
        ("sample --run run --gif", "--gif has no effect"),
        (&format!("train --data . --task upscale=4 {SMALL} --out other"), "do not shrink by 4"),
        (&format!("train --data . --task colourise --output softmax {SMALL} --out other"), "no colours"),
        (&format!("train --data . --task colourise {SMALL} --out other"), "add --output mixture"),
        (&format!("train --data . --task upscale=3 {SMALL} --out other"), "wants colourise, upscale=2"),
        ("train --data . --hint-layers 1 --out other", "--task"),
    ] {
        let text = fails(&dir, &format!("pixelcnn {command}"));
        assert!(text.contains(what), "{command}: {text}");
    }
}

/// Holes of test images are the same for whoever measures, so a score is repeated to its last digit; only missing
/// pixels are drawn.
#[test]
fn holes_are_filled() {
    if adapter("holes_are_filled").is_none() {
        return;
    }
    let dir = empty("inpaint");
    labelled(&dir);
    let small = "--features 3 --head 4 --hint-features 4 --hint-layers 1 --batch 8 --steps 3";
    run(&dir, &format!("pixelrnn train --data . --task inpaint --cell row {small} --out run"));
    run(&dir, "pixelrnn train --resume run --steps 4");
    for (out, seed) in [("a", 1), ("b", 2)] {
        run(&dir, &format!("pixelrnn evaluate --run run --seed {seed} --json {out}.json"));
    }
    let [a, b] = ["a.json", "b.json"].map(|name| json(&dir.join(name)));
    assert_eq!(a, b);
    // From 1 to 3 rows and columns of six are missing: four pixels in the mean, of about ln 2 nats each.
    let (nll, bits) = (a["nll"].as_f64().unwrap(), a["bits_per_dim"].as_f64().unwrap());
    let values = nll / (bits * std::f64::consts::LN_2);
    assert!((3.0..5.0).contains(&values) && (0.5..1.5).contains(&bits), "{a}");
    std::fs::create_dir(dir.join("mine")).unwrap();
    let picture = image::RgbaImage::from_fn(6, 6, |x, y| {
        let missing = (2..4).contains(&x) && y > 2;
        image::Rgba(if missing { [7, 7, 7, 0] } else { [(x % 2 * 255) as u8, 0, 0, 255] })
    });
    picture.save(dir.join("mine/torn.png")).unwrap();
    run(&dir, "pixelrnn apply --run run --images mine");
    let whole = image::open(dir.join("mine/torn-inpainted.png")).unwrap().into_luma8();
    // Red alone is dark: all that is known is black.
    let known = whole.enumerate_pixels().filter(|(x, y, _)| !((2..4).contains(x) && *y > 2));
    assert!(known.into_iter().all(|(_, _, p)| p.0 == [0]) && whole.dimensions() == (6, 6));
    image::GrayImage::new(6, 6).save(dir.join("mine/whole.png")).unwrap();
    let text = fails(&dir, "pixelrnn apply --run run --images mine --overwrite");
    assert!(text.contains("whole.png") && text.contains("nothing is missing"), "{text}");
}

#[cfg(feature = "folders")]
#[test]
fn pictures_are_coloured() {
    if adapter("pictures_are_coloured").is_none() {
        return;
    }
    let dir = crate::commands::pictures("colours");
    run(&dir, &format!("pixelcnn train --data photos --task colourise --output mixture {SMALL} --out run"));
    run(&dir, "pixelcnn sample --run run --count 2");
    let text = run(&dir, "pixelcnn evaluate --run run --compare 6 --json figures.json");
    let figures = json(&dir.join("figures.json"));
    assert!(text.contains("classes known, 6 images: real"), "{text}");
    assert!(figures["classes_known"]["grey"].is_number(), "{figures}");
    // Two colours for each of 30 pixels.
    let bits = figures["nll"].as_f64().unwrap() / figures["bits_per_dim"].as_f64().unwrap();
    assert!((bits - 60.0 * std::f64::consts::LN_2).abs() < 1e-6, "{figures}");
    std::fs::create_dir(dir.join("mine")).unwrap();
    image::GrayImage::from_fn(11, 7, |x, y| image::Luma([(x * 20 + y * 5) as u8]))
        .save(dir.join("mine/grey.png"))
        .unwrap();
    run(&dir, "pixelcnn apply --run run --images mine");
    let coloured = image::open(dir.join("mine/grey-colourised.png")).unwrap();
    assert!(coloured.color().has_color() && (coloured.width(), coloured.height()) == (11, 7));
}

/// The players of a DCGAN do the same tasks, by the same commands.
#[test]
fn an_adversary_enlarges_and_fills() {
    if adapter("an_adversary_enlarges_and_fills").is_none() {
        return;
    }
    let dir = empty("adversary");
    labelled(&dir);
    let small = "--batch 8 --features 4 --latent 5 --loss least-squares --l1 10";
    run(&dir, &format!("dcgan train --data . --task upscale=2 {small} --conditional --steps 3 --out run"));
    run(&dir, "dcgan train --resume run --steps 4");
    assert_eq!(rows(&dir.join("run/samples-000004.png")), 8);
    run(&dir, "dcgan sample --run run --count 3");
    assert_eq!(rows(&dir.join("run/samples.png")), 3);
    let text = run(&dir, &format!("dcgan train --data . --task inpaint {small} --steps 2 --out holes"));
    assert!(!text.to_lowercase().contains("nan"), "{text}");
    run(&dir, "dcgan sample --run holes --count 2");
    // What is known stays: only holes of at most three rows and columns are drawn.
    for (row, draw) in (0..2).flat_map(|row| (2..5).map(move |draw| (row, draw))) {
        let drawn = differing(&dir.join("holes/samples.png"), row, [1, draw]);
        assert!((1..=9).contains(&drawn), "row {row}, draw {draw}: {drawn} pixels differ");
    }
    for (command, what) in [
        ("interpolate --run run", "it draws by hints"),
        ("nearest --run run", "it draws by hints"),
        ("sample --run run --class 1", "--class has no effect"),
        (&format!("train --data . --task colourise {small} --out other"), "no colours"),
    ] {
        let text = fails(&dir, &format!("dcgan {command}"));
        assert!(text.contains(what), "{command}: {text}");
    }
    #[cfg(feature = "fid")]
    {
        let text = run(&dir, "dcgan evaluate --run run --compare 3 --json figures.json");
        let figures = json(&dir.join("figures.json"));
        assert!(
            text.contains("mean of 8 draws, 3 images: PSNR") && figures["bicubic"]["psnr_db"].is_number()
        );
        for (line, what) in [
            ("--run run --probe", "--probe has no effect"),
            ("--run run --count 9", "--count has no effect"),
            ("--run holes", "which a GAN does not have"),
        ] {
            assert!(fails(&dir, &format!("dcgan evaluate {line}")).contains(what), "{line}");
        }
        let line = format!("dcgan train --data . --task inpaint {small} --fid --out other");
        assert!(fails(&dir, &line).contains("measured by `evaluate`"));
    }
}
