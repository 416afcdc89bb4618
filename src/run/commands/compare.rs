//! What a task's draws are worth beside their likelihood: how near enlarged pictures come to the true ones, and
//! whether a classifier knows coloured pictures better than grey ones.

use super::task::Cases;
use crate::{
    data::{DataSet, Images, Task},
    error::Result,
    gpu::Gpu,
    measure::{
        bound::Mean,
        features::{Extractor, FOLDER},
        fidelity::{psnr, ssim},
        report::unlearnt,
    },
    run::listener,
};
use image::{ImageBuffer, Luma, Pixel, Rgb, imageops};
use serde_json::{Value, json};
use std::path::Path;

/// How often an enlarged picture is drawn, of which the mean is measured.
const DRAWN: usize = 8;
/// The usual numbers of images to enlarge and to colour.
const ENLARGED: usize = 16;
const COLOURED: usize = 128;
/// The PSNR of equal pictures in dB, in place of an infinite one, of which no mean could be taken.
const EQUAL: f64 = 100.0;

/// A function that draws each of some pictures, which have these classes, `[N, H, W, drawn]`.
pub(super) type Draw<'a> = dyn Fn(&Cases, &[usize]) -> Result<Vec<f32>> + 'a;

/// A trained model that draws by hints.
pub(super) struct Compared<'a> {
    /// The device.
    pub(super) gpu: &'a Gpu,
    /// The test images, held out.
    pub(super) test: &'a Images,
    /// Reads the run's data set.
    pub(super) load: &'a dyn Fn() -> Result<DataSet>,
    /// Draws each of these pictures, of these classes, once.
    pub(super) draw: &'a Draw<'a>,
}

impl Compared<'_> {
    /// Does the task on the first test images, measures what was drawn, and adds the figures to `json`.
    pub(super) fn compare(&self, task: Task, asked: Option<u32>, json: &mut Value) -> Result<()> {
        let usual = if task == Task::Colourise { COLOURED } else { ENLARGED };
        let count = asked.map_or(usual, |n| n as usize).min(self.test.count);
        match task {
            Task::Upscale(factor) if count > 0 => self.enlarged(task, factor, count, json),
            Task::Colourise if count > 0 => self.coloured(task, count, json),
            _ => Ok(()),
        }
    }

    /// The classes of so many test images, each `times` times, for a conditional model.
    fn classes_of(&self, count: usize, times: usize) -> Vec<usize> {
        let labels = self.test.labels.iter().flatten().take(count);
        labels.flat_map(|&label| std::iter::repeat_n(usize::from(label), times)).collect()
    }

    /// PSNR and SSIM of the mean of eight draws, and of bicubic enlargement.
    fn enlarged(&self, task: Task, factor: usize, count: usize, json: &mut Value) -> Result<()> {
        let cases = Cases::first(task, self.test, count);
        let rows: Vec<usize> = (0..count * DRAWN).map(|i| i / DRAWN).collect();
        let drawn = (self.draw)(&cases.pick(&rows), &self.classes_of(count, DRAWN))?;
        let n = cases.of_drawn();
        let cubic: Vec<f32> =
            cases.hints.chunks(n).flat_map(|hint| bicubic(hint, cases.image, factor)).collect();
        for (name, key, pictures) in [
            ("mean of 8 draws", "mean_of_draws", means(&drawn, n)),
            ("bicubic enlargement", "bicubic", cubic),
        ] {
            let (near, alike) = nearness(&cases, &pictures);
            let text = alike.map_or(String::new(), |m| format!(", SSIM {:.4}{}", m.mean, m.interval()));
            say!("{name}, {count} images: PSNR {:.2}{} dB{text}", near.mean, near.interval());
            json[key] = json!({
                "images": count, "psnr_db": near.mean, "psnr_half_width_95": near.half,
                "ssim": alike.map(|m| m.mean), "ssim_half_width_95": alike.map(|m| m.half),
            });
        }
        Ok(())
    }

    /// How often the engine's own classifier knows real, grey and coloured images.
    fn coloured(&self, task: Task, count: usize, json: &mut Value) -> Result<()> {
        let set = (self.load)()?;
        if let Some(why) =
            set.classless().or((set.train.count == 0).then_some("the training images are streamed"))
        {
            note!("note: {}: {why}; no classifier judges the colours", set.name);
            return Ok(());
        }
        let extractor = Extractor::of_data(self.gpu, &set, Path::new(FOLDER), &mut listener())?;
        let cases = Cases::first(task, self.test, count);
        let drawn = (self.draw)(&cases, &self.classes_of(count, 1))?;
        let n = cases.image.iter().product::<usize>();
        let real: Vec<f32> = self.test.pixels[..count * n].iter().map(|&b| f32::from(b) / 255.0).collect();
        let grey = task.shown(&cases.hints, 3);
        let labels = self.classes_of(count, 1);
        let mut accuracies = vec![];
        for (name, pictures) in [("real", real), ("grey", grey), ("colourised", cases.pictures(&drawn))] {
            let found = extractor.pictures(&pictures)?.classes;
            let right = found.iter().zip(&labels).map(|(found, label)| f64::from(u8::from(found == label)));
            accuracies.push((name, Mean::of(&right.map(|right| 100.0 * right).collect::<Vec<_>>())));
        }
        let told = |(name, m): &(&str, Mean)| {
            let half = if m.half.is_finite() { format!(" ± {:.1}", m.half) } else { String::new() };
            format!("{name} {:.1}{half} %", m.mean)
        };
        let told: Vec<_> = accuracies.iter().map(told).collect();
        say!("classes known, {count} images: {} ({})", told.join(", "), extractor.identity);
        let [real, grey, coloured] = [0, 1, 2].map(|i: usize| accuracies[i].1.mean / 100.0);
        if let Some(why) = unlearnt(Some(real), self.test.classes) {
            note!("note: {why}; what it says of other pictures means little");
        }
        json["classes_known"] = json!({
            "images": count, "real": real, "grey": grey, "colourised": coloured,
            "classifier": extractor.identity.to_string(),
        });
        Ok(())
    }
}

