//! Filling the stage, and the disk behind it.

use bare::alloc::vec::Vec;
use bare::alloc::{format, string::String};

use crate::wasi::filesystem::types::{Descriptor, ErrorCode};
use crate::{Mode, endless, folder, make, mount, said};

const CHUNK_BYTES: usize = 64 << 10;

/// The longest name that a file system takes.
const NAME_BYTES: usize = 255;

pub(crate) const MODES: &[Mode] = &[
    Mode { name: "fill-size", run: || on_file(|file| file.set_size(1 << 40)) },
    Mode { name: "fill-offset", run: || on_file(|file| file.write(b"x", 1 << 40)) },
    Mode { name: "fill-write", run: || until_refused(0, |at, file| file.write(&[1; CHUNK_BYTES], at)) },
    Mode { name: "fill-append", run: append },
    Mode { name: "fill-holes", run: || until_refused(0, |at, file| file.set_size(at + 1).map(|()| 1 << 20)) },
    Mode { name: "fill-files", run: || each(|at, number| make(at, &format!("f{number}")).map(drop)) },
    Mode { name: "fill-directories", run: || each(|at, number| at.create_directory_at(&format!("d{number}"))) },
    Mode { name: "fill-names", run: || each(|at, number| make(at, &long_name(number)).map(drop)) },
    Mode { name: "fill-links", run: || each(|at, number| at.symlink_at(&"t".repeat(4000), &format!("l{number}"))) },
    Mode { name: "fill-hard-links", run: hard_links },
    Mode { name: "fill-ghosts", run: ghosts },
    Mode { name: "fill-deep", run: deep },
    Mode { name: "fill-whiteouts", run: || each(|at, number| at.unlink_file_at(&format!("base-{number:04}"))) },
    endless!("churn-rename", {
        let mount = mount();
        let mut number = 0_u64;
        let made = make(&mount, "f0");
        move || {
            let _kept = &made;
            number += 1;
            mount.rename_at(&format!("f{}", number - 1), &mount, &format!("f{number}"))
        }
    }),
    endless!("churn-files", {
        let mount = mount();
        move || (make(&mount, "f").map(|file| file.write(&[1; CHUNK_BYTES], 0)), mount.unlink_file_at("f"))
    }),
    endless!("churn-size", {
        let file = make(&mount(), "f");
        move || file.as_ref().map(|file| (file.set_size(32 << 20), file.set_size(0))).ok()
    }),
];

fn on_file<T>(work: impl FnOnce(&Descriptor) -> Result<T, ErrorCode>) -> String {
    said(make(&mount(), "f").and_then(|file| work(&file)))
}

/// Goes on at where `step` says that it came to, until it fails.
fn until_refused(mut at: u64, mut step: impl FnMut(u64, &Descriptor) -> Result<u64, ErrorCode>) -> String {
    on_file(|file| -> Result<(), ErrorCode> {
        loop {
            at += step(at, file)?;
        }
    })
}

fn append() -> String {
    on_file(|file| {
        let stream = file.append_via_stream()?;
        while stream.write(&[1; CHUNK_BYTES]).is_ok() {}
        Ok(())
    })
}

/// Calls `make` with one number after the other until it fails; says how many there were, and why.
fn each(mut make: impl FnMut(&Descriptor, u64) -> Result<(), ErrorCode>) -> String {
    let mount = mount();
    let mut number = 0;
    loop {
        if let Err(code) = make(&mount, number) {
            return format!("{number}, then {}", code.name());
        }
        number += 1;
    }
}

fn long_name(number: u64) -> String {
    format!("{number:0NAME_BYTES$}")
}

fn hard_links() -> String {
    drop(make(&mount(), "f"));
    each(|at, number| at.link_at(crate::PathFlags::empty(), "f", at, &format!("h{number}")))
}

/// Files without a name, kept by their handles.
fn ghosts() -> String {
    let mut kept = Vec::new();
    each(|at, _| {
        let file = make(at, "ghost")?;
        file.write(&[1; CHUNK_BYTES], 0)?;
        at.unlink_file_at("ghost")?;
        kept.push(file);
        Ok(())
    })
}

/// One directory in the other, each opened from the one above, so that no path is long.
fn deep() -> String {
    let mut at = mount();
    let mut depth = 0_u64;
    loop {
        let below = at.create_directory_at("n").and_then(|()| folder(&at, "n"));
        match below {
            Ok(below) => at = below,
            Err(code) => return format!("{depth} deep, then {}", code.name()),
        }
        depth += 1;
    }
}
