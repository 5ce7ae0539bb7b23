//! `cargo xtask guests`: builds every guest to a WASI 0.2 component in `target/guests`.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::checkout::{self, capture, cargo, tool};
use crate::sysroot::Sysroot;

pub(crate) const COMMAND: crate::Command =
    crate::Command { name: "guests", about: "builds the guests; with --test, runs their unit tests natively", run };

/// The target that rustup knows; it needs nothing of ours.
const INSTALLED_TARGET: &str = "wasm32-wasip2";
const HINT: &str = "on a machine with rustup, `rustup target add wasm32-wasip2` is all it takes";

fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => build(),
        [flag] if flag == "--test" => test(),
        _ => bail!("`cargo xtask guests` takes --test or nothing"),
    }
}

/// Builds every guest, and rewrites only the outputs that changed.
pub(crate) fn build() -> Result<()> {
    let root = checkout::root()?;
    let built = compile(&root)?;
    let output = root.join("target/guests");
    let tools = publish(&root.join("guests"), &built, &output)?;
    let probes = publish(&root.join("guests/probes"), &built, &output.join("probes"))?;
    eprintln!("xtask: {tools} tools and {probes} probes are in {}", output.display());
    Ok(())
}

/// Runs the guests' unit tests on this machine.
pub(crate) fn test() -> Result<()> {
    let root = checkout::root()?;
    let mut cargo = cargo();
    cargo.args(["test", "--quiet", "--locked", "--workspace"]).current_dir(root.join("guests"));
    checkout::run(cargo.env("CARGO_TARGET_DIR", target_folder(&root)?))
}

/// How guests are compiled on this machine.
enum Toolchain {
    Installed,
    Prepared(Sysroot),
}

impl Toolchain {
    fn find() -> Result<Self> {
        if has_installed_target() {
            return Ok(Self::Installed);
        }
        let sysroot = Sysroot::prepare(&checkout::cache()?);
        Ok(Self::Prepared(sysroot.with_context(|| format!("no way to build WASI components here; {HINT}"))?))
    }

    fn target(&self) -> &'static str {
        match self {
            Self::Installed => INSTALLED_TARGET,
            Self::Prepared(_) => Sysroot::target(),
        }
    }

    fn flags(&self) -> Vec<String> {
        match self {
            Self::Installed => Vec::new(),
            Self::Prepared(sysroot) => sysroot.flags(),
        }
    }

    fn configure(&self, cargo: &mut Command) {
        if let Self::Prepared(sysroot) = self {
            sysroot.configure(cargo);
        }
    }
}

fn has_installed_target() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut rustc = tool(rustc);
    let folder = capture(rustc.args(["--print", "target-libdir", "--target", INSTALLED_TARGET]));
    folder.is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

/// Compiles the guests' workspace and returns the folder that holds its components.
fn compile(root: &Path) -> Result<PathBuf> {
    let toolchain = Toolchain::find()?;
    let target_folder = target_folder(root)?;
    let mut flags = toolchain.flags();
    flags.push(checkout::remap(root, "/boxagnts"));
    flags.extend(checkout::remap_cargo_home());
    let mut cargo = cargo();
    toolchain.configure(&mut cargo);
    cargo
        .args(["build", "--release", "--locked", "--workspace", "--target", toolchain.target()])
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("CARGO_TARGET_DIR", &target_folder)
        .current_dir(root.join("guests"));
    checkout::run(&mut cargo).context("building the guests")?;
    Ok(target_folder.join(toolchain.target()).join("release"))
}

/// Returns cargo's target folder for the guests of this checkout. It lies in the cache, so that a new `target` does
/// not cost a new build.
fn target_folder(root: &Path) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    root.hash(&mut hasher);
    Ok(checkout::cache()?.join(format!("guests-{:016x}", hasher.finish())))
}

/// Copies each guest beneath `sources` with its manifest to `output`, removes what is no guest any more, and returns
/// how many there are.
fn publish(sources: &Path, built: &Path, output: &Path) -> Result<usize> {
    fs::create_dir_all(output).with_context(|| format!("making {}", output.display()))?;
    let names = guests_in(sources)?;
    for name in &names {
        let component = built.join(name).with_extension("wasm");
        replace(&component, &output.join(name).with_extension("wasm"))?;
        replace(&sources.join(name).join("tool.toml"), &output.join(name).with_extension("toml"))?;
    }
    remove_others(output, &names)?;
    Ok(names.len())
}

/// Returns the names of the folders in `sources` that hold a manifest.
fn guests_in(sources: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(sources).with_context(|| format!("listing {}", sources.display()))? {
        let entry = entry?;
        if entry.path().join("tool.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    ensure!(!names.is_empty(), "{} holds no guest", sources.display());
    names.sort();
    Ok(names)
}

/// Makes `to` the same as `from`. A file that already is the same is left alone, so that nothing that embeds it is
/// built again; another is replaced at once, so that nobody reads half of it.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let wanted = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    if fs::read(to).is_ok_and(|current| current == wanted) {
        return Ok(());
    }
    let part = to.with_extension(format!("part-{}", std::process::id()));
    fs::write(&part, wanted).with_context(|| format!("writing {}", part.display()))?;
    fs::rename(&part, to).with_context(|| format!("replacing {}", to.display()))
}

fn remove_others(output: &Path, names: &[String]) -> Result<()> {
    for entry in fs::read_dir(output)? {
        let path = entry?.path();
        let is_known = path.file_stem().is_some_and(|stem| names.iter().any(|name| stem == name.as_str()));
        if path.is_file() && !is_known {
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}