/// The mean of each picture's draws, which follow one another.
fn means(drawn: &[f32], n: usize) -> Vec<f32> {
    let mean = |draws: &[f32]| -> Vec<f32> {
        (0..n).map(|i| draws.iter().skip(i).step_by(n).sum::<f32>() / DRAWN as f32).collect()
    };
    drawn.chunks(n * DRAWN).flat_map(mean).collect()
}

/// PSNR and SSIM of pictures beside the true ones. There is no SSIM of pictures smaller than its window.
fn nearness(cases: &Cases, pictures: &[f32]) -> (Mean, Option<Mean>) {
    let n = cases.of_drawn();
    let pairs = || cases.drawn.chunks(n).zip(pictures.chunks(n));
    let near = Mean::of(&pairs().map(|(a, b)| psnr(a, b).min(EQUAL)).collect::<Vec<_>>());
    let alike: Option<Vec<f64>> = pairs().map(|(a, b)| ssim(a, b, cases.image)).collect();
    (near, alike.map(|all| Mean::of(&all)))
}

/// A hint, whose blocks of `factor` x `factor` pixels have one value, shrunk to these and enlarged by bicubic
/// interpolation (Catmull-Rom), within [0, 1].
fn bicubic(hint: &[f32], [h, w, c]: [usize; 3], factor: usize) -> Vec<f32> {
    fn enlarge<P: Pixel<Subpixel = f32> + 'static>(
        small: Vec<f32>,
        from: [usize; 2],
        to: [usize; 2],
    ) -> Vec<f32> {
        let [from, to] = [from, to].map(|size| size.map(|n| n as u32));
        let small: ImageBuffer<P, Vec<f32>> =
            ImageBuffer::from_raw(from[1], from[0], small).expect("as many values as pixels");
        imageops::resize(&small, to[1], to[0], imageops::FilterType::CatmullRom).into_raw()
    }
    let from = [h / factor, w / factor];
    let at = |i: usize| ((i / c / from[1] * w + i / c % from[1]) * factor) * c + i % c;
    let small: Vec<f32> = (0..from[0] * from[1] * c).map(|i| hint[at(i)]).collect();
    let large = match c {
        1 => enlarge::<Luma<f32>>(small, from, [h, w]),
        _ => enlarge::<Rgb<f32>>(small, from, [h, w]),
    };
    large.into_iter().map(|v| v.clamp(0.0, 1.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::enlarge;

    /// The true pictures, drawn each eight times, are as near as can be, and their order counts.
    #[test]
    fn draws_are_compared_with_their_own_picture() {
        let pixels = (0..2 * 16 * 16).map(|i| (i * 37 % 251) as u8).collect();
        let images =
            Images { count: 2, height: 16, width: 16, channels: 1, classes: 0, pixels, labels: None };
        let cases = Cases::first(Task::Upscale(2), &images, 2);
        let rows: Vec<usize> = (0..2 * DRAWN).map(|i| i / DRAWN).collect();
        let right = nearness(&cases, &means(&cases.pick(&rows).drawn, cases.of_drawn()));
        assert!(right.0.mean == EQUAL && (right.1.unwrap().mean - 1.0).abs() < 1e-6);
        let turned: Vec<usize> = rows.iter().rev().copied().collect();
        let wrong = nearness(&cases, &means(&cases.pick(&turned).drawn, cases.of_drawn()));
        assert!(wrong.0.mean < 20.0 && wrong.1.unwrap().mean < 0.5, "{}", wrong.0.mean);
        // A picture that is lost by a half is one of 6 dB.
        let half: Vec<f32> = cases.drawn.iter().map(|v| (v + 0.5) % 1.0).collect();
        assert!((nearness(&cases, &half).0.mean - 6.02).abs() < 0.01);
    }

    /// Catmull-Rom's weights half a pixel's quarter away: a step from 0 to 1 overshoots and is cut off.
    #[test]
    fn a_step_is_enlarged_smoothly() {
        let hint: Vec<f32> = enlarge(&[0, 0, 0, 1, 1, 1], [1, 6, 1], 2).into_iter().map(f32::from).collect();
        let large = bicubic(&hint, [2, 12, 1], 2);
        assert!(large[0].abs() < 1e-6 && (large[11] - 1.0).abs() < 1e-6, "{large:?}");
        // At 1/4 of the way from one pixel's centre to the next: -t/2 + 2t² - 3t³/2 of what lies before, and so on.
        let expected = [0.0, 0.203_125, 0.796_875, 1.0];
        for (found, expected) in large[4..8].iter().zip(expected) {
            assert!((found - expected).abs() < 1e-3, "{large:?}");
        }
        let colours: Vec<f32> = hint.iter().flat_map(|&v| [v, 0.5, 1.0 - v]).collect();
        let large = bicubic(&colours, [2, 12, 3], 2);
        assert!(large.iter().skip(1).step_by(3).all(|&v| (v - 0.5).abs() < 1e-6));
    }
}
