//! What the library `fs` does with files: always at once, within the mounts, and on the stage like any other tool.

use std::fs::{self, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::time::SystemTime;

use boa_engine::object::builtins::JsArray;
use boa_engine::{Context, JsArgs as _, JsError, JsNativeError, JsResult, JsString, JsValue, js_string};
use kit::locate;

use crate::bytes;
use crate::library::Native;
use crate::modules::HOME;

/// What the program's libraries use of this module.
pub const NATIVES: &[Native] = &[
    ("read", 1, read),
    ("write", 3, write),
    ("list", 1, list),
    ("stat", 2, stat),
    ("access", 1, access),
    ("mkdir", 2, mkdir),
    ("rm", 3, rm),
    ("rmdir", 1, rmdir),
    ("unlink", 1, unlink),
    ("rename", 2, rename),
    ("copy", 2, copy),
];

/// A file operation as Node names it in messages.
struct Operation {
    name: &'static str,
    path: String,
    target: Option<String>,
}

impl Operation {
    fn on(name: &'static str, args: &[JsValue], context: &mut Context) -> JsResult<Self> {
        Self { name, path: path(args.get_or_undefined(0), context)?, target: None }.checked(context)
    }

    fn between(name: &'static str, args: &[JsValue], context: &mut Context) -> JsResult<Self> {
        let target = Some(path(args.get_or_undefined(1), context)?);
        Self { name, path: path(args.get_or_undefined(0), context)?, target }.checked(context)
    }

    /// Refuses paths that the libc would take for others: an empty one for the current directory, and an absolute one
    /// outside every mount for one in the workspace.
    fn checked(self, context: &mut Context) -> JsResult<Self> {
        let paths = [Some(&self.path), self.target.as_ref()];
        let any = |is_wrong: fn(&str) -> bool| paths.iter().flatten().any(|path| is_wrong(path));
        match (any(str::is_empty), any(is_outside)) {
            (true, _) => Err(self.failed(&ErrorKind::NotFound.into(), context)),
            (_, true) => Err(self.failed(&ErrorKind::PermissionDenied.into(), context)),
            _ => Ok(self),
        }
    }

    fn from(&self) -> String {
        locate(&self.path)
    }

    fn to(&self) -> String {
        self.target.as_deref().map(locate).unwrap_or_default()
    }

    /// Returns the error of Node for `error`.
    fn failed(&self, error: &io::Error, context: &mut Context) -> JsError {
        let Problem { code, meaning } = problem(error);
        let target = self.target.as_ref().map(|target| format!(" -> '{target}'")).unwrap_or_default();
        let message = format!("{code}: {meaning}, {} '{}'{target}", self.name, self.path);
        let native = JsNativeError::error().with_message(message);
        let object = native.into_opaque(context);
        let facts = [
            ("code", Some(code)),
            ("syscall", Some(self.name)),
            ("path", Some(&*self.path)),
            ("dest", self.target.as_deref()),
        ];
        for (name, value) in facts {
            if let Some(value) = value {
                object
                    .create_data_property(JsString::from(name), JsString::from(value), context)
                    .expect("the error is new and takes properties");
            }
        }
        JsError::from_opaque(object.into())
    }

    fn result<T>(&self, result: io::Result<T>, context: &mut Context) -> JsResult<T> {
        result.map_err(|error| self.failed(&error, context))
    }

    fn done(&self, result: io::Result<()>, context: &mut Context) -> JsResult<JsValue> {
        self.result(result, context).map(|()| JsValue::undefined())
    }
}

fn path(value: &JsValue, context: &mut Context) -> JsResult<String> {
    Ok(value.to_string(context)?.to_std_string_lossy())
}

/// Tells whether an absolute path lies in no mount. The workspace is one; of another it shows in that what lies above it
/// is refused, where it is the workspace for a directory there.
pub fn is_outside(path: &str) -> bool {
    if !path.starts_with('/') || !cfg!(target_arch = "wasm32") {
        return false;
    }
    let Some(mount) = path.split('/').find(|part| !part.is_empty()) else { return true };
    let is_refused = |error: io::Error| problem(&error).meaning == OUTSIDE || problem(&error).code == "EPERM";
    format!("/{mount}") != HOME && !fs::metadata(format!("/{mount}/..")).is_err_and(is_refused)
}

/// An error as Node calls it.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    code: &'static str,
    meaning: &'static str,
}

