//! The sampler's wavefront visits every pixel once, after all pixels that it sees; and the wavefront's
//! kernels: looking, placing, products of what is seen, and clusters that look and place.

use crate::harness::{Case, Fill};
use oneiro::{
    graph::{
        Graph,
        shape::{DType, Type},
        var::Init,
    },
    ops::cursor::Wave,
};
use std::ops::Range;

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

/// The taps of wide windows.
fn window(taps: usize) -> Vec<[i32; 2]> {
    (0..taps as i32).map(|t| [-(t / 8), 3 - t % 8]).collect()
}

/// What a product's rows become: nothing more, an epilogue that looks at other images, both placed, and a gated
/// unit over the halves of the columns.
const ENDS: [&str; 5] = ["plain", "epilogue", "placed", "epilogue placed", "gate placed"];

/// A product of what is seen, or of rows as they are without taps: of `n` images that keep so many columns, from
/// `c` channels to `o`.
fn times(
    wave: Wave,
    kept: usize,
    [n, c, o]: [usize; 3],
    taps: usize,
    step: usize,
    end: &'static str,
) -> Case {
    let build = move |g: &Graph| {
        let rows = n * wave.flight();
        let images = |name: &str, c: usize| {
            g.var(name, Type::f32([n, wave.image[0], kept, c]), Init::Normal(0.0, 1.0))
        };
        let step = g.input("step", Type { shape: [1].into(), dtype: DType::U32 });
        let weights = g.input("weights", Type::f32([taps.max(1) * c, o]));
        let seen = if taps == 0 { g.input("rows", Type::f32([rows, c])) } else { images("images", c) };
        let y = seen.look_times(wave, &window(taps), weights, step);
        let bias = g.var("bias", Type::f32([o]), Init::Normal(0.0, 1.0));
        let y = match end {
            "epilogue" | "epilogue placed" => {
                (y + bias + images("others", o).look(wave, &[[0, -1]], step)).relu()
            }
            "gate placed" => {
                let half = |range: Range<usize>| {
                    let bias = bias.slice(0, range.clone());
                    y.slice(1, range) + bias.broadcast_to([rows, o / 2])
                };
                half(0..o / 2).gate(half(o / 2..o))
            }
            _ => y,
        };
        if end.ends_with("placed") {
            let to = images("to", y.extent(1));
            let placed = to.place(wave, y, step);
            // A reader of the new value, in the same step.
            g.output("seen", placed.look(wave, &[[0, 0]], step));
            g.assign(to, placed);
        } else {
            g.output("y", y);
        }
    };
    Case::new("look times", format!("{wave:?} {kept} {n} {c} {o} {taps} {step} {end}"), build)
        .fill("step", Fill::Whole(step as u32, step as u32 + 1))
        .tolerance(2e-6, 1e-5)
        .terms(taps.max(1) * c)
}

/// A cluster that looks at images which it overwrites, at others, and at an image of another wave.
fn cluster(wave: Wave, kept: usize, [n, c]: [usize; 2], step: usize, one_channel: bool) -> Case {
    let build = move |g: &Graph| {
        let images = |name: &str| g.var(name, Type::f32([n, wave.image[0], kept, c]), Init::Normal(0.0, 1.0));
        let step = g.input("step", Type { shape: [1].into(), dtype: DType::U32 });
        let (to, given) = (images("to"), images("given"));
        let late = Wave { shift: wave.shift - 1, ..wave };
        let [old, above] = [[0, 0], [-1, 0]].map(|tap| to.look(wave, &[tap], step));
        let seen = given.look(wave, &[[0, -1]], step) * given.look(late, &[[0, 0]], step);
        let rows = seen.gt(0.0).select(old, above + g.input("rows", Type::f32([n * wave.flight(), c])));
        let placed =
            if one_channel { to.place_channel(wave, rows, step) } else { to.place(wave, rows, step) };
        g.output("y", old * 2.0 + above);
        g.assign(to, placed);
    };
    Case::new("look and place", format!("{wave:?} {kept} {n} {c} {step} {one_channel}"), build)
        .fill("step", Fill::Whole(step as u32, step as u32 + 1))
}

/// Products at the edges of tiles, of waves, rings and taps; and clusters.
fn fused() -> Vec<Case> {
    let mut out = vec![];
    let wave = |image, lag| Wave { image, lag, shift: 0, counts: 1, mirrored: false };
    let shifted = Wave { shift: -1, counts: 2, ..wave([5, 8], 3) };
    let mirrored = Wave { shift: 2, mirrored: true, ..wave([4, 7], 5) };
    for (i, &end) in ENDS.iter().enumerate() {
        for (wave, kept) in [(wave([1, 9], 9), 4), (shifted, 8), (mirrored, 7)] {
            for (n, c, o, taps) in [
                (1, 4, 8, 2),
                (3, 3, 8, 4),
                (2, 8, 36, 5),
                (2, 5, 6, 3),
                (1, 12, 64, 0),
                (2, 7, 2, 0),
                (1, 1, 1, 1),
            ] {
                let odd = end == "gate placed" && (o % 2 > 0 || o == 2);
                let step = (wave.steps() / 2).saturating_sub(i);
                if !odd {
                    out.push(times(wave, kept, [n, c, o], taps, step, end));
                }
            }
        }
    }
    // Tiles of each height, and more than one of them.
    for n in [1, 3, 5, 7, 9, 13, 16, 17, 22] {
        out.push(times(wave([6, 9], 3), 9, [n, 8, 68], 2, 14, "epilogue placed"));
    }
    // Sums of as many terms as lanes share, of one more, and of more than all their loads in flight.
    for terms in [8, 16, 32, 64, 256] {
        for more in [0, 1] {
            let k = terms + more;
            out.push(times(wave([6, 9], 3), 9, [1, 4 * k, 20], 1, 14, "epilogue placed"));
            out.push(times(wave([6, 9], 3), 9, [3, k, 22], 1, 14, "placed"));
            out.push(times(wave([1, 9], 9), 4, [1, 4 * k, 40], 0, 5, "gate placed"));
        }
    }
    // With so many rows, fewer lanes share a sum.
    for n in [40, 80, 141] {
        out.push(times(wave([6, 9], 3), 9, [n, 24, 68], 3, 14, "epilogue placed"));
        out.push(times(wave([6, 9], 3), 9, [n, 7, 132], 3, 14, "gate placed"));
    }
    for taps in [1, 63, 64] {
        out.push(times(wave([9, 12], 4), 12, [2, 4, 12], taps, 30, "epilogue"));
    }
    out.push(times(wave([1, 5], 5), 5, [3, 8192, 4], 1, 2, "plain"));
    out.push(times(wave([1, 5], 5), 5, [1, 1000, 36], 0, 2, "epilogue placed"));
    for wave in [wave([1, 9], 9), shifted, mirrored, wave([4, 6], 1)] {
        for (n, c) in [(1, 1), (2, 4), (3, 3)] {
            let step = wave.steps() / 2;
            out.push(cluster(wave, wave.image[1], [n, c], step, false));
            out.push(cluster(Wave { counts: c, ..wave }, wave.image[1], [n, c], step, true));
        }
    }
    out
}

pub(crate) fn cases() -> Vec<Case> {
    let mut out = fused();
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
