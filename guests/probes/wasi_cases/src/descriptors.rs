//! Descriptors themselves: their numbers, flags and rights.

use wasip1::{
    ADVICE_DONTNEED, ADVICE_NOREUSE, ADVICE_NORMAL, ADVICE_RANDOM, ADVICE_SEQUENTIAL, ADVICE_WILLNEED, ERRNO_BADF,
    FDFLAGS_APPEND, FDFLAGS_NONBLOCK, FILETYPE_DIRECTORY, FILETYPE_REGULAR_FILE, OFLAGS_CREAT, OFLAGS_DIRECTORY,
    OFLAGS_TRUNC, WHENCE_SET,
};

use crate::handle::{Handle, MOUNT_FD, READ, Result, WRITE, mount};
use crate::{Checked, cases, same};

cases!(
    close_preopen,
    dangling_fd,
    dir_fd_op_failures,
    directory_seek,
    fd_advise,
    fd_fdstat_set_rights,
    fd_filestat_get,
    fd_filestat_set,
    fd_flags_set,
    overwrite_preopen,
    path_open_nonblock,
    renumber,
    truncation_rights,
);

fn opened(path: &str) -> Result<Handle> {
    mount().open(path, OFLAGS_CREAT, READ | WRITE)
}

fn directory(path: &str) -> Result<Handle> {
    mount().open(path, OFLAGS_DIRECTORY, READ)
}

fn close_preopen() -> Checked {
    same!(unsafe { wasip1::fd_close(MOUNT_FD) }, Ok(()));
    same!(unsafe { wasip1::fd_fdstat_get(MOUNT_FD) }.map(drop), Err(ERRNO_BADF));
    same!(mount().open("f", OFLAGS_CREAT, READ | WRITE).map(drop), Err(ERRNO_BADF));
    Ok(())
}

/// A handle outlives its name.
fn dangling_fd() -> Checked {
    let file = opened("f")?;
    same!(file.write(b"one"), Ok(3));
    same!(mount().unlink("f"), Ok(()));
    same!(file.read_at(10, 0), Ok("one".into()));
    drop(file);
    same!(mount().create_directory("d"), Ok(()));
    let folder = directory("d")?;
    same!(mount().remove_directory("d"), Ok(()));
    same!(folder.open("f", OFLAGS_CREAT, READ | WRITE).map(drop), Err(wasip1::ERRNO_NOENT));
    same!(mount().create_directory("d"), Ok(()));
    Ok(())
}

fn dir_fd_op_failures() -> Checked {
    same!(mount().create_directory("d"), Ok(()));
    let folder = directory("d")?;
    same!(folder.read(1).is_err(), true);
    same!(folder.read_at(1, 0).is_err(), true);
    same!(folder.write(b"x").is_err(), true);
    same!(folder.write_at(b"x", 0).is_err(), true);
    same!(folder.tell().is_err(), true);
    same!(folder.set_size(0).is_err(), true);
    same!(unsafe { wasip1::fd_advise(folder.0, 0, 0, ADVICE_NORMAL) }.is_err(), true);
    same!(unsafe { wasip1::fd_allocate(folder.0, 0, 1) }.is_err(), true);
    Ok(())
}

fn directory_seek() -> Checked {
    same!(mount().create_directory("d"), Ok(()));
    same!(directory("d")?.seek(0, WHENCE_SET), Err(ERRNO_BADF));
    Ok(())
}

fn fd_advise() -> Checked {
    let file = opened("f")?;
    same!(file.set_size(100), Ok(()));
    let kinds = [ADVICE_NORMAL, ADVICE_SEQUENTIAL, ADVICE_RANDOM, ADVICE_WILLNEED, ADVICE_DONTNEED, ADVICE_NOREUSE];
    for advice in kinds {
        same!(unsafe { wasip1::fd_advise(file.0, 0, 100, advice) }, Ok(()));
        same!(unsafe { wasip1::fd_advise(file.0, 1 << 40, 1 << 40, advice) }, Ok(()));
    }
    same!(file.size(), Ok(100));
    Ok(())
}

