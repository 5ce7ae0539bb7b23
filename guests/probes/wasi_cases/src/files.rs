//! Contents: sizes, offsets, reading and writing.

use wasip1::{ERRNO_INVAL, FDFLAGS_APPEND, OFLAGS_CREAT, OFLAGS_TRUNC, WHENCE_CUR, WHENCE_END, WHENCE_SET};

use crate::handle::{Handle, READ, Result, WRITE, mount};
use crate::{Checked, cases, same};

cases!(
    fd_sync,
    file_allocate,
    file_append,
    file_pread_pwrite,
    file_read_write,
    file_seek_tell,
    file_sparse,
    file_truncation,
    file_truncation_rdonly,
    file_unbuffered_write,
    file_write,
);

fn opened() -> Result<Handle> {
    mount().open("f", OFLAGS_CREAT, READ | WRITE)
}

fn fd_sync() -> Checked {
    let file = opened()?;
    same!(file.write(b"x"), Ok(1));
    same!(unsafe { wasip1::fd_sync(file.0) }, Ok(()));
    same!(unsafe { wasip1::fd_datasync(file.0) }, Ok(()));
    Ok(())
}

fn file_allocate() -> Checked {
    let file = opened()?;
    same!(unsafe { wasip1::fd_allocate(file.0, 0, 100) }, Ok(()));
    same!(file.size(), Ok(100));
    same!(unsafe { wasip1::fd_allocate(file.0, 10, 10) }, Ok(()));
    same!(file.size(), Ok(100));
    Ok(())
}

fn file_append() -> Checked {
    same!(mount().put("f", b"12345"), Ok(()));
    let file = mount().open_as("f", 0, 0, READ | WRITE, FDFLAGS_APPEND)?;
    same!(file.write(b"67"), Ok(2));
    same!(file.read_at(10, 0), Ok("1234567".into()));
    Ok(())
}

fn file_pread_pwrite() -> Checked {
    let file = opened()?;
    same!(file.write_at(&[0, 1, 2, 3], 0), Ok(4));
    same!(file.tell(), Ok(0));
    same!(file.read_at(4, 0), Ok("\0\u{1}\u{2}\u{3}".into()));
    same!(file.read_at(4, 2), Ok("\u{2}\u{3}".into()));
    same!(file.read_at(4, 4), Ok(String::new()));
    same!(file.write_at(&[4, 5], 2), Ok(2));
    same!(file.read_at(4, 0), Ok("\0\u{1}\u{4}\u{5}".into()));
    Ok(())
}

fn file_read_write() -> Checked {
    let file = opened()?;
    same!(file.read(10), Ok(String::new()));
    same!(file.write(b"0123"), Ok(4));
    same!(file.write(b"4567"), Ok(4));
    same!(file.seek(2, WHENCE_SET), Ok(2));
    same!(file.read(3), Ok("234".into()));
    same!(file.write(b"ab"), Ok(2));
    same!(file.read(10), Ok("7".into()));
    same!(file.read_at(10, 0), Ok("01234ab7".into()));
    Ok(())
}

fn file_seek_tell() -> Checked {
    let file = opened()?;
    same!(file.tell(), Ok(0));
    same!(file.write(&[0; 100]), Ok(100));
    same!(file.tell(), Ok(100));
    same!(file.seek(-50, WHENCE_CUR), Ok(50));
    same!(file.seek(0, WHENCE_END), Ok(100));
    same!(file.seek(-10, WHENCE_END), Ok(90));
    same!(file.seek(1_000, WHENCE_SET), Ok(1_000));
    same!(file.size(), Ok(100));
    same!(file.seek(-2_000, WHENCE_CUR), Err(ERRNO_INVAL));
    same!(file.tell(), Ok(1_000));
    Ok(())
}

fn file_sparse() -> Checked {
    let file = opened()?;
    same!(file.write_at(b"end", 1_000), Ok(3));
    same!(file.size(), Ok(1_003));
    same!(file.read_at(2, 500), Ok("\0\0".into()));
    Ok(())
}

fn file_truncation() -> Checked {
    same!(mount().put("f", b"12345"), Ok(()));
    let again = mount().open("f", OFLAGS_CREAT | OFLAGS_TRUNC, READ | WRITE)?;
    same!(again.read(10), Ok(String::new()));
    Ok(())
}

/// Cutting needs the right to write, at opening too.
fn file_truncation_rdonly() -> Checked {
    same!(mount().put("f", b"12345"), Ok(()));
    same!(mount().open("f", OFLAGS_TRUNC, READ).is_err(), true);
    same!(mount().open("f", 0, READ).and_then(|file| file.read(10)), Ok("12345".into()));
    Ok(())
}

/// What one descriptor wrote, another sees at once.
fn file_unbuffered_write() -> Checked {
    let (writer, reader) = (opened()?, mount().open("f", 0, READ)?);
    same!(writer.write(&[1]), Ok(1));
    same!(reader.read(10), Ok("\u{1}".into()));
    Ok(())
}

fn file_write() -> Checked {
    let file = opened()?;
    let mut written = 0;
    while written < 1_000_000 {
        written += file.write(&[b'x'; 50_000])?;
    }
    same!(file.size(), Ok(written as u64));
    Ok(())
}
