//! Opening, and odd paths.

use wasip1::{
    ERRNO_EXIST, ERRNO_ILSEQ, ERRNO_INVAL, ERRNO_NAMETOOLONG, ERRNO_NOENT, ERRNO_NOTDIR, ERRNO_PERM,
    FILETYPE_DIRECTORY, FILETYPE_REGULAR_FILE, OFLAGS_CREAT, OFLAGS_DIRECTORY, OFLAGS_EXCL,
};

use crate::handle::{READ, WRITE, mount};
use crate::{Checked, cases, same};

cases!(
    interesting_paths,
    long_names,
    path_exists,
    path_filestat,
    path_open_create_existing,
    path_open_dirfd_not_dir,
    path_open_lots,
    path_open_missing,
    path_open_preopen,
    path_open_read_write,
    path_with_nul,
);

fn interesting_paths() -> Checked {
    let mount = mount();
    let opens = |path: &str| mount.open(path, 0, READ).map(drop);
    same!(mount.create_directory("d"), Ok(()));
    same!(mount.create_directory("d/nested"), Ok(()));
    same!(mount.put("d/nested/file", b"x"), Ok(()));
    for path in ["d/nested/file", "./d/./nested/file", "d//nested///file", "d/nested/../../d/nested/file"] {
        same!(opens(path), Ok(()));
    }
    same!(opens("/d/nested/file"), Err(ERRNO_PERM));
    same!(opens("../d/nested/file"), Err(ERRNO_PERM));
    same!(opens("d/../../d/nested/file"), Err(ERRNO_PERM));
    same!(opens("d/nested/file/"), Err(ERRNO_NOTDIR));
    same!(opens("d/nested/file/."), Err(ERRNO_NOTDIR));
    same!(opens(""), Err(ERRNO_NOENT));
    same!(mount.open("d/nested/", OFLAGS_DIRECTORY, READ).map(drop), Ok(()));
    same!(mount.open("d/nested/..///.", OFLAGS_DIRECTORY, READ).map(drop), Ok(()));
    Ok(())
}

fn long_names() -> Checked {
    let mount = mount();
    same!(mount.put(&"n".repeat(255), b""), Ok(()));
    same!(mount.put(&"n".repeat(256), b""), Err(ERRNO_NAMETOOLONG));
    same!(mount.stat_at(&"d/".repeat(4_000)).map(drop), Err(ERRNO_NAMETOOLONG));
    Ok(())
}

fn path_with_nul() -> Checked {
    let refused = mount().open("f\0g", OFLAGS_CREAT, READ | WRITE).map(drop);
    same!(refused == Err(ERRNO_INVAL) || refused == Err(ERRNO_ILSEQ), true);
    Ok(())
}

fn path_exists() -> Checked {
    let mount = mount();
    let kind = |path: &str| mount.stat_following(path).map(|stat| stat.filetype);
    same!(mount.create_directory("d"), Ok(()));
    same!(mount.put("d/f", b""), Ok(()));
    same!(kind("d"), Ok(FILETYPE_DIRECTORY));
    same!(kind("d/"), Ok(FILETYPE_DIRECTORY));
    same!(kind("d/f"), Ok(FILETYPE_REGULAR_FILE));
    same!(kind("d/missing"), Err(ERRNO_NOENT));
    same!(kind("d/f/x"), Err(ERRNO_NOTDIR));
    Ok(())
}

fn path_filestat() -> Checked {
    let mount = mount();
    same!(mount.put("f", b"12345"), Ok(()));
    same!(mount.stat_at("f").map(|stat| (stat.size, stat.nlink)), Ok((5, 1)));
    same!(mount.set_times_at("f", 1_000, 2_000), Ok(()));
    same!(mount.stat_at("f").map(|stat| (stat.atim, stat.mtim)), Ok((1_000, 2_000)));
    same!(mount.set_times_at("missing", 1, 1), Err(ERRNO_NOENT));
    Ok(())
}

fn path_open_create_existing() -> Checked {
    let mount = mount();
    same!(mount.open("f", OFLAGS_CREAT | OFLAGS_EXCL, READ | WRITE).map(drop), Ok(()));
    same!(mount.open("f", OFLAGS_CREAT | OFLAGS_EXCL, READ | WRITE).map(drop), Err(ERRNO_EXIST));
    same!(mount.open("f", OFLAGS_CREAT, READ | WRITE).map(drop), Ok(()));
    Ok(())
}

fn path_open_dirfd_not_dir() -> Checked {
    let mount = mount();
    let file = mount.open("f", OFLAGS_CREAT, READ | WRITE)?;
    same!(file.open("g", OFLAGS_CREAT, READ | WRITE).map(drop), Err(ERRNO_NOTDIR));
    Ok(())
}

/// More than an adapter has room for, one after the other.
fn path_open_lots() -> Checked {
    let mount = mount();
    for _ in 0..2_000 {
        same!(mount.open("f", OFLAGS_CREAT, READ | WRITE).map(drop), Ok(()));
    }
    Ok(())
}

fn path_open_missing() -> Checked {
    same!(mount().open("missing", 0, READ).map(drop), Err(ERRNO_NOENT));
    same!(mount().open("missing/f", OFLAGS_CREAT, READ | WRITE).map(drop), Err(ERRNO_NOENT));
    Ok(())
}

fn path_open_preopen() -> Checked {
    let mount = mount();
    same!(mount.open(".", OFLAGS_DIRECTORY, READ).map(drop), Ok(()));
    same!(mount.open(".", 0, READ).map(drop), Ok(()));
    same!(mount.open(".", 0, READ | WRITE).is_err(), true);
    Ok(())
}

fn path_open_read_write() -> Checked {
    let mount = mount();
    same!(mount.put("f", b"12345"), Ok(()));
    let reader = mount.open("f", 0, READ)?;
    same!(reader.read(10), Ok("12345".into()));
    same!(reader.write(b"x").is_err(), true);
    let writer = mount.open("f", 0, WRITE)?;
    same!(writer.read(10).is_err(), true);
    same!(writer.write(b"abc"), Ok(3));
    same!(reader.read_at(10, 0), Ok("abc45".into()));
    Ok(())
}
