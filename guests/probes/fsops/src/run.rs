//! Runs a script.

use std::fs::{self, File, FileTimes, Metadata, OpenOptions};
use std::io::{Error, Read as _, Result, Seek as _, SeekFrom, Write as _};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::handles::Handles;
use crate::op::Op;

/// One write of `fill`.
const FILL_CHUNK_BYTES: usize = 64 * 1024;

/// Returns one result for each operation.
pub fn script(ops: &[Op]) -> Vec<Value> {
    let mut handles = Handles::default();
    ops.iter().map(|op| report(one(op, &mut handles))).collect()
}

fn report(result: Result<Value>) -> Value {
    match result {
        Ok(value) => json!({ "ok": value }),
        Err(error) => json!({ "err": format!("{:?}", error.kind()), "code": error.raw_os_error() }),
    }
}

fn one(op: &Op, handles: &mut Handles) -> Result<Value> {
    match op {
        Op::Write { path, data } => done(fs::write(path, data)),
        Op::CreateNew { path, data } => done(File::create_new(path)?.write_all(data.as_bytes())),
        Op::Fill { path, length } => done(fill(path, *length)),
        Op::Append { path, data, create } => {
            done(OpenOptions::new().append(true).create(*create).open(path)?.write_all(data.as_bytes()))
        }
        Op::WriteAt { path, offset, data } => done(write_at(path, *offset, data)),
        Op::Read { path } => Ok(text(&fs::read(path)?)),
        Op::ReadAt { path, offset, length } => read_at(path, *offset, *length),
        Op::Truncate { path } => done(OpenOptions::new().write(true).truncate(true).open(path).map(drop)),
        Op::SetLen { path, length } => done(OpenOptions::new().write(true).open(path)?.set_len(*length)),
        Op::Mkdir { path } => done(fs::create_dir(path)),
        Op::MkdirAll { path } => done(fs::create_dir_all(path)),
        Op::Rmdir { path } => done(fs::remove_dir(path)),
        Op::RmdirAll { path } => done(fs::remove_dir_all(path)),
        Op::Unlink { path } => done(fs::remove_file(path)),
        Op::Rename { path, to } => done(fs::rename(path, to)),
        Op::Symlink { path, target } => done(symlink(target, path)),
        Op::Readlink { path } => Ok(json!(fs::read_link(path)?)),
        Op::Link { path, to } => done(fs::hard_link(path, to)),
        Op::Stat { path } => Ok(stat(&fs::metadata(path)?)),
        Op::Lstat { path } => Ok(stat(&fs::symlink_metadata(path)?)),
        Op::List { path } => list(path, true),
        Op::ListUnsorted { path } => list(path, false),
        Op::Exists { path } => Ok(json!(fs::exists(path)?)),
        Op::Canonicalize { path } => Ok(json!(fs::canonicalize(path)?)),
        Op::Copy { path, to } => Ok(json!(fs::copy(path, to)?)),
        Op::SetTimes { path, accessed_ns, modified_ns } => done(set_times(path, *accessed_ns, *modified_ns)),
        Op::Open { handle, path, mode } => done(handles.open(handle, path, mode)),
        Op::Close { handle } => done(handles.close(handle)),
        Op::HandleRead { handle, length } => read_some(handles.get(handle)?, *length),
        Op::HandleWrite { handle, data } => done(handles.get(handle)?.write_all(data.as_bytes())),
        Op::HandleSeek { handle, offset } => Ok(json!(handles.get(handle)?.seek(SeekFrom::Start(*offset))?)),
        Op::HandleSetLen { handle, length } => done(handles.get(handle)?.set_len(*length)),
        Op::HandleStat { handle } => Ok(stat(&handles.get(handle)?.metadata()?)),
        Op::HandleSync { handle } => done(handles.get(handle)?.sync_all()),
    }
}

fn done(result: Result<()>) -> Result<Value> {
    result.map(|()| Value::Null)
}

fn text(bytes: &[u8]) -> Value {
    json!(String::from_utf8_lossy(bytes))
}

fn fill(path: &str, length: u64) -> Result<()> {
    let mut file = File::create(path)?;
    let chunk = vec![b'x'; FILL_CHUNK_BYTES];
    let mut left = length;
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(FILL_CHUNK_BYTES);
        file.write_all(&chunk[..size])?;
        left -= size as u64;
    }
    Ok(())
}

fn write_at(path: &str, offset: u64, data: &str) -> Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(data.as_bytes())
}

fn read_at(path: &str, offset: u64, length: u64) -> Result<Value> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    read_some(&mut file, length)
}

fn read_some(file: &mut File, length: u64) -> Result<Value> {
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(text(&bytes))
}

#[expect(deprecated, reason = "the only stable way to a symbolic link on WASI")]
fn symlink(target: &str, path: &str) -> Result<()> {
    fs::soft_link(target, path)
}

fn stat(metadata: &Metadata) -> Value {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    json!({
        "kind": kind(metadata.file_type()),
        "length": metadata.len(),
        "mtime_ns": modified.map(|since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)),
    })
}

fn kind(file_type: fs::FileType) -> &'static str {
    match file_type {
        kind if kind.is_dir() => "dir",
        kind if kind.is_file() => "file",
        kind if kind.is_symlink() => "symlink",
        _ => "other",
    }
}

fn list(path: &str, sorted: bool) -> Result<Value> {
    let mut names = fs::read_dir(path)?.map(entry).collect::<Result<Vec<_>>>()?;
    if sorted {
        names.sort_unstable();
    }
    Ok(json!(names))
}

fn entry(entry: Result<fs::DirEntry>) -> Result<String> {
    let entry = entry?;
    let mark = match kind(entry.file_type()?) {
        "dir" => "/",
        "symlink" => "@",
        "other" => "?",
        _ => "",
    };
    Ok(format!("{}{mark}", entry.file_name().to_string_lossy()))
}

fn set_times(path: &str, accessed_ns: u64, modified_ns: u64) -> Result<()> {
    let at = |nanoseconds| {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanoseconds)).ok_or_else(|| Error::other("time"))
    };
    let times = FileTimes::new().set_accessed(at(accessed_ns)?).set_modified(at(modified_ns)?);
    OpenOptions::new().write(true).open(path)?.set_times(times)
}
