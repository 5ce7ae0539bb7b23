//! What a commit costs follows what changed, not how much there is.

use std::time::Instant;

use super::support::{Place, commit, set, stage, stage_write};

/// Prints the times of benchmark (d): `cargo test --release -p boxagnts-workspace cost -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn one_changed_file_in_a_large_tree() {
    for files in [100, 10_000, 100_000] {
        let place = Place::new(&[]);
        for at in 0..files {
            place.write(&format!("{}/{at}.txt", at % 100), "x");
        }
        let workspace = place.open();
        // The tree is not new to the disk when somebody works in it.
        assert!(std::process::Command::new("sync").status().unwrap().success());
        let mut times = Vec::new();
        for round in 0..40_u64 {
            let stage = stage(&workspace, "/work");
            stage_write(&stage, "1/1.txt", &format!("{round}\n"));
            let start = Instant::now();
            commit(&workspace, &set(round), &stage).unwrap();
            times.push(start.elapsed());
        }
        times.sort_unstable();
        println!("{files} files: least {:?}, median {:?}, p95 {:?}", times[0], times[20], times[38]);
    }
}

/// Prints what an append costs.
#[test]
#[ignore = "a measurement"]
fn one_append() {
    use crate::Durability;
    use protocol::{EventBody, TurnId};
    let place = Place::new(&[]);
    let workspace = place.open();
    let event = EventBody::ModelCalled { turn: TurnId::from_random(1), number: 1, model: "openai/x".into() };
    for (durability, rounds) in [(Durability::Process, 20_000), (Durability::Power, 200)] {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let start = Instant::now();
            workspace.journal().append(&super::support::session(), std::slice::from_ref(&event), durability).unwrap();
            times.push(start.elapsed());
        }
        times.sort_unstable();
        let p95 = times[rounds * 95 / 100];
        println!("{durability:?}: least {:?}, median {:?}, p95 {p95:?}", times[0], times[rounds / 2]);
    }
}
