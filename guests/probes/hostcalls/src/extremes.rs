//! One request with an absurd number, length or text.

use bare::alloc::vec;
use bare::alloc::{format, string::String};

use crate::wasi::cli::{exit, stderr, stdin, stdout};
use crate::wasi::clocks::wall_clock::Datetime;
use crate::wasi::filesystem::types::{NewTimestamp, PathFlags};
use crate::wasi::io::streams::{InputStream, OutputStream, StreamError};
use crate::wasi::random::random::get_random_bytes;
use crate::{Mode, endless, make, mount, said};

/// One write of a flood.
const CHUNK_BYTES: usize = 64 << 10;

/// More than one host call carries.
const LARGE_BYTES: usize = 32 << 20;

/// Far beyond any path.
const LONG_BYTES: usize = 1 << 20;

pub(crate) const MODES: &[Mode] = &[
    endless!("flood-stdout", {
        let output = stdout::get_stdout();
        move || output.write(&[b'o'; CHUNK_BYTES])
    }),
    endless!("flood-stderr", {
        let output = stderr::get_stderr();
        move || output.write(&[b'e'; CHUNK_BYTES])
    }),
    endless!("flood-zeroes", {
        let output = stdout::get_stdout();
        move || output.write_zeroes(CHUNK_BYTES as u64)
    }),
    Mode { name: "flood-text", run: || "x".repeat(200 << 20) },
    Mode { name: "flood-at-once", run: || streamed(stdout::get_stdout().write(&vec![0; LARGE_BYTES])) },
    Mode { name: "extreme-zeroes", run: || streamed(stdout::get_stdout().write_zeroes(u64::MAX)) },
    Mode { name: "extreme-file-zeroes", run: || streamed(writer().write_zeroes(u64::MAX)) },
    Mode {
        name: "extreme-random",
        run: || {
            get_random_bytes(u64::MAX);
            "given".into()
        },
    },
    Mode { name: "extreme-read", run: || length(reader().read(u64::MAX)) },
    Mode { name: "extreme-blocking-read", run: || length(reader().blocking_read(u64::MAX)) },
    Mode { name: "extreme-skip", run: || counted(reader().skip(u64::MAX)) },
    Mode { name: "extreme-splice", run: || counted(stdout::get_stdout().splice(&reader(), u64::MAX)) },
    Mode { name: "extreme-splice-stdin", run: || counted(writer().blocking_splice(&stdin::get_stdin(), u64::MAX)) },
    Mode { name: "extreme-write", run: || file_write(LARGE_BYTES) },
    Mode {
        name: "extreme-times",
        run: || {
            let at = |seconds| NewTimestamp::Timestamp(Datetime { seconds, nanoseconds: u32::MAX });
            let file = make(&mount(), "f");
            said(file.and_then(|file| file.set_times(at(u64::MAX), at(u64::MAX))))
        },
    },
    Mode {
        name: "extreme-times-far",
        run: || {
            // The last second that a 64-bit `time_t` has.
            let at = NewTimestamp::Timestamp(Datetime { seconds: i64::MAX.unsigned_abs(), nanoseconds: 0 });
            let file = make(&mount(), "f");
            said(file.and_then(|file| {
                file.set_times(at, at)?;
                file.stat()
            }))
        },
    },
    Mode { name: "extreme-path", run: || said(mount().stat_at(PathFlags::empty(), &"d/".repeat(LONG_BYTES))) },
    Mode { name: "extreme-name", run: || said(mount().create_directory_at(&"d".repeat(LONG_BYTES))) },
    Mode { name: "extreme-target", run: || said(mount().symlink_at(&"d".repeat(LONG_BYTES), "link")) },
    Mode {
        name: "extreme-exit",
        run: || {
            exit::exit(Ok(()));
            "still here".into()
        },
    },
];

fn reader() -> InputStream {
    make(&mount(), "f").and_then(|file| file.read_via_stream(0)).expect("the test put a file there")
}

fn writer() -> OutputStream {
    make(&mount(), "g").and_then(|file| file.write_via_stream(0)).expect("the mount is writable")
}

fn file_write(bytes: usize) -> String {
    said(make(&mount(), "g").and_then(|file| file.write(&vec![0; bytes], 0)))
}

fn streamed(result: Result<(), StreamError>) -> String {
    counted(result.map(|()| 0))
}

fn length(result: Result<vec::Vec<u8>, StreamError>) -> String {
    counted(result.map(|bytes| bytes.len() as u64))
}

fn counted(result: Result<u64, StreamError>) -> String {
    match result {
        Ok(count) => format!("{count}"),
        Err(StreamError::Closed) => "closed".into(),
        Err(StreamError::LastOperationFailed(_)) => "failed".into(),
    }
}
