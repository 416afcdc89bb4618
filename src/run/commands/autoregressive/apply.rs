//! The command `apply`: a model's task, done on a user's own pictures.
//!
//! A picture that is larger than those of the training is drawn in tiles of that size. Neighbours overlap, and what an
//! earlier tile has drawn is given to the next one, which goes on from there: no seam shows. Tiles on one diagonal do
//! not wait for each other and are drawn at once.

use super::{
    draw::temperature,
    fit::{Density, Fit, HINT},
    trained::TrainedDensity,
};
use crate::{
    data::{Task, enlarge, luma, picture},
    disk::write_atomic,
    error::{Error, Result},
    gpu::State,
    run::{Bare, Look, listener, say::counted},
    train::{Draws, Sampler, Work},
};
use clap::Args;
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use std::{
    collections::BTreeSet,
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

/// The largest number of tiles that are drawn at once.
const AT_ONCE: usize = 16;
/// The part of a tile's side by which it overlaps its neighbours, as 1 in so many.
const OVERLAP: usize = 4;

/// The options of `apply`.
#[derive(Args)]
pub struct Apply<M: Density> {
    #[command(flatten)]
    pub(super) bare: Bare<Fit<M>>,
    #[command(flatten)]
    pub(super) look: Look,
    /// Folder of pictures; the results become PNG files beside them, such as photo-colourised.png. Holes to fill
    /// are what is transparent
    #[arg(long, value_name = "FOLDER")]
    images: PathBuf,
    /// Replace the results of an earlier `apply`
    #[arg(long)]
    overwrite: bool,
    /// Temperature, from 0.001 to 1000: below 1 makes likely pixels more likely, above 1 less likely
    #[arg(long, default_value_t = 1.0, value_parser = temperature)]
    temperature: f64,
}

/// The tasks whose results lie beside the pictures.
const TASKS: [Task; 4] = [Task::Colourise, Task::Upscale(2), Task::Upscale(4), Task::Inpaint];

/// The end of a result's name, which follows the name of its picture.
fn suffix_of(task: Task) -> String {
    match task {
        Task::Colourise => "-colourised".into(),
        Task::Upscale(factor) => format!("-{factor}x"),
        Task::Inpaint => "-inpainted".into(),
    }
}

/// A picture as the task draws it, and what is drawn of it so far.
struct Canvas {
    /// The rows and columns, at least those of a tile.
    size: [usize; 2],
    /// The rows and columns of the picture, which is in the upper left corner.
    picture: [usize; 2],
    /// `[rows, columns, hint]`.
    hint: Vec<f32>,
    /// `[rows, columns, drawn]`.
    drawn: Vec<f32>,
    /// 1 where a value is known or drawn, else 0, `[rows, columns, drawn]`.
    done: Vec<f32>,
}

/// The first rows, or columns, of tiles of `side` that cover `n`, where neighbours overlap by at least `overlap`.
fn starts(n: usize, side: usize, overlap: usize) -> Vec<usize> {
    let step = side - overlap;
    let all = (0..).map(|i| i * step).take_while(|start| start + side < n + step);
    all.map(|start| start.min(n - side)).collect()
}

/// The tiles of a canvas by their first rows and columns, those that do not wait for each other together.
fn diagonals(size: [usize; 2], tile: [usize; 2], factor: usize) -> Vec<Vec<[usize; 2]>> {
    let firsts = [0, 1].map(|d| starts(size[d], tile[d], tile[d] / OVERLAP / factor * factor));
    let [rows, columns] = &firsts;
    let of = |k: usize| {
        let places =
            rows.iter().enumerate().filter_map(|(i, &y)| Some([y, *columns.get(k.checked_sub(i)?)?]));
        places.collect()
    };
    (0..rows.len() + columns.len() - 1).map(of).collect()
}

impl Canvas {
    /// Makes the canvas of a picture `[h, w, c]`, whose pixels are missing where `missing` says so, for tiles of
    /// `tile` rows and columns. The picture's last row and column are repeated as far as a tile is larger.
    fn new(task: Task, bytes: &[u8], [h, w, c]: [usize; 3], tile: [usize; 2], missing: &[bool]) -> Self {
        let factor = if let Task::Upscale(factor) = task { factor } else { 1 };
        let (picture, size) = ([h * factor, w * factor], [0, 1].map(|d| tile[d].max([h, w][d] * factor)));
        let inner = size.map(|n| n / factor);
        let at = |i: usize| [(i / inner[1]).min(h - 1), (i % inner[1]).min(w - 1)];
        let place = |i: usize| at(i)[0] * w + at(i)[1];
        let count = inner[0] * inner[1];
        let filled: Vec<u8> = (0..count).flat_map(|i| &bytes[place(i) * c..][..c]).copied().collect();
        let [drawn, hint] = match task {
            Task::Upscale(_) => {
                let hint = enlarge(&filled, [inner[0], inner[1], c], factor);
                [vec![0; hint.len()], hint]
            }
            _ => task.of(&filled, [inner[0], inner[1], c], |i| missing[place(i)]),
        };
        let per = drawn.len() / (size[0] * size[1]);
        let known = |i: usize| task == Task::Inpaint && !missing[place(i / per)];
        let done = (0..drawn.len()).map(|i| f32::from(u8::from(known(i)))).collect();
        let [drawn, hint] = [drawn, hint].map(|bytes| bytes.iter().map(|&b| f32::from(b) / 255.0).collect());
        Self { size, picture, hint, drawn, done }
    }

    /// The values of a tile of a picture `[rows, columns, channels]` of the canvas.
    fn cut(&self, values: &[f32], [y, x]: [usize; 2], [h, w]: [usize; 2]) -> Vec<f32> {
        let per = values.len() / (self.size[0] * self.size[1]);
        let row = |i: usize| ((y + i) * self.size[1] + x) * per;
        (0..h).flat_map(|i| &values[row(i)..row(i) + w * per]).copied().collect()
    }

    /// Takes what was drawn of a tile.
    fn put(&mut self, tile: &[f32], [y, x]: [usize; 2], [h, w]: [usize; 2]) {
        let per = tile.len() / (h * w);
        for i in 0..h {
            let row = ((y + i) * self.size[1] + x) * per;
            self.drawn[row..row + w * per].copy_from_slice(&tile[i * w * per..(i + 1) * w * per]);
            self.done[row..row + w * per].fill(1.0);
        }
    }

    /// The picture that was drawn.
    fn result(&self, task: Task) -> DynamicImage {
        let values = [&self.drawn, &self.hint].map(|of| self.cut(of, [0, 0], self.picture));
        let picture = task.picture(&values[0], &values[1]);
        let bytes: Vec<u8> = picture.iter().map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8).collect();
        let [h, w] = self.picture.map(|n| n as u32);
        if bytes.len() == (h * w) as usize {
            GrayImage::from_raw(w, h, bytes).expect("a byte for each pixel").into()
        } else {
            RgbImage::from_raw(w, h, bytes).expect("three bytes for each pixel").into()
        }
    }
}

