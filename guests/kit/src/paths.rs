//! Paths as a model types them, and what goes wrong with them.

use std::io::{Error, ErrorKind};

use crate::Failure;

/// `ENOTCAPABLE` of WASI 0.1: no mount holds the path. std has no kind for it.
const NOT_CAPABLE: i32 = 76;

/// Where the workspace is mounted.
const WORKSPACE: &str = "/work";

/// Returns `path` as it is shown: relative to the workspace where it lies inside it.
pub fn display(path: &str) -> &str {
    let inside = match path.strip_prefix(WORKSPACE) {
        Some("") => ".",
        Some(rest) if rest.starts_with('/') => rest.trim_start_matches('/'),
        _ => path,
    };
    let mut shown = inside;
    while let Some(rest) = shown.strip_prefix("./") {
        shown = rest.trim_start_matches('/');
    }
    if shown.is_empty() { "." } else { shown }
}

/// Returns `path` as it is opened: a relative path in the workspace's mount.
///
/// The libc strips the leading `/` before it looks for a mount, so that `results/x` would reach the mount `/results`
/// although the workspace may hold a directory of that name.
pub fn locate(path: &str) -> String {
    match display(path) {
        "." => WORKSPACE.to_owned(),
        shown if shown.starts_with('/') => shown.to_owned(),
        shown => format!("{WORKSPACE}/{shown}"),
    }
}

/// Returns the rejection that says why `path` could not be `verb`: "read", "written", "listed".
pub fn refuse(verb: &str, path: &str, error: &Error) -> Failure {
    let shown = display(path);
    let outside = error.raw_os_error() == Some(NOT_CAPABLE) && cfg!(target_arch = "wasm32");
    let reason = match error.kind() {
        _ if outside => outside_reason(),
        ErrorKind::PermissionDenied => outside_reason(),
        ErrorKind::NotFound => "there is no such file or directory; use `list` or `glob` to see what there is".into(),
        // Making the parents of a path finds a file in the way as one that exists already.
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "a part of the path is a file, not a directory".into(),
        ErrorKind::IsADirectory => "it is a directory; use `list`".into(),
        ErrorKind::ReadOnlyFilesystem => "it lies in a place that can only be read".into(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "there is no room left for it".into(),
        _ => error.to_string(),
    };
    Failure::Rejected(format!("{shown} could not be {verb}: {reason}"))
}

fn outside_reason() -> String {
    "it is outside what this tool may use; paths are relative to the workspace".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_relative_to_the_workspace() {
        let shown =
            ["a/b", "./a", "././a", "/work/a", "/work", "/work/", ".", "", "/worker/a", "/results/1"].map(display);
        assert_eq!(shown, ["a/b", "a", "a", "a", ".", ".", ".", ".", "/worker/a", "/results/1"]);
    }

    #[test]
    fn relative_paths_are_located_in_the_workspace() {
        let located = ["a", "./a/", "work/a", "/work/a", "results/1", "/results/1", "."].map(locate);
        let expected = ["/work/a", "/work/a/", "/work/work/a", "/work/a", "/work/results/1", "/results/1", "/work"];
        assert_eq!(located, expected);
    }

    #[test]
    fn a_refusal_names_the_path_and_what_to_do() {
        let failure = refuse("read", "/work/a.txt", &ErrorKind::NotFound.into());
        assert_eq!(
            failure,
            Failure::rejected(
                "a.txt could not be read: there is no such file or directory; use `list` or `glob` to see what there is"
            )
        );
    }
}