/// Errors of WASI 0.1 that std knows no kind of, by their number.
const NUMBERED: [(i32, &str, &str); 5] = [
    (32, "ELOOP", "too many symbolic links encountered"),
    (33, "EMFILE", "too many open files"),
    (55, "ENOTEMPTY", "directory not empty"),
    (63, "EPERM", "operation not permitted"),
    (76, "EACCES", OUTSIDE),
];

const OUTSIDE: &str = "permission denied: it is outside what this program may use";

fn problem(error: &io::Error) -> Problem {
    let number = error.raw_os_error().filter(|_| cfg!(target_arch = "wasm32"));
    if let Some((_, code, meaning)) = NUMBERED.iter().find(|(known, ..)| Some(*known) == number) {
        return Problem { code, meaning };
    }
    let (code, meaning) = match error.kind() {
        ErrorKind::NotFound => ("ENOENT", "no such file or directory"),
        ErrorKind::AlreadyExists => ("EEXIST", "file already exists"),
        ErrorKind::IsADirectory => ("EISDIR", "illegal operation on a directory"),
        ErrorKind::NotADirectory => ("ENOTDIR", "not a directory"),
        ErrorKind::DirectoryNotEmpty => ("ENOTEMPTY", "directory not empty"),
        ErrorKind::PermissionDenied => ("EACCES", OUTSIDE),
        ErrorKind::ReadOnlyFilesystem => ("EROFS", "read-only file system"),
        ErrorKind::CrossesDevices => ("EXDEV", "cross-device link not permitted"),
        ErrorKind::StorageFull => ("ENOSPC", "no space left on device"),
        ErrorKind::QuotaExceeded => ("EDQUOT", "disk quota exceeded"),
        ErrorKind::FileTooLarge => ("EFBIG", "file too large"),
        ErrorKind::InvalidInput | ErrorKind::InvalidFilename => ("EINVAL", "invalid argument"),
        ErrorKind::Unsupported => ("ENOTSUP", "operation not supported"),
        _ => ("EIO", "i/o error"),
    };
    Problem { code, meaning }
}

fn read(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let operation = Operation::on("open", args, context)?;
    // WASI opens a directory and only then refuses to read it; Node says so of the reading too.
    let operation = if fs::metadata(operation.from()).is_ok_and(|metadata| metadata.is_dir()) {
        Operation { name: "read", ..operation }
    } else {
        operation
    };
    let data = operation.result(read_file(&operation), context)?;
    bytes::array(&data, context)
}

fn read_file(operation: &Operation) -> io::Result<Vec<u8>> {
    if operation.name == "read" { Err(ErrorKind::IsADirectory.into()) } else { fs::read(operation.from()) }
}

fn write(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let operation = Operation::on("open", args, context)?;
    let data = bytes::of(args.get_or_undefined(1), context)?;
    let flag = path(args.get_or_undefined(2), context)?;
    let mut options = OpenOptions::new();
    match flag.as_str() {
        "w" => options.write(true).create(true).truncate(true),
        "wx" => options.write(true).create_new(true),
        "a" => options.append(true).create(true),
        "r+" => options.write(true),
        _ => {
            return Err(JsNativeError::typ()
                .with_message(format!("Unknown flag: {flag}; there are w, wx, a, r+"))
                .into());
        }
    };
    let written = options.open(operation.from()).and_then(|mut file| file.write_all(&data));
    operation.done(written, context)
}

/// Returns the entries of a directory by name, each with its kind.
fn list(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let operation = Operation::on("scandir", args, context)?;
    let found = operation.result(entries(&operation.from()), context)?;
    let pairs: Vec<_> = found
        .into_iter()
        .map(|(name, kind)| JsArray::from_iter([js_string!(name).into(), js_string!(kind).into()], context).into())
        .collect();
    Ok(JsArray::from_iter(pairs, context).into())
}