impl<M: Density> TrainedDensity<M> {
    pub(super) fn apply(&self, options: &Apply<M>) -> Result<()> {
        let Some(task) = self.model().task() else {
            return Err(Error::new(
                "apply: the model draws freely; train one with --task, such as --task colourise",
            ));
        };
        if self.model().conditional() {
            return Err(Error::new(
                "apply: the model is told classes, which pictures in a folder do not have; train one without --conditional",
            ));
        }
        let work = listed(&options.images, &suffix_of(task), options.overwrite)?;
        // All are read before the first is drawn, so that one that cannot be read ends nothing later; but they are
        // kept one at a time.
        let sizes =
            work.iter().map(|(path, _)| Ok(self.canvas(task, path)?.size)).collect::<Result<Vec<_>>>()?;
        let ([h, w, c], likelihood) = (self.drawn(), self.model().likelihood());
        let factor = if let Task::Upscale(factor) = task { factor } else { 1 };
        let tiled = |size: [usize; 2]| diagonals(size, [h, w], factor);
        let wide = sizes.iter().flat_map(|&size| tiled(size));
        let size = wide.map(|tiles| tiles.len()).max().unwrap_or(1).min(AT_ONCE);
        let (temperature, method) = (options.temperature as f32, M::METHOD);
        let draws = Draws { shape: [size, h, w, c], likelihood, temperature, method };
        let (sampler, state) = self.sampler(draws, &[])?;
        let of = |&of: &[usize; 2]| tiled(of).iter().map(|d| d.len().div_ceil(size)).sum::<usize>();
        let total = (sizes.iter().map(of).sum::<usize>() * sampler.steps()) as u64;
        let (mut told, mut before) = (listener(), 0);
        for (path, result) in &work {
            let mut canvas = self.canvas(task, path)?;
            for tiles in tiled(canvas.size) {
                for some in tiles.chunks(size) {
                    self.tiles(&mut canvas, some, size, (&sampler, &state), &mut |done| {
                        told(Work { what: "steps of drawing", done: before + done, total })
                    })?;
                    before += sampler.steps() as u64;
                }
            }
            let mut bytes = Cursor::new(vec![]);
            canvas
                .result(task)
                .write_to(&mut bytes, ImageFormat::Png)
                .map_err(|e| Error::at("encode", result, e, "please report this"))?;
            write_atomic(result, bytes.get_ref())?;
            say!("{}", result.display());
        }
        Ok(())
    }

