//! Few images of many: an equal number of each class, chosen by a seed.

use super::{Images, permutation};

impl Images {
    /// Chooses `n` labelled images, an equal number of each class, or one more of some classes where `n` is
    /// no multiple of their number. Returns their places in a random order: a pure function of the labels,
    /// `n` and the seed. Where a class has too few images, there are fewer places than `n`; without labels
    /// there are none.
    pub fn balanced(&self, n: usize, seed: u64) -> Vec<u32> {
        let Some(labels) = &self.labels else { return vec![] };
        let mut left = vec![n.div_ceil(self.classes.max(1)); self.classes];
        let wanted = |&i: &u32| {
            let left = &mut left[usize::from(labels[i as usize])];
            let wanted = *left > 0;
            *left -= usize::from(wanted);
            wanted
        };
        permutation(seed, 0, self.count).into_iter().filter(wanted).take(n).collect()
    }

    /// The most labelled images of which equally many are of each class.
    pub fn most_balanced(&self) -> usize {
        let mut of = vec![0; self.classes];
        self.labels.iter().flatten().for_each(|&label| of[usize::from(label)] += 1);
        of.iter().min().map_or(0, |least| least * self.classes)
    }

    /// The images at these places, with their labels.
    pub fn at(&self, places: &[u32]) -> Self {
        let size = self.pixels.len() / self.count.max(1);
        let pixels =
            places.iter().flat_map(|&i| &self.pixels[i as usize * size..][..size]).copied().collect();
        let labels = self.labels.as_ref().map(|all| places.iter().map(|&i| all[i as usize]).collect());
        Self { count: places.len(), pixels, labels, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 90 images of two pixels, the first of which is the image's number; of class 2 there are ten.
    fn images() -> Images {
        let label = |i: u8| if i >= 80 { 2 } else { i % 2 };
        Images {
            count: 90,
            height: 1,
            width: 2,
            channels: 1,
            classes: 3,
            pixels: (0..90).flat_map(|i| [i, 255]).collect(),
            labels: Some((0..90).map(label).collect()),
        }
    }

    #[test]
    fn the_choice_is_even_and_follows_the_seed() {
        let images = images();
        let places = images.balanced(30, 4);
        let few = images.at(&places);
        let labels = few.labels.as_ref().unwrap();
        let of = |class: u8| labels.iter().filter(|&&label| label == class).count();
        assert_eq!([of(0), of(1), of(2)], [10; 3]);
        assert_eq!((few.count, few.pixels.len(), few.classes), (30, 60, 3));
        for ((&place, pixels), &label) in places.iter().zip(few.pixels.chunks(2)).zip(labels) {
            assert_eq!(
                (pixels, label),
                ([place as u8, 255].as_slice(), images.labels.as_ref().unwrap()[place as usize])
            );
        }
        let mut once = places.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), 30);
        assert!(places == images.balanced(30, 4) && places != images.balanced(30, 5));
    }

    #[test]
    fn what_the_classes_do_not_hold_is_missing() {
        let images = images();
        assert_eq!([4, 31, 33, 90].map(|n| images.balanced(n, 0).len()), [4, 31, 32, 70]);
        // The most that even choices reach is what the smallest class has, of each.
        assert_eq!((images.most_balanced(), images.balanced(30, 0).len()), (30, 30));
        assert!(Images { labels: None, ..images }.balanced(3, 0).is_empty());
    }

    /// As `--plan` has them: the places are known, the pixels are not.
    #[test]
    fn images_without_pixels_are_chosen_too() {
        let few = Images { pixels: vec![], ..images() }.at(&[3, 85]);
        assert_eq!((few.count, few.pixels.len(), few.labels.unwrap()), (2, 0, vec![1, 2]));
    }
}
