//! Where the runtime works: the workspace's root, and the folders outside every mount.

use std::env;
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// What marks the root of a workspace.
const MARKS: [&str; 3] = [".boxagnts", "boxagnts.toml", ".git"];

/// Returns the workspace that `--workspace` names, else the nearest marked folder above `here`, else `here`.
pub(crate) fn workspace(named: Option<&Path>, here: &Path) -> Result<PathBuf, Failure> {
    let chosen = match named {
        Some(path) => path,
        None => here.ancestors().find(|folder| MARKS.iter().any(|mark| folder.join(mark).exists())).unwrap_or(here),
    };
    let root = chosen.canonicalize().map_err(|error| {
        Failure::usage(format!("the workspace {} cannot be opened: {error}", chosen.display()))
            .hint("name an existing folder: boxagnts --workspace DIR …")
    })?;
    if root.is_dir() { Ok(root) } else { Err(Failure::usage(format!("{} is not a folder", root.display()))) }
}

/// Returns the folder of compiled tools: `$XDG_CACHE_HOME/boxagnts/artifacts` (XDG Base Directory Specification).
pub(crate) fn artifact_cache() -> Result<PathBuf, Failure> {
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    cache.map(|cache| cache.join("boxagnts/artifacts")).ok_or_else(|| {
        Failure::usage("there is no folder for compiled tools: neither XDG_CACHE_HOME nor HOME is set")
            .hint("set one: XDG_CACHE_HOME=/path/to/cache boxagnts …")
    })
}

/// Returns the folder of extensions: `$XDG_DATA_HOME/boxagnts/extensions` (XDG Base Directory Specification); `None` where
/// this person has no such folder.
pub(crate) fn extensions() -> Option<PathBuf> {
    data().map(|data| data.join("extensions"))
}

/// Returns the runtime's folder among this person's data.
fn data() -> Option<PathBuf> {
    let data = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    data.map(|data| data.join("boxagnts"))
}

/// Returns the folder of secrets: `$XDG_DATA_HOME/boxagnts/secrets`.
pub(crate) fn secrets() -> Result<PathBuf, Failure> {
    data().map(|data| data.join("secrets")).ok_or_else(|| {
        Failure::usage("there is no folder for secrets: neither XDG_DATA_HOME nor HOME is set")
            .hint("set one: XDG_DATA_HOME=/path/to/data boxagnts …")
    })
}

/// Returns the folder of the keys under journals: `$XDG_DATA_HOME/boxagnts/journals`; `None` where this person has no
/// such folder.
pub(crate) fn journals() -> Option<PathBuf> {
    data().map(|data| data.join("journals"))
}

/// Tells whether this session has a bus, on which a keychain may be found.
pub(crate) fn has_session_bus() -> bool {
    env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some_and(|address| !address.is_empty())
}

/// Returns the variable `name` as a path; one that is not absolute counts as not set (XDG).
fn absolute(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Returns `path` with every link in it resolved as far as it exists.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    let existing = path.ancestors().find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?)));
    let rest = existing.as_ref().and_then(|(ancestor, _)| path.strip_prefix(ancestor).ok());
    match (&existing, rest) {
        (Some((_, real)), Some(rest)) => real.join(rest),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mark_above_is_the_workspace() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let deep = root.join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        assert_eq!(workspace(None, &deep).unwrap(), deep);
        std::fs::create_dir(root.join("a/.git")).unwrap();
        assert_eq!(workspace(None, &deep).unwrap(), root.join("a"));
        assert_eq!(workspace(Some(&root), &deep).unwrap(), root);
    }

    #[test]
    fn links_are_resolved_as_far_as_a_path_exists() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::os::unix::fs::symlink(root.join("real"), root.join("link")).unwrap();
        assert_eq!(resolved(&root.join("link/not/there")), root.join("real/not/there"));
        assert_eq!(resolved(&root.join("real")), root.join("real"));
    }

    #[test]
    fn a_workspace_that_is_not_there_says_what_to_type() {
        let failure = workspace(Some(Path::new("/nowhere/at/all")), Path::new("/")).unwrap_err();
        assert_eq!(failure.exit, crate::exit::Exit::Usage);
        assert!(failure.to_string().contains("hint: name an existing folder"));
    }
}
