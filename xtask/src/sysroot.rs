//! A Rust sysroot for WASI on a machine where rustup cannot add one.
//!
//! Debian ships a rustc with its sources, and the Python package `ziglang` ships a WASI libc that zig compiles. From
//! both, std is built once into a folder of the cache; the guests are then built by plain cargo with that rustc, and
//! `wasm-component-ld` makes WASI 0.2 components of them. Versions are pinned: others were never shown to work.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::checkout::{capture, cargo, remap, remap_cargo_home, tool};

/// The upstream versions that were shown to work together.
const RUST: &str = "1.96.0";
const LLVM: &str = "22.1.8";
pub(crate) const ZIG: &str = "0.17.1";
/// Raised when the steps below change, so that a sysroot of older steps is not taken for a current one.
const RECIPE: &str = "2";

const TARGET: &str = "wasm32-wasip1";
/// Debian's packages, each with the start of the version that is wanted.
const PACKAGES: [(&str, &str); 7] = [
    ("rustc-web", "1.96.0+"),
    ("libstd-rust-web-dev", "1.96.0+"),
    ("libstd-rust-web-1.96", "1.96.0+"),
    ("rust-web-llvm", "1.96.0+"),
    ("rust-web-src", "1.96.0+"),
    ("libllvm22", "1:22.1.8-"),
    ("lld-22", "1:22.1.8-"),
];
/// What every guest links with beside its own objects. `libc.a` is asked for by std.
const LIBC_FILES: [&str; 5] = ["crt1-command.o", "crt1-reactor.o", "libc.a", "libzigc.a", "libcompiler_rt.a"];

/// A prepared sysroot.
pub(crate) struct Sysroot {
    root: PathBuf,
}

impl Sysroot {
    /// Returns the sysroot in `cache`, which it prepares when there is none.
    pub(crate) fn prepare(cache: &Path) -> Result<Self> {
        let name = format!("sysroot-{}-rust{RUST}-llvm{LLVM}-zig{ZIG}-{RECIPE}", std::env::consts::ARCH);
        let root = cache.join(&name);
        if !root.is_dir() {
            let lock = File::create(cache.join("sysroot.lock")).context("making the lock of the sysroot")?;
            if lock.try_lock().is_err() {
                say("waiting for another run that prepares the sysroot");
                lock.lock().context("locking the sysroot")?;
            }
            if !root.is_dir() {
                build(&cache.join(format!("{name}.part")), &root)?;
            }
        }
        Ok(Self { root })
    }

    /// Returns the target that guests are built for.
    pub(crate) fn target() -> &'static str {
        TARGET
    }

    /// Makes `cargo` use this sysroot's compiler and linker.
    pub(crate) fn configure(&self, cargo: &mut Command) {
        use_compiler(cargo, &self.root);
        cargo.env("CARGO_TARGET_WASM32_WASIP1_LINKER", host_library(&self.root).join("bin/wasm-component-ld"));
    }

    /// Returns the compiler flags that guests need on this route.
    pub(crate) fn flags(&self) -> Vec<String> {
        let linker = format!("link-arg=--wasm-ld-path={}", self.root.join("usr/bin/wasm-ld-22").display());
        [&linker, "link-arg=-lzigc", "link-arg=-lcompiler_rt"].map(|argument| format!("-C{argument}")).into()
    }
}

fn use_compiler(cargo: &mut Command, root: &Path) {
    let libraries = root.join("usr/lib");
    let search =
        format!("{}:{}", libraries.join(triple("linux-gnu")).display(), libraries.join("llvm-22/lib").display());
    cargo.env("RUSTC", root.join("usr/bin/rustc")).env("LD_LIBRARY_PATH", search);
}

fn triple(rest: &str) -> String {
    format!("{}-{rest}", std::env::consts::ARCH)
}

fn host_library(root: &Path) -> PathBuf {
    root.join("usr/lib/rustlib").join(triple("unknown-linux-gnu"))
}

fn target_library(root: &Path) -> PathBuf {
    root.join("usr/lib/rustlib").join(TARGET).join("lib")
}