    /// Draws tiles of a canvas at once; `size` is the sampler's number of pictures.
    fn tiles(
        &self,
        canvas: &mut Canvas,
        places: &[[usize; 2]],
        size: usize,
        (sampler, state): (&Sampler, &State),
        told: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let (gpu, [h, w, c]) = (&self.trained.gpu, self.drawn());
        // The last tiles are filled up by repeating the first one.
        let all = || (0..size).map(|i| places.get(i).unwrap_or(&places[0]));
        let cut = |values: &[f32]| all().flat_map(|&at| canvas.cut(values, at, [h, w])).collect::<Vec<_>>();
        let [hints, pictures, done] = [&canvas.hint, &canvas.drawn, &canvas.done].map(|values| cut(values));
        state.write(gpu, HINT, &hints)?;
        let drawn = sampler.run(gpu, state, Some((&pictures, &done)), 8, |steps, _| told(steps as u64))?;
        for (tile, &at) in drawn.chunks(h * w * c).zip(places) {
            canvas.put(tile, at, [h, w]);
        }
        Ok(())
    }

    /// The canvas of a picture.
    fn canvas(&self, task: Task, path: &Path) -> Result<Canvas> {
        let bad = |what: String| Error::at("use", path, what, "mend it, or move it out of the folder");
        let bytes = fs::read(path).map_err(|e| bad(e.to_string()))?;
        let picture = picture::upright(&bytes).map_err(bad)?;
        let [height, width, channels] = self.trained.saved.image;
        let (w, h) = (picture.width() as usize, picture.height() as usize);
        let missing: Vec<bool> = picture.to_luma_alpha8().pixels().map(|p| p.0[1] < 128).collect();
        if task == Task::Inpaint {
            if [h, w] != [height, width] {
                return Err(bad(format!("it is {w}x{h} pixels, the model fills holes in {width}x{height}")));
            }
            if !missing.contains(&true) {
                return Err(bad("no pixel of it is transparent, so nothing is missing".into()));
            }
        }
        let rgb = picture.into_rgb8();
        let bytes: Vec<u8> = match channels {
            1 => rgb.pixels().map(|p| luma(p.0)).collect(),
            _ => rgb.into_raw(),
        };
        let black_or_white = |b: u8| if b >= 128 { 255 } else { 0 };
        let bytes = match self.model().likelihood().has_levels() || task != Task::Inpaint {
            true => bytes,
            false => bytes.into_iter().map(black_or_white).collect(),
        };
        Ok(Canvas::new(task, &bytes, [h, w, channels], [height, width], &missing))
    }
}

/// The pictures of a folder, each with the path of its result, in the order of their names. Results of any task do not
/// count, where the picture that they were made of is there.
fn listed(folder: &Path, suffix: &str, overwrite: bool) -> Result<Vec<(PathBuf, PathBuf)>> {
    let advice = "give a folder of pictures by --images";
    let entries = fs::read_dir(folder).map_err(|e| Error::at("read", folder, e, advice))?;
    let mut paths: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| is_picture(path)).collect();
    paths.sort();
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let stems: BTreeSet<String> = paths.iter().map(|path| stem(path)).collect();
    paths.retain(|path| {
        let made = |task| stem(path).strip_suffix(&suffix_of(task)).is_some_and(|of| stems.contains(of));
        !TASKS.into_iter().any(made)
    });
    if paths.is_empty() {
        return Err(Error::at("use", folder, "it holds no picture", advice));
    }
    let result = |path: PathBuf| {
        let result = path.with_file_name(format!("{}{suffix}.png", stem(&path)));
        (path, result)
    };
    let mut work: Vec<(PathBuf, PathBuf)> = paths.into_iter().map(result).collect();
    work.sort_by(|a, b| a.1.cmp(&b.1));
    if let Some(pair) = work.windows(2).find(|pair| pair[0].1 == pair[1].1) {
        let (a, b, to) = (pair[0].0.display(), pair[1].0.display(), pair[0].1.display());
        return Err(Error::new(format!("{a} and {b} would both become {to}; rename one of them")));
    }
    let there: Vec<&PathBuf> =
        work.iter().map(|(_, result)| result).filter(|result| result.exists()).collect();
    match there.first().filter(|_| !overwrite) {
        Some(first) => {
            let what = format!("{} there already, {} first", counted(there.len(), "result"), first.display());
            Err(Error::new(format!("{what}; replace what is there by --overwrite, or move it away")))
        }
        None => Ok(work),
    }
}

