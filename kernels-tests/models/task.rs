//! Tasks: the graph makes of a minibatch what the host makes of a picture's bytes, and pictures are as near to the
//! true ones as scikit-image says (`golden/fidelity.py`).

use crate::{
    golden::{bits, path, unit},
    subjects::{Ready, adapter},
};
use oneiro::{
    data::{Hole, Task},
    graph::{Graph, shape::Type},
    measure::fidelity::{psnr, ssim},
    train::asked,
};

/// Every fifth level of red, green and blue, and colours by chance, as pictures.
fn colours() -> (Vec<u8>, [usize; 4]) {
    let shape = [40, 52, 84, 3];
    let grid = (0..52 * 52 * 52).flat_map(|i| [i, i / 52, i / 2704].map(|v| (v % 52 * 5) as u8));
    let n = shape.iter().product::<usize>();
    (grid.chain((0..n as u32).map(|i| (bits(5, i) >> 16) as u8)).take(n).collect(), shape)
}

#[test]
fn tasks_are_the_same_on_the_adapter_and_on_the_host() {
    let Some(gpu) = adapter("tasks_are_the_same_on_the_adapter_and_on_the_host") else { return };
    let (bytes, shape @ [n, h, w, c]) = colours();
    for task in [Task::Colourise, Task::Upscale(2), Task::Upscale(4), Task::Inpaint] {
        let g = Graph::new();
        let x = g.input("x", Type::f32(shape));
        g.bind_stream("holes");
        let asked = asked(task, x, Some("holes"));
        g.output("drawn", asked.drawn);
        g.output("hint", asked.hint);
        assert_eq!(asked.scored.is_some(), task == Task::Inpaint);
        let ready = Ready::new(gpu, &g, 0);
        ready.write("x", &bytes.iter().map(|&b| f32::from(b) / 255.0).collect::<Vec<_>>());
        let u = unit(9, 4 * n);
        if task == Task::Inpaint {
            ready.write("holes", &u);
        }
        ready.step();
        let levels = |name: &str| -> Vec<u8> {
            let whole = |v: f32| {
                assert!((v * 255.0 - (v * 255.0).round()).abs() < 1e-4, "{task}: {v} is no level");
                (v * 255.0).round() as u8
            };
            ready.read(name).into_iter().map(whole).collect()
        };
        let (drawn, hint) = (levels("drawn"), levels("hint"));
        let [of_drawn, of_hint] = task.channels(c).map(|c| h * w * c);
        for (i, picture) in bytes.chunks(h * w * c).enumerate() {
            let hole = Hole::drawn(std::array::from_fn(|j| u[4 * i + j]), [h, w]);
            let expected = task.of(picture, [h, w, c], |p| hole.holds([p / w, p % w]));
            assert!(drawn[i * of_drawn..][..of_drawn] == expected[0], "{task}: what is drawn of picture {i}");
            assert!(hint[i * of_hint..][..of_hint] == expected[1], "{task}: the hint of picture {i}");
        }
    }
}

#[test]
fn fidelities_are_those_of_scikit_image() {
    let text = std::fs::read_to_string(path("fidelity.txt")).unwrap();
    assert_eq!(text.lines().count(), 3);
    for line in text.lines() {
        let numbers: Vec<f64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        let image @ [h, w, c] = [0, 1, 2].map(|i| numbers[i] as usize);
        let (ramp, noise) = (|i: usize| (i % 97) as f64 / 96.0, unit(h as u32, h * w * c));
        let a: Vec<f32> = (0..h * w * c).map(|i| ramp(i) as f32).collect();
        let b: Vec<f32> =
            noise.iter().enumerate().map(|(i, &v)| (0.8 * ramp(i) + 0.2 * f64::from(v)) as f32).collect();
        assert!((psnr(&a, &b) - numbers[3]).abs() < 1e-9, "{line}: PSNR {}", psnr(&a, &b));
        let found = ssim(&a, &b, image).unwrap();
        assert!((found - numbers[4]).abs() < 1e-9, "{line}: SSIM {found}");
    }
}