fn entries(path: &str) -> io::Result<Vec<(String, &'static str)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        found.push((entry.file_name().to_string_lossy().into_owned(), kind(entry.file_type()?)));
    }
    found.sort();
    Ok(found)
}

fn kind(file_type: FileType) -> &'static str {
    match file_type {
        kind if kind.is_dir() => "directory",
        kind if kind.is_symlink() => "link",
        kind if kind.is_file() => "file",
        _ => "other",
    }
}

fn stat(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let follow = args.get_or_undefined(1).to_boolean();
    let operation = Operation::on(if follow { "stat" } else { "lstat" }, args, context)?;
    let path = operation.from();
    let metadata = if follow { fs::metadata(path) } else { fs::symlink_metadata(path) };
    let metadata = operation.result(metadata, context)?;
    let facts = facts(&metadata);
    Ok(JsArray::from_iter(facts, context).into())
}

/// Returns the kind, the size in bytes, and when it was read, written and made, in milliseconds.
fn facts(metadata: &Metadata) -> [JsValue; 5] {
    let milliseconds = |time: io::Result<SystemTime>| {
        let since = time.ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        JsValue::from(since.map_or(0.0, |since| since.as_secs_f64() * 1_000.0))
    };
    let kind = js_string!(kind(metadata.file_type()));
    let written = milliseconds(metadata.modified());
    let made = metadata.created().map_or_else(|_| written.clone(), |time| milliseconds(Ok(time)));
    [kind.into(), metadata.len().into(), milliseconds(metadata.accessed()), written, made]
}

fn access(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let operation = Operation::on("access", args, context)?;
    operation.done(fs::metadata(operation.from()).map(drop), context)
}

fn mkdir(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let operation = Operation::on("mkdir", args, context)?;
    let path = operation.from();
    let made = if args.get_or_undefined(1).to_boolean() { fs::create_dir_all(path) } else { fs::create_dir(path) };
    operation.done(made, context)
}

fn rm(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let operation = Operation::on("rm", args, context)?;
    let [recursive, force] = [1, 2].map(|index| args.get_or_undefined(index).to_boolean());
    let removed = match remove(&operation.from(), recursive) {
        Err(error) if force && error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    operation.done(removed, context)
}

fn remove(path: &str, recursive: bool) -> io::Result<()> {
    match fs::symlink_metadata(path)?.is_dir() {
        true if recursive => fs::remove_dir_all(path),
        true => Err(ErrorKind::IsADirectory.into()),
        false => fs::remove_file(path),
    }
}

fn rmdir(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let operation = Operation::on("rmdir", args, context)?;
    operation.done(fs::remove_dir(operation.from()), context)
}

fn unlink(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let operation = Operation::on("unlink", args, context)?;
    operation.done(fs::remove_file(operation.from()), context)
}

fn rename(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let operation = Operation::between("rename", args, context)?;
    operation.done(fs::rename(operation.from(), operation.to()), context)
}

fn copy(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let operation = Operation::between("copyfile", args, context)?;
    operation.done(fs::copy(operation.from(), operation.to()).map(drop), context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_named_as_node_names_them() {
        for (kind, code) in [
            (ErrorKind::NotFound, "ENOENT"),
            (ErrorKind::AlreadyExists, "EEXIST"),
            (ErrorKind::PermissionDenied, "EACCES"),
            (ErrorKind::DirectoryNotEmpty, "ENOTEMPTY"),
            (ErrorKind::Other, "EIO"),
        ] {
            assert_eq!(problem(&kind.into()).code, code);
        }
    }

    #[test]
    fn entries_are_sorted_and_have_kinds() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        fs::write(folder.path().join("c"), "").unwrap();
        std::os::unix::fs::symlink("c", folder.path().join("a")).unwrap();
        let found = entries(folder.path().to_str().unwrap()).unwrap();
        let expected = [("a", "link"), ("b", "directory"), ("c", "file")].map(|(name, kind)| (name.to_owned(), kind));
        assert_eq!(found, expected);
    }
}
