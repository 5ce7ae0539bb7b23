//! Handles that are taken and never given back.

use bare::alloc::vec::Vec;
use bare::alloc::{format, string::String};

use crate::wasi::cli::{stdin, stdout};
use crate::wasi::clocks::monotonic_clock::subscribe_duration;
use crate::wasi::filesystem::preopens::get_directories;
use crate::{Mode, folder, make, mount};

/// As many as the issue of open handles asks for.
const COUNT: usize = 100_000;

pub(crate) const MODES: &[Mode] = &[
    Mode {
        name: "hoard-files",
        run: || {
            let mount = mount();
            keep(|| make(&mount, "f"))
        },
    },
    Mode {
        name: "hoard-directories",
        run: || {
            let mount = mount();
            keep(|| folder(&mount, "."))
        },
    },
    Mode {
        name: "hoard-listings",
        run: || {
            let mount = mount();
            keep(|| mount.read_directory())
        },
    },
    Mode {
        name: "hoard-readers",
        run: || {
            let file = make(&mount(), "f");
            keep(|| file.as_ref().map(|file| file.read_via_stream(0)))
        },
    },
    Mode {
        name: "hoard-writers",
        run: || {
            let file = make(&mount(), "f");
            keep(|| file.as_ref().map(|file| file.append_via_stream()))
        },
    },
    Mode {
        name: "hoard-failures",
        run: || {
            let file = make(&mount(), "f");
            let beyond = file.as_ref().map(|file| file.write_via_stream(u64::MAX));
            keep(|| beyond.as_ref().map(|stream| stream.as_ref().map(|stream| stream.write(b"x"))))
        },
    },
    Mode { name: "hoard-preopens", run: || keep(get_directories) },
    Mode { name: "hoard-timers", run: || keep(|| subscribe_duration(1)) },
    Mode { name: "hoard-inputs", run: || keep(stdin::get_stdin) },
    Mode { name: "hoard-outputs", run: || keep(stdout::get_stdout) },
    Mode {
        name: "hoard-subscriptions",
        run: || {
            let output = stdout::get_stdout();
            keep(|| output.subscribe())
        },
    },
];

fn keep<T>(take: impl FnMut() -> T) -> String {
    let kept: Vec<T> = core::iter::repeat_with(take).take(COUNT).collect();
    format!("{} kept", kept.len())
}
