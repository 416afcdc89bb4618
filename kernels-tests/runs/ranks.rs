//! Runs that ranks share: as threads of one process, and as processes by MPI where it was built and is there.

#[cfg(all(unix, feature = "mpi"))]
mod processes;

#[cfg(unix)]
use crate::commands::{logged, start};
use crate::{
    commands::{Folder, empty, fails, images, labelled, newest, run, weights},
    subjects::adapter,
};

/// A small VAE on 64 images, four steps an epoch.
const TRAIN: &str = "vae train --data . --batch 16 --hidden 16 --latent 2 --seed 5 --binarise";

fn folder(name: &str) -> Folder {
    let dir = empty(name);
    images(&dir, 6, |i| (i * 7) as u8);
    dir
}

/// The largest difference of the values in the newest checkpoints of two runs.
fn difference(dir: &Folder, one: &str, other: &str) -> f32 {
    let [one, other] = [one, other].map(|run| newest(dir, run).unwrap());
    assert_eq!((one.position.step, one.values.len()), (other.position.step, other.values.len()));
    let floats = |words: &[u32]| words.iter().map(|&word| f32::from_bits(word)).collect::<Vec<_>>();
    let pairs = one.values.iter().zip(&other.values).filter(|(a, _)| a.0 != "history" && a.0 != "seed");
    let far = |(a, b): (&f32, &f32)| (a - b).abs();
    let worst = |a: &[u32], b: &[u32]| floats(a).iter().zip(&floats(b)).map(far).fold(0.0, f32::max);
    pairs.map(|(a, b)| worst(&a.2, &b.2)).fold(0.0, f32::max)
}

/// Two ranks end at one rank's weights within rounding. They go on bit for bit, and with images that each of them
/// streams; a run goes on with another number of ranks, and says so.
#[test]
fn ranks_of_one_process_train_and_go_on() {
    if adapter("--devices").is_none() {
        return;
    }
    let dir = folder("devices");
    let text = run(&dir, &format!("{TRAIN} --devices 2 --out whole --steps 10"));
    assert!(text.contains("2 ranks: ") && text.matches("adapter: ").count() == 1, "{text}");
    assert_eq!(text.matches("epoch   1: ").count(), 1, "{text}");
    run(&dir, &format!("{TRAIN} --devices 2 --out parts --steps 6"));
    run(&dir, "vae train --resume parts --devices 2 --steps 10");
    assert!(newest(&dir, "whole") == newest(&dir, "parts"), "10 steps differ from 6 + 4");
    run(&dir, &format!("{TRAIN} --devices 2 --stream 0.001 --out streamed --steps 10"));
    assert_eq!(weights(&dir, "whole"), weights(&dir, "streamed"));
    run(&dir, &format!("{TRAIN} --out one --steps 10"));
    let worst = difference(&dir, "one", "whole");
    assert!(worst > 0.0 && worst < 1e-4, "{worst:e} from one rank's");
    let text = run(&dir, "vae train --resume parts --steps 12");
    assert!(text.contains("trained by 2 ranks before, now by 1 rank"), "{text}");
    let text = fails(&dir, &format!("{TRAIN} --devices 3 --out none"));
    assert!(text.contains("--batch 16 cannot be shared evenly by 3 ranks; take a multiple of 3"), "{text}");
    if cfg!(not(feature = "mpi")) {
        let text = fails(&dir, &format!("{TRAIN} --mpi --out none"));
        assert!(text.contains("built without MPI") && text.contains("--features mpi"), "{text}");
    }
}

/// What the discriminator's step hands on to the generator's is as large as a rank's batch, and is not kept.
#[test]
fn players_go_on_with_another_number_of_ranks() {
    if adapter("players by ranks").is_none() {
        return;
    }
    let dir = empty("players-by-ranks");
    labelled(&dir);
    let train = "gan train --data . --batch 8 --hidden 16 --latent 4 --conditional --ema 0.9";
    run(&dir, &format!("{train} --devices 2 --out game --steps 3"));
    run(&dir, "gan train --resume game --devices 4 --steps 5");
    run(&dir, &format!("{train} --out alone --steps 5"));
    let worst = difference(&dir, "alone", "game");
    assert!(worst < 1e-4, "{worst:e} from one rank's");
}

