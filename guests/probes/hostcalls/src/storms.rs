//! Host calls that each end at once, in a loop without end.

use crate::wasi::cli::{environment, stdin, stdout};
use crate::wasi::clocks::{monotonic_clock, wall_clock};
use crate::wasi::filesystem::preopens::get_directories;
use crate::wasi::filesystem::types::{NewTimestamp, PathFlags};
use crate::wasi::io::poll::poll;
use crate::wasi::random::{insecure_seed, random};
use crate::{Mode, endless, make, mount};

/// What is not asked for its effect: an error is as good as a result.
pub(crate) const MODES: &[Mode] = &[
    endless!("storm-now", monotonic_clock::now),
    endless!("storm-resolution", monotonic_clock::resolution),
    endless!("storm-wall", wall_clock::now),
    endless!("storm-random-word", random::get_random_u64),
    endless!("storm-random-bytes", || random::get_random_bytes(16)),
    endless!("storm-random-nothing", || random::get_random_bytes(0)),
    endless!("storm-seed", insecure_seed::insecure_seed),
    endless!("storm-environment", environment::get_environment),
    endless!("storm-preopens", get_directories),
    endless!("storm-subscribe", || monotonic_clock::subscribe_duration(u64::MAX)),
    endless!("storm-ready", {
        let timer = monotonic_clock::subscribe_duration(u64::MAX);
        move || timer.ready()
    }),
    endless!("storm-poll", {
        let timer = monotonic_clock::subscribe_instant(0);
        move || poll(&[&timer])
    }),
    endless!("storm-read-stdin", {
        let input = stdin::get_stdin();
        move || input.blocking_read(1)
    }),
    endless!("storm-write-nothing", {
        let output = stdout::get_stdout();
        move || output.write(&[])
    }),
    endless!("storm-flush", {
        let output = stdout::get_stdout();
        move || output.blocking_flush()
    }),
    endless!("storm-check-write", {
        let output = stdout::get_stdout();
        move || output.check_write()
    }),
    endless!("storm-stat", {
        let mount = mount();
        move || mount.stat_at(PathFlags::empty(), "f")
    }),
    endless!("storm-stat-missing", {
        let mount = mount();
        move || mount.stat_at(PathFlags::SYMLINK_FOLLOW, "no/such/file")
    }),
    endless!("storm-open", {
        let mount = mount();
        move || make(&mount, "f")
    }),
    endless!("storm-list", {
        let mount = mount();
        move || mount.read_directory()
    }),
    endless!("storm-read-nothing", {
        let file = make(&mount(), "f");
        move || drop(file.as_ref().map(|file| file.read(0, 0)))
    }),
    endless!("storm-stream", {
        let file = make(&mount(), "f");
        move || drop(file.as_ref().map(|file| file.read_via_stream(0)))
    }),
    endless!("storm-times", {
        let mount = mount();
        move || mount.set_times(NewTimestamp::Now, NewTimestamp::Now)
    }),
];