/// Giving a right up for good.
fn fd_fdstat_set_rights() -> Checked {
    let file = opened("f")?;
    same!(unsafe { wasip1::fd_fdstat_set_rights(file.0, READ, 0) }, Ok(()));
    same!(file.write(b"x").is_err(), true);
    Ok(())
}

fn fd_filestat_get() -> Checked {
    let file = opened("f")?;
    same!(file.write(b"12345"), Ok(5));
    let stat = file.stat()?;
    same!((stat.filetype == FILETYPE_REGULAR_FILE, stat.size, stat.nlink), (true, 5, 1));
    same!(mount().stat().map(|stat| stat.filetype == FILETYPE_DIRECTORY), Ok(true));
    same!(mount().stat_at("f").map(|at| (at.dev, at.ino)), Ok((stat.dev, stat.ino)));
    Ok(())
}

fn fd_filestat_set() -> Checked {
    let file = opened("f")?;
    same!(file.set_size(100), Ok(()));
    same!(file.size(), Ok(100));
    let both = wasip1::FSTFLAGS_ATIM | wasip1::FSTFLAGS_MTIM;
    same!(unsafe { wasip1::fd_filestat_set_times(file.0, 1_000, 2_000, both) }, Ok(()));
    same!(file.stat().map(|stat| (stat.atim, stat.mtim, stat.size)), Ok((1_000, 2_000, 100)));
    same!(unsafe { wasip1::fd_filestat_set_times(file.0, 5, 0, wasip1::FSTFLAGS_ATIM) }, Ok(()));
    same!(file.stat().map(|stat| (stat.atim, stat.mtim)), Ok((5, 2_000)));
    Ok(())
}

fn fd_flags_set() -> Checked {
    let file = opened("f")?;
    same!(file.write(b"12345"), Ok(5));
    same!(file.set_flags(FDFLAGS_APPEND), Ok(()));
    same!(file.flags(), Ok(FDFLAGS_APPEND));
    same!(file.seek(0, WHENCE_SET), Ok(0));
    same!(file.write(b"67"), Ok(2));
    same!(file.read_at(10, 0), Ok("1234567".into()));
    same!(file.set_flags(0), Ok(()));
    same!(file.seek(0, WHENCE_SET), Ok(0));
    same!(file.write(b"ab"), Ok(2));
    same!(file.read_at(10, 0), Ok("ab34567".into()));
    Ok(())
}

fn overwrite_preopen() -> Checked {
    same!(mount().create_directory("d"), Ok(()));
    let folder = directory("d")?;
    same!(unsafe { wasip1::fd_renumber(folder.0, MOUNT_FD) }, Ok(()));
    same!(mount().put("inside", b"x"), Ok(()));
    same!(mount().stat_at("d").map(drop), Err(wasip1::ERRNO_NOENT));
    Ok(())
}

fn path_open_nonblock() -> Checked {
    same!(mount().create_directory("d"), Ok(()));
    // Either is allowed: the flag means nothing for what never blocks.
    let opened = mount().open_as("d", 0, OFLAGS_DIRECTORY, READ, FDFLAGS_NONBLOCK).map(drop);
    same!(opened.is_ok() || opened == Err(wasip1::ERRNO_NOTSUP), true);
    Ok(())
}

fn renumber() -> Checked {
    let (from, to) = (opened("f")?, opened("g")?);
    same!(from.write(b"from f"), Ok(6));
    same!(unsafe { wasip1::fd_renumber(from.0, to.0) }, Ok(()));
    same!(unsafe { wasip1::fd_fdstat_get(from.0) }.map(drop), Err(ERRNO_BADF));
    same!(to.read_at(10, 0), Ok("from f".into()));
    Ok(())
}

/// Cutting a file takes the right to write it.
fn truncation_rights() -> Checked {
    same!(mount().put("f", b"12345"), Ok(()));
    let reader = mount().open("f", 0, READ)?;
    same!(reader.set_size(0).is_err(), true);
    same!(reader.size(), Ok(5));
    let cut = mount().open("f", OFLAGS_TRUNC, WRITE)?;
    same!(cut.size(), Ok(0));
    Ok(())
}
