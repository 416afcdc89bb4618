//! Runs whose ranks are processes, by MPI: they end at the bits of threads, and end together.

use super::{TRAIN, folder};
use crate::{
    commands::{Process, built, images, logged, newest, run, send, start_by},
    harness::say,
    subjects::adapter,
};
use std::{fs, process::Command, time::Duration};

/// How processes are started, as many on two cores as a test wants.
const MPIRUN: [&str; 3] = ["mpirun", "--allow-run-as-root", "--oversubscribe"];
const TWO: [&str; 5] = [MPIRUN[0], MPIRUN[1], MPIRUN[2], "-n", "2"];

/// Whether there are an adapter and what starts processes.
fn ready(what: &str) -> bool {
    let started = Command::new(MPIRUN[0]).arg("--version").output().is_ok();
    if !started {
        say("SKIPPED: there is no mpirun (Debian: openmpi-bin), so no ranks were processes");
    }
    started && adapter(what).is_some()
}

/// The numbers of the ranks' processes, in the order of the ranks.
fn ranks(mpirun: &Process) -> Vec<String> {
    let children = Command::new("pgrep").args(["-P", &mpirun.id().to_string()]).output().unwrap().stdout;
    let pids: Vec<String> =
        String::from_utf8(children).unwrap().split_whitespace().map(String::from).collect();
    assert_eq!(pids.len(), 2, "{pids:?}");
    pids
}

/// Processes end at the bits of threads. Whichever is killed, all end, the other one says how to go on, and the run
/// goes on bit for bit.
#[test]
fn processes_train_as_threads_do_and_go_on_after_a_kill() {
    if !ready("MPI") {
        return;
    }
    let dir = folder("mpi");
    for killed in [1, 0] {
        let out = format!("run-{killed}");
        let endless = "--checkpoint-every 10 --steps 1000000";
        let mut child = start_by(&dir, &TWO, &format!("{TRAIN} --mpi --out {out} {endless}"));
        child.reaches(&dir, &out, 20);
        let pids = ranks(&child);
        assert!(send("-9", &pids[killed]));
        let text = child.ends(false);
        let told = format!("rank {killed} does not answer");
        assert!(text.contains(&told) && text.contains(&format!("train --resume {out}")), "{text}");
        while send("-0", &pids[1 - killed]) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let steps = newest(&dir, "run-1").unwrap().position.step + 10;
    start_by(&dir, &TWO, &format!("vae train --mpi --resume run-1 --steps {steps}")).ends(true);
    run(&dir, &format!("{TRAIN} --devices 2 --out threads --steps {steps}"));
    let [processes, threads] = ["run-1", "threads"].map(|run| newest(&dir, run).unwrap());
    assert!(processes.values == threads.values, "{steps} steps by processes differ from those by threads");
}

/// A signal to either process, or one that `mpirun` passes on, stops both at one step, which is saved; the code is the
/// signal's.
#[test]
fn a_signal_to_any_process_stops_all_at_one_step() {
    if !ready("signals by MPI") {
        return;
    }
    let dir = folder("mpi-signals");
    for (rank, signal, code) in [(Some(0), "-TERM", 143), (Some(1), "-INT", 130), (None, "-USR1", 138)] {
        let out = format!("run{signal}");
        let endless = "--steps 1000000 --checkpoint-every 1000000";
        let mut child = start_by(&dir, &TWO, &format!("{TRAIN} --mpi --out {out} {endless}"));
        child.until("a step was logged", || logged(&dir, &out) > 0);
        let pid = rank.map_or_else(|| child.id().to_string(), |rank: usize| ranks(&child)[rank].clone());
        assert!(send(signal, &pid));
        let text = child.ends_as(Some(code));
        let step = newest(&dir, &out).unwrap().position.step;
        let told =
            text.contains(&format!("stopped at step {step} ")) && text.contains(&format!("--resume {out}"));
        assert!(step > 0 && told, "{signal}: {text}");
        let steps = step + 2;
        start_by(&dir, &TWO, &format!("vae train --mpi --resume {out} --steps {steps}")).ends(true);
        assert_eq!(newest(&dir, &out).unwrap().position.step, steps);
    }
}

/// Programs that do not know of each other are no ranks: each would train alone.
#[test]
fn processes_without_the_option_are_refused() {
    if ready("processes without --mpi") {
        let dir = folder("mpi-strangers");
        let text = start_by(&dir, &TWO, &format!("{TRAIN} --out none")).ends(false);
        assert!(text.matches("add --mpi").count() == 1 && !dir.join("none").exists(), "{text}");
    }
}

/// Ranks begin with the same weights: the name of their file says nothing about what is in it.
#[test]
fn other_weights_are_refused() {
    if !ready("weights of ranks") {
        return;
    }
    let dir = folder("mpi-weights");
    ["one --steps 1", "two --steps 2"]
        .iter()
        .for_each(|out| drop(run(&dir, &format!("{TRAIN} --out {out}"))));
    let vae = built("vae").display().to_string();
    let rest = TRAIN.replace("--data .", "--data .. --mpi --weights weights.safetensors --out ../none");
    let [one, two] = ["one", "two"].map(|out| format!("-n 1 -wdir {}", dir.join(out).display()));
    let all = format!("{one} {} : {two}", rest.replacen("vae", &vae, 1));
    let first: Vec<&str> = MPIRUN.into_iter().chain(all.split(' ')).collect();
    let text = start_by(&dir, &first, &rest).ends(false);
    assert!(text.contains("rank 1 has other --weights than rank 0") && !dir.join("none").exists(), "{text}");
}

/// A rank that is not as the first one is refused at the start, by what is other, and nothing is written.
#[test]
fn other_builds_images_and_options_are_refused() {
    if !ready("ranks that are refused") {
        return;
    }
    let dir = folder("mpi-refused");
    let (vae, other) = (built("vae"), dir.join("another-build"));
    fs::copy(&vae, &other).unwrap();
    fs::write(&other, [fs::read(&vae).unwrap(), vec![0]].concat()).unwrap();
    fs::create_dir(dir.join("images")).unwrap();
    images(&dir.join("images"), 6, |i| (i * 11) as u8);
    for (program, options, what) in [
        (&other, "--data .", "another build of the program"),
        (&vae, "--data images", "other training images"),
        (&vae, "--data . --lr 0.5", "other options"),
        (&vae, "--data . --steps 7", "other options"),
    ] {
        let program = program.to_str().unwrap();
        let all = format!("train --mpi --batch 16 --hidden 16 --latent 2 --out none {options} : -n 1");
        let first: Vec<&str> = MPIRUN.into_iter().chain(["-n", "1", program]).chain(all.split(' ')).collect();
        let rest = "vae train --mpi --batch 16 --hidden 16 --latent 2 --out none --data .";
        let text = start_by(&dir, &first, rest).ends(false);
        let told =
            format!("rank 1 has {what} than rank 0; start all ranks with the same program, options and data");
        assert!(text.contains(&told), "{options}: {text}");
        assert!(!dir.join("none").exists(), "{options}: a run was begun");
    }
}
