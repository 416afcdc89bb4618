//! The sampler's wavefront visits every pixel once, after all pixels that it sees; and the wavefront's two
//! kernels.

use crate::harness::{Case, Fill};
use oneiro::{
    graph::{
        Graph,
        shape::{DType, Type},
        var::Init,
    },
    ops::cursor::Wave,
};

const TAPS: [[i32; 2]; 5] = [[-1, -2], [-1, 1], [0, -1], [0, 0], [-3, 3]];

fn waves() -> Vec<Wave> {
    [([1, 1], 1), ([1, 7], 3), ([7, 1], 1), ([5, 8], 4), ([6, 5], 2), ([3, 9], 9), ([4, 7], 5), ([3, 4], 6)]
        .map(|(image, lag)| Wave { image, lag, shift: 0, counts: 1, mirrored: false })
        .into_iter()
        .flat_map(|wave| {
            [wave, Wave { shift: -3, counts: 3, ..wave }, Wave { shift: 2, mirrored: true, ..wave }]
        })
        .collect()
}

fn look(wave: Wave, n: usize, c: usize, taps: usize, step: usize) -> Case {
    looking(wave, wave.image[1], [n, c, taps, step])
}

/// What is seen of images that keep fewer columns than they have.
fn looking(wave: Wave, kept: usize, [n, c, taps, step]: [usize; 4]) -> Case {
    let build = move |g: &Graph| {
        let images = g.input("images", Type::f32([n, wave.image[0], kept, c]));
        let step = g.input("step", Type { shape: [1].into(), dtype: DType::U32 });
        g.output("y", images.look(wave, &TAPS[..taps], step));
    };
    Case::new("look", format!("{wave:?} {kept} {n} {c} {taps} {step}"), build)
        .fill("step", Fill::Whole(step as u32, step as u32 + 1))
}

fn place(wave: Wave, n: usize, c: usize, step: u32, one_channel: bool) -> Case {
    placing(wave, wave.image[1], [n, c], step, one_channel)
}

/// What is placed into images that keep fewer columns than they have.
fn placing(wave: Wave, kept: usize, [n, c]: [usize; 2], step: u32, one_channel: bool) -> Case {
    let build = move |g: &Graph| {
        let images = g.var("images", Type::f32([n, wave.image[0], kept, c]), Init::Normal(0.0, 1.0));
        let step = g.input("step", Type { shape: [1].into(), dtype: DType::U32 });
        let rows = g.input("rows", Type::f32([n * wave.flight(), c]));
        let after =
            if one_channel { images.place_channel(wave, rows, step) } else { images.place(wave, rows, step) };
        // A reader of the new value, in the same step.
        g.output("seen", after.look(wave, &TAPS, step));
        g.assign(images, after);
    };
    Case::new("place", format!("{wave:?} {kept} {n} {c} {step} {one_channel}"), build)
        .fill("step", Fill::Whole(step, step + 1))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut out = vec![];
    for wave in waves() {
        for step in [0, 1, wave.steps() / 2, wave.steps().saturating_sub(1), wave.steps() + 3] {
            out.extend(
                [(1, 1, 5), (3, 3, 2), (2, 4, 5), (1, 12, 1)]
                    .map(|(n, c, taps)| look(wave, n, c, taps, step)),
            );
            out.extend([(1, 1), (2, 4), (3, 5)].map(|(n, c)| place(wave, n, c, step as u32, false)));
            out.push(place(wave, 2, wave.counts.max(2), step as u32, true));
        }
    }
    for (image, kept, c) in [([1, 9], 4, 3), ([1, 9], 1, 4), ([1, 40], 7, 8), ([3, 9], 5, 2), ([3, 9], 8, 4)]
    {
        for (shift, counts) in [(0, 1), (-2, 2)] {
            let wave = Wave { image, lag: image[1], shift, counts, mirrored: counts > 1 };
            for step in [0, 3, wave.steps() / 2, wave.steps() - 1] {
                out.push(looking(wave, kept, [2, c, 5, step]));
                out.push(placing(wave, kept, [2, c], step as u32, false));
                out.push(placing(wave, kept, [2, c], step as u32, true));
            }
        }
    }
    let wide = Wave { image: [2, 3], lag: 3, shift: 0, counts: 1, mirrored: false };
    out.push(look(wide, 70_000, 1, 1, 1).many_workgroups(1));
    out.push(place(wide, 70_000, 1, 1, false).many_workgroups(1));
    out
}

#[test]
fn a_wavefront_visits_every_pixel_once_and_after_what_it_sees() {
    for wave in waves().into_iter().filter(|w| w.shift <= 0) {
        let mut when = vec![None; wave.image[0] * wave.image[1]];
        for step in (0..wave.steps()).step_by(wave.counts) {
            let at = |count| (0..wave.flight()).map(|f| wave.pixel(count, f)).collect::<Vec<_>>();
            assert!(
                (step..step + wave.counts).all(|count| at(count) == at(step)),
                "{wave:?} leaves its pixels before the last channel"
            );
            for [y, x] in (0..wave.flight()).filter_map(|f| wave.pixel(step, f)) {
                let before = when[y * wave.image[1] + x].replace(step);
                assert_eq!(before, None, "{wave:?}: pixel {y}, {x} at steps {before:?} and {step}");
            }
        }
        for (i, at) in when.iter().enumerate() {
            let (y, x) = (i / wave.image[1], i % wave.image[1]);
            let step = at.unwrap_or_else(|| panic!("{wave:?}: pixel {y}, {x} is never visited"));
            let right = (x + wave.lag - 1).min(wave.image[1] - 1);
            assert!(
                y == 0 || when[(y - 1) * wave.image[1] + right] < Some(step),
                "{wave:?}: {y}, {x} comes before what it sees"
            );
        }
        assert!(
            (0..wave.flight()).all(|f| wave.pixel(wave.steps(), f).is_none()),
            "{wave:?} is not done after {} steps",
            wave.steps()
        );
    }
}
