//! The colours of classes, the same wherever a class is shown.

use eframe::egui::{Color32, ecolor::Hsva};

/// Ten colours that are told apart on a dark ground.
const TEN: [[u8; 3]; 10] = [
    [86, 156, 255],
    [255, 150, 50],
    [90, 205, 90],
    [255, 85, 85],
    [180, 130, 255],
    [200, 140, 110],
    [255, 130, 205],
    [175, 180, 185],
    [225, 215, 70],
    [60, 215, 225],
];

/// The colour of a class.
pub(crate) fn class(label: usize) -> Color32 {
    match TEN.get(label) {
        Some(&[r, g, b]) => Color32::from_rgb(r, g, b),
        // Hues a golden section apart never come close to each other soon.
        None => Hsva::new((0.618_034 * label as f32).fract(), 0.6, 0.95, 1.0).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::class;

    #[test]
    fn classes_have_colours_of_their_own() {
        let colours: Vec<_> = (0..40).map(class).collect();
        assert!((0..40).all(|i| (0..i).all(|j| colours[i] != colours[j])));
    }
}