/// Prepares the sysroot in `part`, which a run that was stopped may have left, and moves it to `root` when it is whole.
fn build(part: &Path, root: &Path) -> Result<()> {
    check_tools()?;
    say("preparing a WASI sysroot; this happens once and takes some minutes");
    remove(part)?;
    fs::create_dir_all(part).with_context(|| format!("making {}", part.display()))?;
    let work = part.join("work");
    let (libc, std) = std::thread::scope(|scope| {
        let libc = scope.spawn(|| build_libc(&work.join("zig"), part));
        let std = unpack_debian(&work.join("debian"), part).and_then(|()| build_std(&work.join("std"), part));
        (libc.join().expect("building libc does not panic"), std)
    });
    libc.and(std)?;
    remove(&work)?;
    remove(&part.join("usr/src"))?;
    fs::rename(part, root).with_context(|| format!("moving the sysroot to {}", root.display()))?;
    say(&format!("the sysroot is ready in {}", root.display()));
    Ok(())
}

fn say(what: &str) {
    eprintln!("xtask: {what}");
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn check_tools() -> Result<()> {
    for (program, argument) in [("apt-get", "--version"), ("dpkg", "--version"), ("python3", "--version")] {
        ensure!(capture(tool(program).arg(argument)).is_ok(), "this machine has no `{program}`");
    }
    ensure!(capture(tool("python3").args(["-m", "pip", "--version"])).is_ok(), "this machine has no `pip`");
    Ok(())
}

/// Downloads Debian's packages into `work` and unpacks them into `part`; nothing is installed.
fn unpack_debian(work: &Path, part: &Path) -> Result<()> {
    fs::create_dir_all(work)?;
    say("refreshing Debian's package lists");
    if let Err(error) = capture(tool("apt-get").args(["update", "--quiet"])) {
        say(&format!("the package lists could not be refreshed, going on with those there are: {error:#}"));
    }
    let names = PACKAGES.map(|(name, _)| name);
    check_versions(&capture(tool("apt-cache").arg("policy").args(names).env("LC_ALL", "C"))?)?;
    say("downloading Debian's rustc, its sources and LLVM (about 140 MB)");
    let download = ["-o", "APT::Sandbox::User=root", "download", "--quiet"];
    capture(tool("apt-get").args(download).args(names).current_dir(work)).context("downloading from Debian")?;
    say("unpacking Debian's packages");
    for package in fs::read_dir(work)? {
        capture(tool("dpkg").arg("-x").arg(package?.path()).arg(part))?;
    }
    Ok(())
}

/// Checks what `apt-cache policy` says against [`PACKAGES`].
fn check_versions(policy: &str) -> Result<()> {
    for (name, wanted) in PACKAGES {
        let Some(version) = candidate(policy, name) else {
            bail!("Debian's package lists here have no `{name}`");
        };
        ensure!(
            version.starts_with(wanted),
            "Debian's `{name}` is now {version}, and only {wanted}* was shown to work: \
             try the new one by changing the versions in xtask/src/sysroot.rs"
        );
    }
    Ok(())
}

fn candidate<'a>(policy: &'a str, name: &str) -> Option<&'a str> {
    let heading = format!("{name}:");
    let mut lines = policy.lines().skip_while(|line| *line != heading).skip(1);
    let line = lines.by_ref().take_while(|line| line.starts_with(' ')).find(|line| line.contains("Candidate:"))?;
    line.split_once(": ").map(|(_, version)| version.trim()).filter(|version| *version != "(none)")
}

/// Downloads zig into `work`, has it compile its libc, and puts that where rustc looks for it.
fn build_libc(work: &Path, part: &Path) -> Result<()> {
    fs::create_dir_all(work)?;
    say("downloading zig, for its WASI libc (about 100 MB)");
    install_zig(work)?;
    say("compiling libc");
    fs::write(work.join("empty.c"), "int main(void) { return 0; }\n")?;
    let folder = target_library(part).join("self-contained");
    fs::create_dir_all(&folder)?;
    for model in ["command", "reactor"] {
        copy_linked(&link_line(work, model)?, work, &folder)?;
    }
    for name in LIBC_FILES {
        ensure!(folder.join(name).is_file(), "zig linked no `{name}`");
    }
    Ok(())
}

