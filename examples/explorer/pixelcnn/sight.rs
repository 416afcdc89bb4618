//! What a pixel's prediction sees: the pixels before it that the network's windows reach.

use oneiro::{
    graph::window::{Kernel, Taps},
    models::pixelcnn::Config,
};

/// Which pixels `[H·W]` the prediction of the pixel at `[row, column]` depends on. Windows see nothing beyond the
/// picture's edges, so that no path leads around them.
pub(super) fn context(config: &Config, [row, column]: [usize; 2]) -> Vec<bool> {
    let [rows, columns, _] = config.image;
    let mut seen = vec![false; rows * columns];
    seen[row * columns + column] = true;
    let dilation = |i: usize| config.dilations.iter().cycle().nth(i).copied().unwrap_or(1);
    let block = |d: usize| Kernel::square(3).dilation(d).padding(d).taps(Taps::MaskB);
    let blocks = (0..config.blocks).rev().map(|i| block(dilation(i)));
    blocks
        .chain([Kernel::same(7).taps(Taps::MaskA)])
        .fold(seen, |seen, kernel| through(&seen, &kernel, [rows, columns]))
}

/// The pixels that a window over any of these pixels sees.
fn through(of: &[bool], kernel: &Kernel, image: [usize; 2]) -> Vec<bool> {
    let taps = kernel.window(image).map_or(vec![], |window| window.taps);
    let mut seen = vec![false; of.len()];
    for at in (0..of.len()).filter(|&at| of[at]) {
        let [row, column] = [at / image[1], at % image[1]];
        for tap in &taps {
            let moved = [row.checked_add_signed(tap[0] as isize), column.checked_add_signed(tap[1] as isize)];
            if let [Some(row), Some(column)] = moved
                && row < image[0]
                && column < image[1]
            {
                seen[row * image[1] + column] = true;
            }
        }
    }
    seen
}
