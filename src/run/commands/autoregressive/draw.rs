//! The commands `sample` and `complete`: pictures that are drawn pixel by pixel, and how they appeared.

use super::{
    fit::Density,
    trained::{CLASS, TrainedDensity, one_hot},
};
use crate::{
    error::{Error, Result},
    run::{Look, animate, grid, listener, options::number},
    train::{Draws, Method, Sampler, Work},
};
use clap::Args;
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// The numbers of pictures in a GIF, before the last one, and in the strip, at most.
const FRAMES: usize = 60;
const STRIP: usize = 8;

/// The options of `sample`.
#[derive(Args, Clone)]
pub struct PixelDraw {
    #[command(flatten)]
    pub(super) look: Look,
    /// Number of pictures
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    /// Temperature, from 0.001 to 1000: below 1 makes likely pixels more likely, above 1 less likely
    #[arg(long, default_value_t = 1.0, value_parser = temperature)]
    temperature: f64,
    /// Class to draw by its name, if the model is conditional [default: all in turn, or those of the images
    /// to complete]
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// Also write a GIF of the pictures as they appear
    #[arg(long)]
    gif: bool,
    /// Run the whole network for every pixel, for comparison
    #[arg(long)]
    naive: bool,
}

/// The options of `complete`.
#[derive(Args)]
pub struct Complete {
    #[command(flatten)]
    pub(super) draw: PixelDraw,
    /// Picture of the images' size whose bright pixels are kept [default: the upper half]
    #[arg(long, value_name = "PNG")]
    mask: Option<PathBuf>,
}

impl<M: Density> TrainedDensity<M> {
    /// Draws pictures and shows the progress. Writes the pictures, a strip of the first one as it appears,
    /// and a GIF if asked.
    fn draw(
        &self,
        options: &PixelDraw,
        classes: &[usize],
        given: Option<(&[f32], &[f32])>,
        name: &str,
    ) -> Result<()> {
        let (trained, count) = (&self.trained, usize::from(options.count));
        let ([h, w, c], gpu) = (trained.saved.image, &trained.gpu);
        let (likelihood, temperature) = (self.model().likelihood(), options.temperature as f32);
        let method = if options.naive { Method::Naive } else { M::METHOD };
        let draws = Draws { shape: [count, h, w, c], likelihood, temperature, method };
        let sampler = Sampler::new(gpu.caps(), draws, |g, x| self.model().network(g, self.given(x)).1)?;
        let state = self.trained.state(&sampler.plans())?;
        if self.model().conditional() {
            state.write(gpu, CLASS, &one_hot(classes.iter().copied(), self.classes()))?;
        }
        let columns = (count as f64).sqrt().ceil() as usize;
        let (steps, mut told) = (sampler.steps(), listener());
        let due = |done: usize, parts: usize, have: usize| done * parts >= steps * (have + 1);
        let (mut strip, mut frames, began) = (vec![], vec![], Instant::now());
        let pictures =
            sampler.run(gpu, &state, given, if options.gif { FRAMES } else { STRIP }, |done, picture| {
                told(Work { what: "steps", done: done as u64, total: steps as u64 })?;
                let (next, frame) = (
                    due(done, STRIP, strip.len() / (h * w * c)),
                    options.gif && due(done, FRAMES, frames.len()),
                );
                if next || frame {
                    let so_far = picture()?;
                    if next {
                        strip.extend_from_slice(&so_far[..h * w * c]);
                    }
                    if frame {
                        frames.push(grid(&so_far, count, h, w, c, columns));
                    }
                }
                Ok(())
            })?;
        say!("{count} pictures in {:.2} s, {steps} steps", began.elapsed().as_secs_f64());
        self.trained.write(&format!("{name}.png"), &pictures, c, columns)?;
        let parts = strip.len() / (h * w * c);
        self.trained.write(&format!("{name}-strip.png"), &strip, c, parts)?;
        if options.gif {
            frames.push(grid(&pictures, count, h, w, c, columns));
            let path = trained.run.path(&format!("{name}.gif"));
            animate(&path, &frames, 80)?;
            say!("{}", path.display());
        }
        Ok(())
    }

    /// The class of the option `--class` for each picture; `None` without the option.
    fn class(&self, options: &PixelDraw) -> Result<Option<Vec<usize>>> {
        let Some(name) = &options.class else { return Ok(None) };
        if !self.model().conditional() {
            return Err(Error::new(
                "--class: the model is not conditioned on classes; leave it out, or train `pixelcnn --gated --conditional`",
            ));
        }
        Ok(Some(vec![self.trained.saved.class(name)?; options.count.into()]))
    }

    pub(super) fn sample(&self, options: &PixelDraw) -> Result<()> {
        let in_turn = || (0..options.count.into()).map(|i| i % self.classes().max(1)).collect();
        let classes = self.class(options)?.unwrap_or_else(in_turn);
        self.draw(options, &classes, None, "samples")
    }

    pub(super) fn complete(&self, options: &Complete) -> Result<()> {
        let ([h, w, c], (test, _), count) =
            (self.trained.saved.image, self.test()?, usize::from(options.draw.count));
        if test.count < count {
            return Err(Error::new(format!("--count {count}: there are {} test images", test.count)));
        }
        let mask = match &options.mask {
            Some(path) => read_mask(path, h, w)?,
            None => (0..h * w).map(|p| f32::from(u8::from(p / w < h / 2))).collect(),
        };
        let kept = |i: usize| mask[i / c % (h * w)];
        let n = count * h * w * c;
        let given: Vec<f32> = (0..n).map(kept).collect();
        let pictures: Vec<f32> = (0..n).map(|i| f32::from(test.pixels[i]) / 255.0 * kept(i)).collect();
        let own = || test.labels.iter().flatten().take(count).map(|&l| l.into()).collect();
        let classes = self.class(&options.draw)?.unwrap_or_else(own);
        self.trained.write("given.png", &pictures, c, (count as f64).sqrt().ceil() as usize)?;
        self.draw(&options.draw, &classes, Some((&pictures, &given)), "completed")
    }
}

/// Parses a temperature, by which logits can be divided, for clap.
fn temperature(text: &str) -> std::result::Result<f64, String> {
    number(text, 1e-3..=1e3, "wants a number from 0.001 to 1000")
}

/// Reads a mask `[height, width]` that is 1 where the picture is bright, else 0.
fn read_mask(path: &Path, height: usize, width: usize) -> Result<Vec<f32>> {
    let picture = image::open(path)
        .map_err(|e| Error::at("read the mask", path, e, "give a PNG of the images' size"))?
        .to_luma8();
    if (picture.height() as usize, picture.width() as usize) != (height, width) {
        let what =
            format!("it is {}x{} pixels, the images are {width}x{height}", picture.width(), picture.height());
        return Err(Error::at("use the mask", path, what, "scale it to the images' size"));
    }
    Ok(picture.pixels().map(|p| f32::from(u8::from(p.0[0] >= 128))).collect())
}
