//! Directories: listing, making, removing, moving.

use wasip1::{
    ERRNO_EXIST, ERRNO_INVAL, ERRNO_ISDIR, ERRNO_NOENT, ERRNO_NOTDIR, ERRNO_NOTEMPTY, FILETYPE_DIRECTORY,
    FILETYPE_REGULAR_FILE, OFLAGS_CREAT, OFLAGS_DIRECTORY,
};

use crate::handle::{READ, WRITE, mount};
use crate::{Checked, cases, same};

cases!(
    fd_readdir,
    path_rename,
    path_rename_dir_trailing_slashes,
    path_rename_file_trailing_slashes,
    remove_directory,
    remove_directory_trailing_slashes,
    remove_nonempty_directory,
    unlink_file_trailing_slashes,
);

/// Room for every entry of these cases.
const ROOM_BYTES: usize = 4096;

fn fd_readdir() -> Checked {
    let mount = mount();
    let names = |cookie, bytes| {
        let (entries, used) = mount.entries(bytes, cookie)?;
        Ok((entries.into_iter().map(|(name, kind, _)| (name, kind)).collect::<Vec<_>>(), used))
    };
    let folder = FILETYPE_DIRECTORY.raw();
    let own = [(".".to_owned(), folder), ("..".to_owned(), folder)];
    same!(names(0, ROOM_BYTES).map(|(names, _)| names), Ok::<_, wasip1::Errno>(own.to_vec()));
    same!(mount.put("file", b"x"), Ok(()));
    same!(mount.create_directory("nested"), Ok(()));
    let file = ("file".to_owned(), FILETYPE_REGULAR_FILE.raw());
    let all = [&own[..], &[file, ("nested".to_owned(), folder)]].concat();
    same!(names(0, ROOM_BYTES).map(|(names, _)| names), Ok::<_, wasip1::Errno>(all.clone()));
    // From each cookie the rest follows.
    let (entries, _) = mount.entries(ROOM_BYTES, 0)?;
    for (at, (_, _, next)) in entries.iter().enumerate() {
        same!(names(*next, ROOM_BYTES).map(|(names, _)| names), Ok::<_, wasip1::Errno>(all[at + 1..].to_vec()));
    }
    // A buffer that is filled says that there is more.
    same!(names(0, 30).map(|(_, used)| used), Ok::<_, wasip1::Errno>(30));
    Ok(())
}

fn remove_directory() -> Checked {
    let mount = mount();
    same!(mount.create_directory("d"), Ok(()));
    same!(mount.create_directory("d"), Err(ERRNO_EXIST));
    same!(mount.unlink("d").is_err(), true);
    same!(mount.remove_directory("d"), Ok(()));
    same!(mount.remove_directory("d"), Err(ERRNO_NOENT));
    same!(mount.put("f", b""), Ok(()));
    same!(mount.remove_directory("f"), Err(ERRNO_NOTDIR));
    Ok(())
}

fn remove_directory_trailing_slashes() -> Checked {
    let mount = mount();
    same!(mount.create_directory("d"), Ok(()));
    same!(mount.remove_directory("d/"), Ok(()));
    same!(mount.create_directory("d"), Ok(()));
    same!(mount.remove_directory("d///"), Ok(()));
    same!(mount.put("f", b""), Ok(()));
    same!(mount.remove_directory("f/"), Err(ERRNO_NOTDIR));
    Ok(())
}

fn remove_nonempty_directory() -> Checked {
    let mount = mount();
    same!(mount.create_directory("d"), Ok(()));
    same!(mount.create_directory("d/inner"), Ok(()));
    same!(mount.remove_directory("d"), Err(ERRNO_NOTEMPTY));
    same!(mount.remove_directory("d/inner"), Ok(()));
    same!(mount.remove_directory("d"), Ok(()));
    Ok(())
}

fn unlink_file_trailing_slashes() -> Checked {
    let mount = mount();
    same!(mount.create_directory("d"), Ok(()));
    same!(mount.unlink("d"), Err(ERRNO_ISDIR));
    same!(mount.unlink("d/"), Err(ERRNO_ISDIR));
    same!(mount.put("f", b""), Ok(()));
    same!(mount.unlink("f/"), Err(ERRNO_NOTDIR));
    same!(mount.unlink("f"), Ok(()));
    Ok(())
}

fn path_rename() -> Checked {
    let mount = mount();
    let is_folder = |path| mount.open(path, OFLAGS_DIRECTORY, READ).map(drop);
    same!(mount.create_directory("a"), Ok(()));
    same!(mount.rename("a", "b"), Ok(()));
    same!((is_folder("a"), is_folder("b")), (Err(ERRNO_NOENT), Ok(())));
    same!(mount.create_directory("a"), Ok(()));
    same!(mount.rename("b", "a"), Ok(()));
    same!(mount.create_directory("b"), Ok(()));
    same!(mount.put("b/f", b""), Ok(()));
    same!(mount.rename("a", "b"), Err(ERRNO_NOTEMPTY));
    same!(mount.rename("b", "b/inside"), Err(ERRNO_INVAL));
    same!(mount.put("f", b"one"), Ok(()));
    same!(mount.rename("a", "f"), Err(ERRNO_NOTDIR));
    same!(mount.rename("f", "a"), Err(ERRNO_ISDIR));
    same!(mount.put("g", b"two"), Ok(()));
    same!(mount.rename("f", "g"), Ok(()));
    same!(mount.open("g", 0, READ).and_then(|file| file.read(10)), Ok("one".into()));
    same!(mount.rename("f", "h"), Err(ERRNO_NOENT));
    same!(mount.rename("g", "g"), Ok(()));
    Ok(())
}

fn path_rename_dir_trailing_slashes() -> Checked {
    let mount = mount();
    same!(mount.create_directory("a"), Ok(()));
    same!(mount.rename("a/", "b"), Ok(()));
    same!(mount.rename("b", "a/"), Ok(()));
    same!(mount.rename("a/", "b/"), Ok(()));
    same!(mount.remove_directory("b"), Ok(()));
    Ok(())
}

fn path_rename_file_trailing_slashes() -> Checked {
    let mount = mount();
    same!(mount.open("f", OFLAGS_CREAT, READ | WRITE).map(drop), Ok(()));
    same!(mount.rename("f/", "g"), Err(ERRNO_NOTDIR));
    same!(mount.rename("f", "g/").is_err(), true);
    same!(mount.stat_at("g").map(drop), Err(ERRNO_NOENT));
    same!(mount.rename("f", "g"), Ok(()));
    Ok(())
}
