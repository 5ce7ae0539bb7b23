//! Paths as policy sees them: absolute in the guest's names, lexically normal, spelled as written.

use caseless::default_case_fold_str;
use unicode_normalization::UnicodeNormalization as _;

/// The mount that relative paths belong to.
pub(crate) const WORK: &str = "/work";

/// Names that are never written without asking, anywhere in a mount: git's own folder (its hooks and configuration run
/// code), the runtime's state and its configuration.
const PROTECTED_NAMES: [&str; 4] = [".git", ".boxagnts", "boxagnts.toml", ".githooks"];

/// An argument that names no path inside a mount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    #[error("`{0}` is outside every mount")]
    Outside(String),
    #[error("the path holds a NUL character")]
    Nul,
}

/// Returns the absolute, normal guest path that `argument` names: relative ones belong to `/work`, and `..` never leaves
/// the mount.
///
/// This is the lexical reading, made before the call. What symbolic links lead to is decided where files are opened, and
/// what was written is judged again at the commit.
pub fn resolve_argument<'a>(argument: &str, mounts: impl Iterator<Item = &'a str>) -> Result<String, InvalidPath> {
    if argument.contains('\0') {
        return Err(InvalidPath::Nul);
    }
    let outside = || InvalidPath::Outside(argument.to_owned());
    let (mount, rest) = match argument.strip_prefix('/') {
        None => (WORK, argument),
        Some(_) => mounts
            .filter_map(|mount| below(argument, mount))
            .max_by_key(|(mount, _)| mount.len())
            .ok_or_else(outside)?,
    };
    let relative = normalise(rest).ok_or_else(outside)?;
    Ok(if relative.is_empty() { mount.to_owned() } else { format!("{mount}/{relative}") })
}

fn below<'a>(path: &'a str, mount: &'a str) -> Option<(&'a str, &'a str)> {
    let rest = path.strip_prefix(mount)?;
    (rest.is_empty() || rest.starts_with('/')).then_some((mount, rest))
}

/// Returns `path` without `.`, empty components and `..`; `None` when it climbs above its start.
fn normalise(path: &str) -> Option<String> {
    let mut kept: Vec<&str> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(kept.pop()?),
            name => kept.push(name),
        }
    }
    Some(kept.join("/"))
}

/// Tells whether writing `path` needs a person, in whatever spelling a file system might take for a protected name.
pub fn is_protected(path: &str) -> bool {
    let names: Vec<String> = path.split('/').map(fold).collect();
    names.iter().any(|name| PROTECTED_NAMES.contains(&name.as_str()) || is_short_name(name))
        || names.windows(2).any(|pair| pair[0] == "hooks" && is_git_hook(&pair[1]))
}

/// Windows' 8.3 aliases of `.git` and `.githooks`.
fn is_short_name(name: &str) -> bool {
    name.starts_with("git~") || name.starts_with("boxagn~")
}

/// The hook names of githooks(5), which run wherever `core.hooksPath` or a bare repository puts them.
fn is_git_hook(name: &str) -> bool {
    const HOOKS: [&str; 12] = [
        "applypatch-msg",
        "commit-msg",
        "post-checkout",
        "post-commit",
        "post-merge",
        "post-receive",
        "post-rewrite",
        "pre-commit",
        "pre-push",
        "pre-rebase",
        "prepare-commit-msg",
        "update",
    ];
    HOOKS.contains(&name)
}

/// Returns `name` as the most tolerant file system would compare it: compatibility-normalised, case-folded, without
/// ignorable characters (HFS+), alternate streams and trailing dots or spaces (Windows).
pub(crate) fn fold(name: &str) -> String {
    let visible: String = name.nfkd().filter(|character| !is_ignorable(*character)).collect();
    let folded: String = default_case_fold_str(&visible).nfkc().collect();
    let stem = folded.split(':').next().unwrap_or_default();
    stem.trim_end_matches(['.', ' ']).to_owned()
}

/// Characters that HFS+ ignores in names, and other default-ignorable ones (Unicode `Default_Ignorable_Code_Point`).
fn is_ignorable(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resolve(argument: &str) -> Result<String, InvalidPath> {
        resolve_argument(argument, ["/work", "/lib", "/lib/inner"].into_iter())
    }

    #[test]
    fn paths_resolve_below_their_mount() {
        let cases = [
            ("README.md", "/work/README.md"),
            ("./a//b/../c", "/work/a/c"),
            ("", "/work"),
            ("/work", "/work"),
            ("/lib/x", "/lib/x"),
            ("/lib/inner/x", "/lib/inner/x"),
        ];
        for (argument, expected) in cases {
            assert_eq!(resolve(argument), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn paths_outside_every_mount_are_refused() {
        for argument in ["/etc/passwd", "../x", "a/../../x", "/work/../etc/passwd", "/library", "/", "/lib/../work/x"] {
            assert_eq!(resolve(argument), Err(InvalidPath::Outside(argument.to_owned())));
        }
        assert_eq!(resolve("a\0b"), Err(InvalidPath::Nul));
    }

    #[test]
    fn protected_names_are_seen_in_every_spelling() {
        let spellings = [
            "/work/.git/config",
            "/work/.GIT/hooks/pre-commit",
            "/work/sub/.git",
            "/work/.Git./x",
            "/work/.git /x",
            "/work/.g\u{200c}it/config",
            "/work/.\u{ff47}it/x",
            "/work/.g\u{131}t/x".replace('\u{131}', "\u{ff29}").as_str(),
            "/work/git~1/config",
            "/work/.git::$INDEX_ALLOCATION/x",
            "/work/BOXAGNTS.toml",
            "/work/.BoxAgnts/x",
            "/work/bare.git/hooks/pre-commit",
            "/work/.githooks/pre-push",
            "/work/boxagnts.toml\u{feff}",
        ]
        .map(str::to_owned);
        for path in spellings {
            assert!(is_protected(&path), "{path}");
        }
        for path in
            ["/work/git/x", "/work/src/hooks/use_state.ts", "/work/.gitignore", "/work/.github/workflows/ci.yml"]
        {
            assert!(!is_protected(path), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_resolved_path_stays_in_a_mount(argument in "[a-z./]{0,24}") {
            if let Ok(path) = resolve(&argument) {
                prop_assert!(path.split('/').all(|name| name != ".." && name != "."));
                prop_assert!(["/work", "/lib"].iter().any(|mount| below(&path, mount).is_some()));
            }
        }
    }
}
