//! Pictures as a task takes them, and sheets of what was drawn of them.

use crate::{
    data::{Images, Task},
    run::grid,
};
use image::RgbImage;

/// How often a sheet shows each picture drawn.
pub(super) const DRAWS: usize = 3;

/// A task as the text of an option.
pub(super) mod text {
    use crate::data::Task;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::run) fn serialize<S: Serializer>(task: &Option<Task>, to: S) -> Result<S::Ok, S::Error> {
        match task {
            Some(task) => to.collect_str(task),
            None => to.serialize_none(),
        }
    }

    pub(in crate::run) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Task>, D::Error> {
        let text: Option<String> = Deserialize::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

/// Pictures as a task takes them, with values in [0, 1].
pub(super) struct Cases {
    pub(super) task: Task,
    /// The height, width and channels of the pictures.
    pub(super) image: [usize; 3],
    /// The values that the model draws of the pictures, `[N, H, W, drawn]`.
    pub(super) drawn: Vec<f32>,
    /// The hints, `[N, H, W, hint]`.
    pub(super) hints: Vec<f32>,
    /// 1 where a value of what is drawn is known, else 0; `None` where none is.
    pub(super) known: Option<Vec<f32>>,
}

impl Cases {
    /// The first images of a set that was [held out](Task::hold_out).
    pub(super) fn first(task: Task, images: &Images, count: usize) -> Self {
        let holes = usize::from(task == Task::Inpaint);
        let (channels, size) = (images.channels, images.height * images.width);
        let image = [images.height, images.width, channels - holes];
        let mut this = Self { task, image, drawn: vec![], hints: vec![], known: (holes > 0).then(Vec::new) };
        for held in images.pixels.chunks_exact(size * channels).take(count) {
            let picture: Vec<u8> =
                held.chunks_exact(channels).flat_map(|pixel| &pixel[..image[2]]).copied().collect();
            this.push(&picture, |p| holes > 0 && held[p * channels + image[2]] > 0);
        }
        this
    }

    fn push(&mut self, picture: &[u8], missing: impl Fn(usize) -> bool) {
        let unit = |bytes: Vec<u8>| bytes.into_iter().map(|b| f32::from(b) / 255.0);
        let [drawn, hint] = self.task.of(picture, self.image, &missing);
        if let Some(known) = &mut self.known {
            let c = self.image[2];
            known.extend((0..drawn.len()).map(|i| f32::from(u8::from(!missing(i / c)))));
        }
        self.drawn.extend(unit(drawn));
        self.hints.extend(unit(hint));
    }

    /// The number of pictures.
    pub(super) fn count(&self) -> usize {
        self.hints.len() / self.of_hint()
    }

    /// The values of a picture's hint.
    fn of_hint(&self) -> usize {
        self.image[0] * self.image[1] * self.task.channels(self.image[2])[1]
    }

    /// The values of what is drawn of a picture.
    pub(super) fn of_drawn(&self) -> usize {
        self.image[0] * self.image[1] * self.task.channels(self.image[2])[0]
    }

    /// Some of the pictures by their numbers, which may repeat.
    pub(super) fn pick(&self, rows: &[usize]) -> Self {
        let of = |values: &[f32], n: usize| -> Vec<f32> {
            rows.iter().flat_map(|&row| &values[row * n..(row + 1) * n]).copied().collect()
        };
        let known = self.known.as_ref().map(|known| of(known, self.of_drawn()));
        let (drawn, hints) = (of(&self.drawn, self.of_drawn()), of(&self.hints, self.of_hint()));
        Self { task: self.task, image: self.image, drawn, hints, known }
    }

    /// Each picture [`DRAWS`] times.
    pub(super) fn often(&self) -> Self {
        self.pick(&(0..self.count() * DRAWS).map(|i| i / DRAWS).collect::<Vec<_>>())
    }

    /// What a sampler is given: what is known of the pictures, and where.
    pub(super) fn given(&self) -> Option<(Vec<f32>, &[f32])> {
        let known = self.known.as_ref()?;
        Some((self.drawn.iter().zip(known).map(|(v, known)| v * known).collect(), known))
    }

    /// Puts what is known of the pictures into what was drawn of them.
    pub(super) fn keep(&self, drawn: &mut [f32]) {
        for (i, known) in self.known.iter().flatten().enumerate().filter(|(_, known)| **known == 1.0) {
            drawn[i] = self.drawn[i] * known;
        }
    }

    /// Pictures `[N, H, W, C]` of what was drawn of these.
    pub(super) fn pictures(&self, drawn: &[f32]) -> Vec<f32> {
        self.task.picture(drawn, &self.hints)
    }

    /// A row for each picture: the hint, the truth, and what was drawn, [`DRAWS`] times of each picture.
    pub(super) fn sheet(&self, drawn: &[f32]) -> RgbImage {
        let ([h, w, c], count) = (self.image, self.count());
        let (truths, drawn) = (self.pictures(&self.drawn), self.often().pictures(drawn));
        let (hints, n) = (self.task.shown(&self.hints, c), h * w * c);
        let mut all = vec![];
        for i in 0..count {
            all.extend_from_slice(&hints[i * n..(i + 1) * n]);
            all.extend_from_slice(&truths[i * n..(i + 1) * n]);
            all.extend_from_slice(&drawn[i * DRAWS * n..(i + 1) * DRAWS * n]);
        }
        grid(&all, count * (2 + DRAWS), h, w, c, 2 + DRAWS)
    }
}
