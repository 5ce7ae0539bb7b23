//! `cargo xtask foreign`: builds the extensions of `guests/foreign`, which are written in other languages, to
//! `target/foreign`. Tests install and call them as a person would.
//!
//! C is compiled by zig, which the Python package `ziglang` ships; JavaScript by componentize-js, which npm installs from
//! a lock file; Python is put together with its interpreter by componentize-py, which pip installs. All lie in the cache, versions
//! pinned.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};
use wit_component::ComponentEncoder;

use crate::checkout::{self, capture, prepare, tool};
use crate::sysroot::{ZIG, install_zig};
use crate::wheel::Wheel;

pub(crate) const COMMAND: crate::Command =
    crate::Command { name: "foreign", about: "builds the extensions written in C, JavaScript and Python", run };

/// Modules that make a component of a JavaScript file, and the lock that pins them.
const MODULE_FILES: [&str; 2] = ["package.json", "package-lock.json"];

/// Holds Python's interpreter as WebAssembly, and what makes a component of it and a module. For Linux on x86-64 and ARM64.
const COMPONENTIZE_PY: Wheel = Wheel {
    name: "componentize-py",
    version: "0.25.1",
    hashes: &[
        "8623cd8cab8453cb0cd8bf03f3c7103420d06f2f3d360186a280a70a1ca5e89f",
        "7b6a87c520358166843af0daa86d2312d7af4cbcbbf1e598951085cf7f2991ca",
    ],
};

/// Runs the program that the wheel holds, which has no script of its own in a folder that is no environment.
const RUN_COMPONENTIZE_PY: &str = "import sys; from componentize_py import script; sys.exit(script())";

fn run(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "`cargo xtask foreign` takes no arguments");
    let root = checkout::root()?;
    let (sources, output) = (root.join("guests/foreign"), root.join("target/foreign"));
    // The world that they are built for, and the versions of what builds them.
    let shared = [root.join("wit"), root.join("xtask/src")];
    build(&sources.join("count"), &output.join("count"), "count.c", &shared, count)?;
    build(&sources.join("slug"), &output.join("slug"), "slug.js", &shared, |source, component| {
        slug(&root.join("wit"), source, component)
    })?;
    build(&sources.join("python"), &output.join("python"), "python.py", &shared, |source, component| {
        python(&root.join("wit"), source, component)
    })?;
    eprintln!("xtask: the extensions are in {}", output.display());
    Ok(())
}

/// Builds one extension, unless what was built is newer than all that it is built from: its own files, and `shared` ones.
fn build(
    from: &Path,
    to: &Path,
    source: &str,
    shared: &[PathBuf],
    compile: impl FnOnce(&Path, &Path) -> Result<()>,
) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    let (manifest, source) = (from.join("tool.toml"), from.join(source));
    let component = to.join(from.file_name().context("a folder has a name")?).with_extension("wasm");
    let mut folders = shared.iter().map(PathBuf::as_path).chain([from]);
    if !folders.try_fold(true, |newer, folder| Ok::<_, anyhow::Error>(newer && is_newer(&component, folder)?))? {
        eprintln!("xtask: building {}", source.display());
        compile(&source, &component).with_context(|| format!("building {}", source.display()))?;
    }
    fs::copy(&manifest, to.join("tool.toml")).with_context(|| format!("copying {}", manifest.display()))?;
    Ok(())
}