/// What a model of each other family measures by two ranks is what it measures by one.
#[test]
fn every_family_trains_by_ranks() {
    if adapter("families by ranks").is_none() {
        return;
    }
    let dir = empty("families-by-ranks");
    labelled(&dir);
    for train in [
        "autoencoder train --data . --hidden 16 --code 4",
        "pixelcnn train --data . --features 4 --blocks 1 --head 4 --dropout 0.2",
        "pixelrnn train --data . --cell row --features 4 --layers 1 --head 4",
        "dcgan train --data . --features 2 --latent 4 --instance-noise 0.1 --discriminator-steps 2",
        "wavenet train --length 64 --features 4 --skip 4 --head 4 --layers 2 --blocks 1",
    ] {
        let train = format!("{train} --batch 16 --steps 4");
        run(&dir, &format!("{train} --out one --overwrite"));
        run(&dir, &format!("{train} --devices 2 --out two --overwrite"));
        let worst = difference(&dir, "one", "two");
        assert!(worst < 1e-4, "{train}: {worst:e} from one rank's");
        let told = |run| last_line(&dir, run);
        let test = |told: &serde_json::Value| {
            told.get("test_loss").or(told.get("test_nll")).and_then(|v| v.as_f64())
        };
        if let (Some(one), Some(two)) = (test(&told("one")), test(&told("two"))) {
            assert!((one - two).abs() < 1e-4 * one.abs(), "{train}: {one} by one rank, {two} by two");
        } else {
            assert!(train.starts_with("dcgan"), "{train}: {:?}", told("two"));
        }
    }
}

/// The last line of a run's metrics.
fn last_line(dir: &Folder, run: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(dir.join(run).join("metrics.jsonl")).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// Batch norm by each rank's own images is another training, which the run remembers. It goes on bit for bit, and
/// its score, which the second rank takes, is that of the model that is saved.
#[test]
fn ranks_may_normalise_by_their_own_images() {
    if adapter("--local-batch-norm").is_none() {
        return;
    }
    let dir = empty("local-batch-norm");
    images(&dir, 8, |i| (i * 7) as u8);
    let train = "vae train --model conv --widths 4 --data . --batch 16 --latent 2 --seed 5";
    let local = format!("{train} --devices 2 --local-batch-norm");
    run(&dir, &format!("{local} --out whole --steps 10"));
    run(&dir, &format!("{local} --out parts --steps 6"));
    run(&dir, "vae train --resume parts --devices 2 --steps 10");
    assert!(newest(&dir, "whole") == newest(&dir, "parts"), "10 steps differ from 6 + 4");
    assert_eq!(last_line(&dir, "whole"), last_line(&dir, "parts"));
    let config = std::fs::read_to_string(dir.join("parts/config.toml")).unwrap();
    assert!(config.contains("local_batch_norm = true"), "{config}");
    run(&dir, &format!("{train} --devices 2 --out shared --steps 10"));
    let worst = difference(&dir, "shared", "whole");
    assert!(worst > 1e-3, "{worst:e} from statistics of the whole batch");
    let text = run(&dir, "vae train --resume parts --steps 11");
    assert!(text.contains("batch norm takes the statistics of another number of images"), "{text}");
    let game = "dcgan train --data . --batch 8 --features 2 --latent 4 --devices 2 --steps 3";
    run(&dir, &format!("{game} --out game"));
    run(&dir, &format!("{game} --out local-game --local-batch-norm"));
    assert!(difference(&dir, "game", "local-game") > 1e-3, "players take the statistics of the whole batch");
    let text = fails(&dir, &format!("{TRAIN} --local-batch-norm --out none"));
    assert!(text.contains("this model has no batch norm; leave the option out"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_signal_stops_all_ranks_at_one_step() {
    if adapter("a signal for ranks").is_none() {
        return;
    }
    let dir = folder("devices-interrupted");
    let endless = "--steps 1000000 --checkpoint-every 1000000";
    let mut child = start(&dir, &format!("{TRAIN} --devices 2 --out run {endless}"));
    child.until("a step was logged", || logged(&dir, "run") > 0);
    assert!(crate::commands::send("-INT", &child.id().to_string()));
    let text = child.ends_as(Some(130));
    let step = newest(&dir, "run").unwrap().position.step;
    assert!(text.contains(&format!("stopped at step {step} ")) && text.contains("--resume run"), "{text}");
    run(&dir, &format!("vae train --resume run --devices 2 --steps {}", step + 2));
}