/// Whether a file is called or is a picture of a kind that is read; hidden ones do not count.
fn is_picture(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let known = || {
        let mut start = vec![];
        let read = fs::File::open(path).and_then(|file| {
            std::io::Read::read_to_end(&mut std::io::Read::take(file, picture::MAGIC), &mut start)
        });
        read.is_ok() && picture::recognise(&start).is_some()
    };
    !hidden && path.is_file() && known()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::scratch::Folder;

    #[test]
    fn tiles_cover_a_picture_and_overlap() {
        assert_eq!(starts(32, 32, 8), [0]);
        assert_eq!(starts(33, 32, 8), [0, 1]);
        assert_eq!(starts(80, 32, 8), [0, 24, 48]);
        assert_eq!(starts(81, 32, 8), [0, 24, 48, 49]);
        for n in 32..200 {
            let all = starts(n, 32, 8);
            assert_eq!((all[0], all[all.len() - 1]), (0, n - 32));
            assert!(all.windows(2).all(|pair| (1..=24).contains(&(pair[1] - pair[0]))), "{n}: {all:?}");
        }
    }

    /// A picture in which every value tells its place comes back from its tiles, in whatever order they are drawn.
    #[test]
    fn a_picture_comes_back_from_its_tiles() {
        let (size, tile) = ([11, 13, 1], [8, 8]);
        let bytes: Vec<u8> = (0..143).collect();
        let mut canvas = Canvas::new(Task::Upscale(2), &bytes, size, tile, &[]);
        assert_eq!((canvas.size, canvas.picture, canvas.hint.len()), ([22, 26], [22, 26], 22 * 26));
        let hint = canvas.hint.clone();
        let (mut tiles, mut seen) = (0, 0.0);
        for diagonal in diagonals(canvas.size, tile, 2) {
            let before: Vec<Vec<f32>> =
                diagonal.iter().map(|&at| canvas.cut(&canvas.done, at, tile)).collect();
            for (at, before) in diagonal.into_iter().zip(before) {
                // All but the first tile go on from what is there.
                assert_eq!(tiles > 0, before.contains(&1.0), "tile {at:?}");
                seen += before.iter().sum::<f32>();
                let values = canvas.cut(&hint, at, tile);
                canvas.put(&values, at, tile);
                tiles += 1;
            }
        }
        assert!(canvas.drawn == hint && canvas.done.iter().all(|&done| done == 1.0));
        assert!(tiles > 9 && seen > 0.0);
    }

    #[test]
    fn small_pictures_are_repeated_at_their_ends_and_cut_again() {
        let mut canvas = Canvas::new(Task::Colourise, &[9, 9, 9, 200, 200, 200], [1, 2, 3], [4, 4], &[]);
        assert_eq!((canvas.size, canvas.picture), ([4, 4], [1, 2]));
        let levels: Vec<u8> = canvas.hint.iter().map(|v| (v * 255.0).round() as u8).collect();
        assert_eq!(levels, [[9, 200, 200, 200]; 4].concat());
        canvas.put(&[128.0 / 255.0; 32], [0, 0], [4, 4]);
        assert_eq!(canvas.result(Task::Colourise).into_rgb8().into_raw(), [9, 9, 9, 200, 200, 200]);
    }

    #[test]
    fn results_are_never_overwritten_unasked_nor_taken_for_pictures() {
        let dir = Folder::new("apply");
        let save = |name: &str| GrayImage::new(2, 2).save(dir.join(name)).unwrap();
        assert!(listed(&dir, "-2x", false).unwrap_err().to_string().contains("no picture"));
        ["b.png", "a.jpg", ".hidden.png"].into_iter().for_each(save);
        fs::write(dir.join("notes.txt"), "words").unwrap();
        let names = |work: Vec<(PathBuf, PathBuf)>| -> Vec<String> {
            work.iter().map(|(_, to)| to.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names(listed(&dir, "-2x", false).unwrap()), ["a-2x.png", "b-2x.png"]);
        save("b-2x.png");
        let line = listed(&dir, "-2x", false).unwrap_err().to_string();
        assert!(line.contains("b-2x.png") && line.contains("--overwrite"), "{line}");
        assert_eq!(names(listed(&dir, "-2x", true).unwrap()), ["a-2x.png", "b-2x.png"]);
        // Other tasks' results are none either, but a picture of the user's may be called like one.
        ["a-colourised.png", "b-2x-4x.png", "c-2x.png"].into_iter().for_each(save);
        assert_eq!(names(listed(&dir, "-2x", true).unwrap()), ["a-2x.png", "b-2x.png", "c-2x-2x.png"]);
        save("b.bmp");
        assert!(listed(&dir, "-2x", true).unwrap_err().to_string().contains("rename one"));
    }
}
