//! `realpath` and `readlink`.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::Invocation;
use crate::options::Spec;
use crate::report::{Outcome, complain, reason};

const REALPATH: Spec = Spec::new(
    "e/canonicalize-existing m/canonicalize-missing s/strip/no-symlinks q/quiet z/zero relative-to= relative-base= L/logical \
     P/physical",
);

/// Links within links: as many as Linux follows.
const MAX_LINKS: usize = 40;

/// How much of a path must exist.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    All,
    AllButLast,
    Nothing,
}

pub(crate) fn realpath(invocation: &mut Invocation<'_>) -> Outcome {
    let options = REALPATH.parse(invocation.args)?;
    if options.operands.is_empty() {
        return Err(REALPATH.wrong("realpath", "missing operand"));
    }
    let existing = match (options.has("e"), options.has("m")) {
        (true, _) => Existing::All,
        (_, true) => Existing::Nothing,
        _ => Existing::AllButLast,
    };
    let end = if options.has("z") { '\0' } else { '\n' };
    let mut code = 0;
    for operand in &options.operands {
        let path = invocation.path(operand);
        let resolved = if operand.is_empty() {
            Err(io::ErrorKind::NotFound.into())
        } else if options.has("s") {
            Ok(lexical(&path))
        } else {
            resolve(&path, existing)
        };
        match resolved {
            Ok(path) => {
                let shown = match options.value("relative-to") {
                    Some(base) => {
                        relative_to(&path, &resolve(&invocation.path(base), Existing::Nothing).unwrap_or_default())
                    }
                    None => path.display().to_string(),
                };
                write!(invocation.stdout, "{shown}{end}")?;
            }
            Err(error) => {
                code = 1;
                if !options.has("q") {
                    complain(invocation, format_args!("{operand}: {}", reason(&error)));
                }
            }
        }
    }
    Ok(code)
}

const READLINK: Spec = Spec::new(
    "f/canonicalize e/canonicalize-existing m/canonicalize-missing n/no-newline q/quiet s/silent v/verbose z/zero",
);

pub(crate) fn readlink(invocation: &mut Invocation<'_>) -> Outcome {
    let options = READLINK.parse(invocation.args)?;
    if options.operands.is_empty() {
        return Err(READLINK.wrong("readlink", "missing operand"));
    }
    let existing = options.found.iter().rev().find_map(|found| match found.name {
        "f" => Some(Existing::AllButLast),
        "e" => Some(Existing::All),
        "m" => Some(Existing::Nothing),
        _ => None,
    });
    let end = match (options.has("n") && options.operands.len() == 1, options.has("z")) {
        (true, _) => "",
        (_, true) => "\0",
        _ => "\n",
    };
    let mut code = 0;
    for operand in &options.operands {
        let path = invocation.path(operand);
        let found = match existing {
            Some(existing) => resolve(&path, existing),
            None => std::fs::read_link(&path),
        };
        match found {
            Ok(path) => write!(invocation.stdout, "{}{end}", path.display())?,
            Err(error) => {
                code = 1;
                if options.has("v") {
                    complain(invocation, format_args!("{operand}: {}", reason(&error)));
                }
            }
        }
    }
    Ok(code)
}

/// Returns a path without `.` and `..`, links unread.
fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::Normal(name) => clean.push(name),
            _ => {}
        }
    }
    clean
}

fn resolve(path: &Path, existing: Existing) -> io::Result<PathBuf> {
    let mut resolved = PathBuf::from("/");
    let mut waiting: Vec<String> = parts(path);
    let mut links = 0;
    while let Some(part) = waiting.pop() {
        if part == ".." {
            resolved.pop();
            continue;
        }
        let next = resolved.join(&part);
        match next.symlink_metadata() {
            Ok(found) if found.is_symlink() => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(io::Error::other("Too many levels of symbolic links"));
                }
                let target = std::fs::read_link(&next)?;
                if target.is_absolute() {
                    resolved = PathBuf::from("/");
                }
                waiting.extend(parts(&target));
            }
            Ok(found) if !found.is_dir() && !waiting.is_empty() && existing != Existing::Nothing => {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Ok(_) => resolved = next,
            Err(error) => {
                let tolerated = match existing {
                    Existing::All => false,
                    Existing::AllButLast => waiting.is_empty() && error.kind() == io::ErrorKind::NotFound,
                    Existing::Nothing => true,
                };
                if !tolerated {
                    return Err(error);
                }
                resolved = next;
            }
        }
    }
    Ok(resolved)
}

/// Returns the parts of a path, the last one first.
fn parts(path: &Path) -> Vec<String> {
    let named = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        Component::ParentDir => Some("..".to_owned()),
        _ => None,
    });
    named.collect()
}

/// Returns how `path` is reached from `base`.
pub(super) fn relative_to(path: &Path, base: &Path) -> String {
    let (path, base) = (lexical(path), lexical(base));
    let shared = path.components().zip(base.components()).take_while(|(left, right)| left == right).count();
    let up = base.components().skip(shared).map(|_| "..".to_owned());
    let down = path.components().skip(shared).map(|part| part.as_os_str().to_string_lossy().into_owned());
    let parts: Vec<String> = up.chain(down).collect();
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}