fn is_newer(component: &Path, sources: &Path) -> Result<bool> {
    let Ok(built) = fs::metadata(component).and_then(|metadata| metadata.modified()) else { return Ok(false) };
    for source in fs::read_dir(sources)? {
        if source?.metadata()?.modified()? > built {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Compiles a C program with zig and makes a component of it.
fn count(source: &Path, component: &Path) -> Result<()> {
    let zig = zig()?;
    let module = component.with_extension("module");
    capture(
        tool(zig.join("ziglang/zig"))
            .args(["cc", "-target", "wasm32-wasi", "-Oz", "-s", "-Wall", "-Werror"])
            .arg(source)
            .arg("-o")
            .arg(&module)
            .env("ZIG_LOCAL_CACHE_DIR", zig.join("cache"))
            .env("ZIG_GLOBAL_CACHE_DIR", zig.join("cache")),
    )?;
    let encoded = ComponentEncoder::default()
        .module(&fs::read(&module)?)?
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER)?
        .encode()?;
    fs::remove_file(&module)?;
    fs::write(component, encoded).with_context(|| format!("writing {}", component.display()))
}

/// Returns the folder of zig in the cache, where it is installed once.
fn zig() -> Result<PathBuf> {
    let folder = checkout::cache()?.join(format!("zig-{ZIG}"));
    prepare(&folder, |part| {
        eprintln!("xtask: downloading zig (about 100 MB); this happens once");
        install_zig(part)
    })?;
    Ok(folder)
}

/// Makes a component of a JavaScript module.
fn slug(wit: &Path, source: &Path, component: &Path) -> Result<()> {
    let from = source.parent().context("a file lies in a folder")?;
    let modules = modules(from)?;
    let build = modules.join("build.mjs");
    // A module finds what it imports beside itself.
    fs::copy(from.join("build.mjs"), &build)?;
    capture(tool("node").arg(&build).arg(source).arg(wit).arg(component)).map(drop)
}

/// Returns the folder of the cache that npm installed what the lock file says in.
fn modules(from: &Path) -> Result<PathBuf> {
    let lock = fs::read(from.join("package-lock.json"))?;
    let folder = checkout::cache()?.join(format!("npm-{:016x}", checkout::digest(&lock)));
    prepare(&folder, |part| {
        eprintln!("xtask: installing componentize-js with npm (about 400 MB); this happens once");
        for name in MODULE_FILES {
            fs::copy(from.join(name), part.join(name))?;
        }
        // By the lock file; `ci` refuses one that leaves out what only other machines need. No package may run code of
        // its own while it is installed.
        let arguments = ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        capture(tool("npm").args(arguments).current_dir(part)).map(drop)
    })?;
    Ok(folder)
}

/// Makes a component of Python's interpreter and a module that is a tool.
fn python(wit: &Path, source: &Path, component: &Path) -> Result<()> {
    let folder = COMPONENTIZE_PY.installed("about 70 MB")?;
    let module = source.file_stem().context("a module has a name")?;
    let mut python = tool("python3");
    python.args(["-c", RUN_COMPONENTIZE_PY, "-d"]).arg(wit).args(["-w", "tool-guest", "componentize"]);
    python.arg(module).arg("-o").arg(component).env("PYTHONPATH", folder).env("PYTHONDONTWRITEBYTECODE", "1");
    capture(python.current_dir(source.parent().context("a file lies in a folder")?)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_a_source_is_built_again() {
        let folder = std::env::temp_dir().join(format!("xtask-foreign-{}", std::process::id()));
        let (from, to) = (folder.join("from/tool"), folder.join("to"));
        fs::create_dir_all(&from).expect("a folder");
        fs::write(from.join("tool.toml"), "m").expect("a manifest");
        fs::write(from.join("s"), "1").expect("a source");
        let built = |content: &'static str| {
            build(&from, &to, "s", &[], |_, component| Ok(fs::write(component, content)?)).expect("it builds");
            fs::read_to_string(to.join("tool.wasm")).expect("a component")
        };
        assert_eq!((built("one").as_str(), built("two").as_str()), ("one", "one"));
        let later = std::time::SystemTime::now() + std::time::Duration::from_mins(1);
        fs::File::options()
            .append(true)
            .open(from.join("s"))
            .and_then(|file| file.set_modified(later))
            .expect("a time");
        assert_eq!(built("three"), "three");
        fs::remove_dir_all(folder).expect("it is ours");
    }
}
