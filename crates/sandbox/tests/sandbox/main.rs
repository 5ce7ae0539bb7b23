//! The sandbox from outside: real guests, real stages, every limit.

extern crate boxagnts_sandbox as sandbox;

mod artifacts;
mod cancel;
mod commands;
mod conformance;
mod declared;
mod files;
mod handmade;
mod hostcalls;
mod imports;
mod limits;
mod malformed;
mod mounts;
mod neighbour;
mod network;
mod offers;
mod planted;
mod races;
mod replay;
mod setting;
mod surroundings;
mod wasi;

use std::collections::BTreeSet;

/// Every probe has a test: a file dropped into `guests/probes` and forgotten fails here.
#[test]
fn every_probe_has_a_test() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guests/probes");
    let folders = std::fs::read_dir(folder).unwrap();
    let found: BTreeSet<String> = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let tables = [
        limits::PROBES,
        cancel::PROBES,
        files::PROBES,
        hostcalls::PROBES,
        mounts::PROBES,
        network::PROBES,
        races::PROBES,
        surroundings::PROBES,
        wasi::PROBES,
    ];
    let covered: BTreeSet<String> = tables.concat().into_iter().map(str::to_owned).collect();
    assert_eq!(found, covered);
}
