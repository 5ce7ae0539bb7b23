//! Where things are, and how child processes are started.

use std::env;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Variables of the outer `cargo run`, or of a person's shell, that would change what an inner cargo builds.
const FOREIGN: [&str; 9] = [
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "LD_LIBRARY_PATH",
    "RUSTC_BOOTSTRAP",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
];

/// Returns the root of the checkout.
pub(crate) fn root() -> Result<PathBuf> {
    let package = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.parent().map(Path::to_owned).context("xtask lies inside the checkout")
}

/// Returns `$XDG_CACHE_HOME/boxagnts`, by default `~/.cache/boxagnts`, and makes it.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|path| Path::new(path).is_absolute()) {
        Some(path) => PathBuf::from(path),
        None => Path::new(&env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache"),
    };
    let cache = base.join("boxagnts");
    std::fs::create_dir_all(&cache).with_context(|| format!("making {}", cache.display()))?;
    Ok(cache)
}

/// Returns a digest of `content` that tells versions of a file apart, for the name of a folder.
pub(crate) fn digest(content: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

/// Makes `folder` with `fill`, whole or not at all.
pub(crate) fn prepare(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let part = folder.with_extension(format!("part-{}", std::process::id()));
    std::fs::create_dir_all(&part).with_context(|| format!("making {}", part.display()))?;
    fill(&part)?;
    match std::fs::rename(&part, folder) {
        // Another run was faster.
        Err(_) if folder.is_dir() => std::fs::remove_dir_all(&part).context("removing what another run made first"),
        renamed => renamed.with_context(|| format!("making {}", folder.display())),
    }
}

/// Returns `program` with no input and none of the [`FOREIGN`] variables.
pub(crate) fn tool(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    for name in FOREIGN {
        command.env_remove(name);
    }
    command
}

/// Returns the cargo that runs this program.
pub(crate) fn cargo() -> Command {
    tool(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Returns the compiler flag that writes `name` in place of the folder `from`: components are the same on every machine.
pub(crate) fn remap(from: &Path, name: &str) -> String {
    format!("--remap-path-prefix={}={name}", from.display())
}

/// Returns the [`remap`] of cargo's home, where the sources of dependencies lie.
pub(crate) fn remap_cargo_home() -> Option<String> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")));
    home.map(|home| remap(&home, "/cargo"))
}

/// Runs `command` and shows its output as it comes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", name(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", name(command));
    }
    Ok(())
}

/// Runs `command`, returns both its outputs as text, and shows them only when it fails.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {}", name(command)))?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{} failed: {}\n{text}", name(command), output.status);
    }
    Ok(text.into_owned())
}

fn name(command: &Command) -> String {
    Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned()
}
