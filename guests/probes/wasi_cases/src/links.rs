//! Hard and symbolic links.

use wasip1::{
    ERRNO_EXIST, ERRNO_INVAL, ERRNO_LOOP, ERRNO_NOENT, ERRNO_NOTDIR, ERRNO_NOTSUP, ERRNO_PERM, FILETYPE_REGULAR_FILE,
    FILETYPE_SYMBOLIC_LINK, OFLAGS_CREAT, OFLAGS_DIRECTORY,
};

use crate::handle::{READ, WRITE, mount};
use crate::{Checked, cases, same};

cases!(
    dangling_symlink,
    nofollow_errors,
    path_link,
    path_link_following,
    path_symlink_trailing_slashes,
    readlink,
    symlink_absolute,
    symlink_create,
    symlink_filestat,
    symlink_loop,
);

fn dangling_symlink() -> Checked {
    let mount = mount();
    same!(mount.symlink("target", "link"), Ok(()));
    same!(mount.open("link", OFLAGS_DIRECTORY, READ).map(drop), Err(ERRNO_NOTDIR));
    same!(mount.open("link", 0, READ).map(drop), Err(ERRNO_LOOP));
    same!(mount.open_following("link", 0, READ).map(drop), Err(ERRNO_NOENT));
    same!(mount.stat_following("link").map(drop), Err(ERRNO_NOENT));
    same!(mount.unlink("link"), Ok(()));
    Ok(())
}

fn nofollow_errors() -> Checked {
    let mount = mount();
    same!(mount.create_directory("target"), Ok(()));
    same!(mount.symlink("target", "link"), Ok(()));
    same!(mount.open("link", OFLAGS_DIRECTORY, READ).map(drop), Err(ERRNO_NOTDIR));
    same!(mount.open("link", 0, READ).map(drop), Err(ERRNO_LOOP));
    same!(mount.open_following("link", OFLAGS_DIRECTORY, READ).map(drop), Ok(()));
    same!(mount.remove_directory("link"), Err(ERRNO_NOTDIR));
    same!(mount.unlink("link"), Ok(()));
    same!(mount.put("file", b""), Ok(()));
    same!(mount.symlink("file", "link"), Ok(()));
    same!(mount.open("link", OFLAGS_DIRECTORY, READ).map(drop), Err(ERRNO_NOTDIR));
    same!(mount.open("link", 0, READ).map(drop), Err(ERRNO_LOOP));
    same!(mount.open_following("link", OFLAGS_DIRECTORY, READ).map(drop), Err(ERRNO_NOTDIR));
    same!(mount.open_following("link", 0, READ).map(drop), Ok(()));
    Ok(())
}

fn path_link() -> Checked {
    let mount = mount();
    same!(mount.put("f", b"one"), Ok(()));
    same!(mount.link("f", "g"), Ok(()));
    let inode = |path| mount.stat_at(path).map(|stat| (stat.dev, stat.ino, stat.nlink));
    same!(inode("f"), inode("g"));
    same!(inode("f").map(|(.., links)| links), Ok(2));
    same!(mount.open("g", 0, WRITE).and_then(|file| file.write(b"two")), Ok(3));
    same!(mount.open("f", 0, READ).and_then(|file| file.read(10)), Ok("two".into()));
    same!(mount.link("f", "g"), Err(ERRNO_EXIST));
    same!(mount.link("missing", "h"), Err(ERRNO_NOENT));
    same!(mount.create_directory("d"), Ok(()));
    same!(mount.link("d", "h"), Err(ERRNO_PERM));
    same!(mount.link("f", "h/"), Err(ERRNO_NOENT));
    // A link to a symbolic link is one more name of the link itself.
    same!(mount.symlink("nothing", "dangling"), Ok(()));
    same!(mount.link("dangling", "h"), Ok(()));
    same!(mount.read_link("h", 100), Ok("nothing".into()));
    Ok(())
}

fn path_link_following() -> Checked {
    let mount = mount();
    same!(mount.put("f", b"one"), Ok(()));
    same!(mount.symlink("f", "link"), Ok(()));
    // Either is allowed where a host does not offer it.
    let linked = mount.link_following("link", "g");
    same!(linked == Err(ERRNO_INVAL) || linked == Err(ERRNO_NOTSUP), true);
    Ok(())
}

fn path_symlink_trailing_slashes() -> Checked {
    let mount = mount();
    same!(mount.symlink("source", "target/").is_err(), true);
    same!(mount.create_directory("target"), Ok(()));
    same!(mount.symlink("source", "target/"), Err(ERRNO_EXIST));
    same!(mount.symlink("source", "target"), Err(ERRNO_EXIST));
    same!(mount.remove_directory("target"), Ok(()));
    same!(mount.put("target", b""), Ok(()));
    same!(mount.symlink("source", "target/").is_err(), true);
    same!(mount.symlink("source", "target"), Err(ERRNO_EXIST));
    Ok(())
}

fn readlink() -> Checked {
    let mount = mount();
    same!(mount.symlink("target", "link"), Ok(()));
    same!(mount.read_link("link", 100), Ok("target".into()));
    same!(mount.read_link("link", 3), Ok("tar".into()));
    same!(mount.put("f", b""), Ok(()));
    same!(mount.read_link("f", 100), Err(ERRNO_INVAL));
    same!(mount.read_link("missing", 100), Err(ERRNO_NOENT));
    Ok(())
}

fn symlink_absolute() -> Checked {
    same!(mount().symlink("/etc/passwd", "link"), Err(ERRNO_PERM));
    Ok(())
}

fn symlink_create() -> Checked {
    let mount = mount();
    same!(mount.put("f", b"content"), Ok(()));
    same!(mount.symlink("f", "link"), Ok(()));
    same!(mount.open_following("link", 0, READ).and_then(|file| file.read(10)), Ok("content".into()));
    same!(mount.create_directory("d"), Ok(()));
    same!(mount.symlink("d", "folder"), Ok(()));
    same!(mount.open("folder/new", OFLAGS_CREAT, READ | WRITE).map(drop), Ok(()));
    same!(mount.stat_at("d/new").map(drop), Ok(()));
    Ok(())
}

fn symlink_filestat() -> Checked {
    let mount = mount();
    same!(mount.put("f", b"content"), Ok(()));
    same!(mount.symlink("f", "link"), Ok(()));
    let kind = |stat: wasip1::Filestat| (stat.filetype, stat.size);
    let of = |kind, size: usize| Ok::<_, wasip1::Errno>((kind, size as u64));
    same!(mount.stat_at("link").map(kind) == of(FILETYPE_SYMBOLIC_LINK, "f".len()), true);
    same!(mount.stat_following("link").map(kind) == of(FILETYPE_REGULAR_FILE, "content".len()), true);
    Ok(())
}

fn symlink_loop() -> Checked {
    let mount = mount();
    same!(mount.symlink("link", "link"), Ok(()));
    same!(mount.open("link", 0, READ).map(drop), Err(ERRNO_LOOP));
    same!(mount.open_following("link", 0, READ).map(drop), Err(ERRNO_LOOP));
    same!(mount.symlink("b", "a"), Ok(()));
    same!(mount.symlink("a", "b"), Ok(()));
    same!(mount.stat_following("a/x").map(drop), Err(ERRNO_LOOP));
    Ok(())
}
