//! The bytes of "tones" are the recorded ones, and its classes sound as they are called.

use super::*;

const SOUND: Sound = Sound { rate: 16_000, length: 4096 };

/// The amplitudes of each signal.
fn amplitudes(images: &Images) -> Vec<Vec<f64>> {
    let signal = |levels: &[u8]| levels.iter().map(|&level| mulaw::amplitude(level).into()).collect();
    images.pixels.chunks(images.width).map(signal).collect()
}

/// The share of sign changes, a measure of brightness.
fn crossings(signal: &[f64]) -> f64 {
    let changes = signal.windows(2).filter(|pair| (pair[0] < 0.0) != (pair[1] < 0.0)).count();
    changes as f64 / signal.len() as f64
}

#[test]
fn a_prefix_changes_neither_with_the_count_nor_with_the_length() {
    let (short, long) = (tones(13, 7, SOUND), tones(40, 7, SOUND));
    assert_eq!(short.pixels[..], long.pixels[..short.pixels.len()]);
    assert_eq!(short.labels.as_deref(), long.labels.as_deref().map(|labels| &labels[..13]));
    let half = tones(13, 7, Sound { length: 2048, ..SOUND });
    for (half, whole) in half.pixels.chunks(2048).zip(short.pixels.chunks(4096)) {
        assert_eq!(half, &whole[..2048]);
    }
}

#[test]
fn seeds_rates_and_parts_differ() {
    assert_eq!(tones(8, 1, SOUND).pixels, tones(8, 1, SOUND).pixels);
    assert_ne!(tones(8, 1, SOUND).pixels, tones(8, 1, Sound { rate: 8000, ..SOUND }).pixels);
    let all = [tones(400, 1, SOUND), tones(400, 2, SOUND), held_out(400, 1, SOUND), held_out(400, 2, SOUND)];
    let mut signals: Vec<&[u8]> = all.iter().flat_map(|images| images.pixels.chunks(4096)).collect();
    signals.sort_unstable();
    signals.dedup();
    assert_eq!(signals.len(), 1600, "a signal occurs twice");
}

#[test]
fn every_eight_hold_each_class_once() {
    let labels = tones(80, 3, Sound { length: 1, ..SOUND }).labels.unwrap();
    for eight in labels.chunks(8) {
        let mut eight = eight.to_vec();
        eight.sort_unstable();
        assert_eq!(eight, [0, 1, 2, 3, 4, 5, 6, 7]);
    }
    assert_ne!(labels[..8], labels[8..16]);
}

#[test]
fn the_first_tones_are_the_recorded_ones() {
    // FNV-1a over the bytes: any change of any level must raise TONES_VERSION.
    let hash = tones(64, 0, SOUND).pixels.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    assert_eq!((TONES_VERSION, hash), (1, 8_902_440_976_909_334_565));
}

#[test]
fn no_signal_is_silent_or_clipped() {
    for sound in [SOUND, Sound { rate: 8000, ..SOUND }, Sound { rate: 44_100, length: 11_025 }] {
        for signal in amplitudes(&tones(800, 5, sound)) {
            let peak = signal.iter().fold(0.0_f64, |peak, x| peak.max(x.abs()));
            assert!((0.1..1.0).contains(&peak), "a peak of {peak} at {} Hz", sound.rate);
        }
    }
}

#[test]
fn classes_sound_as_they_are_called() {
    let images = tones(800, 9, SOUND);
    let mut of_class = vec![vec![]; CLASSES.len()];
    for (signal, &label) in amplitudes(&images).into_iter().zip(images.labels.iter().flatten()) {
        of_class[usize::from(label)].push(signal);
    }
    let mean = |class: usize, f: &dyn Fn(&[f64]) -> f64| {
        of_class[class].iter().map(|signal| f(signal)).sum::<f64>() / of_class[class].len() as f64
    };
    let bright: Vec<f64> = (0..CLASSES.len()).map(|class| mean(class, &|s| crossings(s))).collect();
    let [low, high, _, _, _, kick, snare, hat] = bright[..] else { panic!("eight classes") };
    assert!(kick < 0.02 && low.max(high) < snare && snare < hat, "{bright:?}");
    // The octave of a string is that of its note: how a signal resembles itself one period later.
    let again = |signal: &[f64], lag: usize| {
        let product = |lag: usize| signal.iter().zip(&signal[lag..]).map(|(a, b)| a * b).sum::<f64>();
        product(lag) / product(0)
    };
    let periods = |lowest: f64| (16_000.0 / lowest / 2.0) as usize..(16_000.0 / lowest) as usize + 2;
    for (class, lowest) in [(0, 82.4), (1, 329.6)] {
        let own = mean(class, &|s| periods(lowest).map(|lag| again(s, lag)).fold(0.0, f64::max));
        let noise = mean(6, &|s| periods(lowest).map(|lag| again(s, lag)).fold(0.0, f64::max));
        assert!(own > 0.45 && noise < 0.3, "{}: {own}, noise: {noise}", CLASSES[class]);
    }
    // Where it does not jump to the next note, a rising chirp rises.
    let rises = |signal: &[f64]| {
        let parts: Vec<f64> = signal.chunks(512).map(crossings).collect();
        parts.windows(2).filter(|pair| pair[0] < pair[1]).count() as f64 / 7.0
    };
    assert!(mean(2, &rises) > 0.6 && mean(3, &rises) < 0.4, "{}, {}", mean(2, &rises), mean(3, &rises));
}

#[test]
fn strings_keep_no_mean() {
    let mut chance = Chance(stream(b"toneplay", 1, 0, 0));
    for lowest in [82.4, 329.6] {
        let mut note = Note::pluck(0.9, lowest, &mut chance, 16_000.0);
        let Note::String { period, .. } = &note else { panic!("a string") };
        let length = period.len();
        for _ in 0..400 * length {
            note.next(&mut chance);
        }
        let mean = (0..length).map(|_| note.next(&mut chance)).sum::<f64>() / length as f64;
        assert!(mean.abs() < 1e-3, "a ring of {length} samples keeps {mean}");
    }
}

#[test]
fn signals_that_are_too_long_are_refused_before_they_are_played() {
    let open = |length| {
        let asked = crate::data::Asked { sound: Some(Sound { length, ..SOUND }), ..Default::default() };
        crate::data::open("tones", &asked, &mut |_| ())
    };
    let text = open(1 << 20).unwrap_err().to_string();
    assert!(
        text.starts_with("tones: 4608 signals of 1048576 samples") && text.contains("at most 233016"),
        "{text}"
    );
    assert_eq!(open(2).unwrap().train.about().width, 2);
    let asked = crate::data::Asked { pictures: true, ..Default::default() };
    let text = crate::data::open("tones", &asked, &mut |_| ()).unwrap_err().to_string();
    assert!(text.contains("these are sounds"), "{text}");
}

#[test]
fn the_series_is_a_sine() {
    for i in 0..1000 {
        let phase = f64::from(i) / 1000.0;
        let exact = (std::f64::consts::TAU * phase).sin();
        assert!((sine(phase) - exact).abs() < 1e-9, "{phase}: {}, {exact}", sine(phase));
    }
}
