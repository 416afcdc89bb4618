//! Runs that ranks share: as threads of one process, and as processes by MPI where it was built and is there.

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
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let text = child.ends_as(Some(130));
    let step = newest(&dir, "run").unwrap().position.step;
    assert!(text.contains(&format!("stopped at step {step} ")) && text.contains("--resume run"), "{text}");
    run(&dir, &format!("vae train --resume run --devices 2 --steps {}", step + 2));
}

/// Processes end at the bits of threads. One that is killed ends all, and the run goes on bit for bit.
#[cfg(all(unix, feature = "mpi"))]
#[test]
fn processes_train_as_threads_do_and_go_on_after_a_kill() {
    use crate::{commands::start_by, harness::say};
    use std::process::Command;

    const MPIRUN: [&str; 5] = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2"];
    if adapter("MPI").is_none() {
        return;
    }
    if Command::new(MPIRUN[0]).arg("--version").output().is_err() {
        say("SKIPPED: there is no mpirun (Debian: openmpi-bin), so no ranks were processes");
        return;
    }
    let dir = folder("mpi");
    let mut child =
        start_by(&dir, &MPIRUN, &format!("{TRAIN} --mpi --out run --checkpoint-every 10 --steps 1000000"));
    child.reaches(&dir, "run", 20);
    let children = Command::new("pgrep").args(["-P", &child.id().to_string()]).output().unwrap().stdout;
    let children = String::from_utf8(children).unwrap();
    let pids: Vec<&str> = children.split_whitespace().collect();
    assert_eq!(pids.len(), 2, "{children}");
    let alive = |pid: &str| Command::new("kill").args(["-0", pid]).output().unwrap().status.success();
    assert!(Command::new("kill").args(["-9", pids[1]]).status().unwrap().success());
    let text = child.ends(false);
    let told = text.contains("rank 1") && text.contains("train --resume run");
    assert!(told, "{text}");
    while alive(pids[0]) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let steps = newest(&dir, "run").unwrap().position.step + 10;
    start_by(&dir, &MPIRUN, &format!("vae train --mpi --resume run --steps {steps}")).ends(true);
    run(&dir, &format!("{TRAIN} --devices 2 --out threads --steps {steps}"));
    let [processes, threads] = ["run", "threads"].map(|run| newest(&dir, run).unwrap());
    assert!(processes.values == threads.values, "{steps} steps by processes differ from those by threads");
}