/// Installs zig into `folder`, as `ziglang/zig`.
pub(crate) fn install_zig(folder: &Path) -> Result<()> {
    let pip = ["-m", "pip", "install", "--quiet", "--no-input", "--no-deps", "--disable-pip-version-check", "--target"];
    capture(tool("python3").args(pip).arg(folder).arg(format!("ziglang=={ZIG}"))).context("downloading zig")?;
    Ok(())
}

/// Returns the line with which zig links an empty program. Its cache holds other builds of the same files.
fn link_line(work: &Path, model: &str) -> Result<String> {
    let mut zig = tool(work.join("ziglang/zig"));
    zig.args(["cc", "-target", "wasm32-wasi", "-Oz", "-v", "empty.c", "-o", "empty.wasm"])
        .arg(format!("-mexec-model={model}"))
        .env("ZIG_LOCAL_CACHE_DIR", work.join("cache"))
        .env("ZIG_GLOBAL_CACHE_DIR", work.join("cache"))
        .current_dir(work);
    let output = capture(&mut zig)?;
    let line = output.lines().find(|line| line.starts_with("wasm-ld "));
    line.map(str::to_owned).context("zig did not say how it links")
}

fn copy_linked(line: &str, work: &Path, folder: &Path) -> Result<()> {
    let is_wanted = |path: &&Path| path.file_name().is_some_and(|name| LIBC_FILES.iter().any(|wanted| name == *wanted));
    for path in line.split(' ').map(Path::new).filter(is_wanted) {
        let name = path.file_name().expect("filtered by its name");
        fs::copy(work.join(path), folder.join(name)).with_context(|| format!("copying {}", path.display()))?;
    }
    Ok(())
}

/// Builds std for the target with Debian's compiler and puts it where that compiler looks for it.
fn build_std(work: &Path, part: &Path) -> Result<()> {
    say("building std");
    fs::create_dir_all(work.join("src"))?;
    fs::write(work.join("Cargo.toml"), "[package]\nname = \"empty\"\nedition = \"2024\"\n[workspace]\n")?;
    fs::write(work.join("src/lib.rs"), "")?;
    let sources = part.join(format!("usr/src/rustc-{RUST}/library"));
    // Guests are linked with LTO, which reads bitcode.
    let mut flags = vec!["-Cembed-bitcode=yes".to_owned(), remap(&sources, "/rust")];
    flags.extend(remap_cargo_home());
    let mut cargo = cargo();
    use_compiler(&mut cargo, part);
    cargo
        .args(["build", "--release", "--target", TARGET, "-Zbuild-std=std,panic_abort,panic_unwind"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("__CARGO_TESTS_ONLY_SRC_ROOT", &sources)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("CARGO_TARGET_DIR", work.join("target"))
        .current_dir(work);
    capture(&mut cargo).context("building std")?;
    let built = work.join("target").join(TARGET).join("release/deps");
    for file in fs::read_dir(built)? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "rlib") && !name.starts_with("libempty-") {
            fs::copy(&path, target_library(part).join(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n  Version table:\n\
                          lld-22:\n  Installed: (none)\n  Candidate: (none)\n";

    #[test]
    fn candidates_are_read_by_package() {
        let found = ["rustc-web", "lld-22", "libllvm22"].map(|name| candidate(POLICY, name));
        assert_eq!(found, [Some("1.96.0+dfsg1-1~deb12u2"), None, None]);
    }

    #[test]
    fn a_version_that_moved_is_named() {
        let moved = check_versions("rustc-web:\n  Candidate: 1.97.0+dfsg1-1\n").unwrap_err().to_string();
        assert!(moved.starts_with("Debian's `rustc-web` is now 1.97.0+dfsg1-1, and only 1.96.0+*"), "{moved}");
    }

    #[test]
    fn a_package_that_is_not_there_is_named() {
        let missing = check_versions("").unwrap_err().to_string();
        assert_eq!(missing, "Debian's package lists here have no `rustc-web`");
    }

    #[test]
    fn the_pins_agree_with_each_other() {
        for (name, wanted) in PACKAGES {
            assert!(wanted.contains(RUST) || wanted.contains(LLVM), "{name} is pinned to {wanted}");
        }
    }
}
