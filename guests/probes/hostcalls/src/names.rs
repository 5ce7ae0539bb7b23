//! Names that std would refuse or change before the host sees them.

use bare::alloc::{format, string::String};

use crate::wasi::filesystem::types::{Descriptor, ErrorCode, PathFlags};
use crate::{Mode, folder, make, mount, said};

pub(crate) const MODES: &[Mode] = &[
    Mode { name: "name-empty", run: || tried("") },
    Mode { name: "name-nul", run: || tried("f\0") },
    Mode { name: "name-nul-inside", run: || tried("d\0/../../outside/secret") },
    Mode { name: "name-absolute", run: || tried("/etc/passwd") },
    Mode { name: "name-slashes", run: || tried("///") },
    Mode { name: "name-parent", run: || tried("..") },
    Mode { name: "name-parent-dots", run: || tried("d/../../outside/secret") },
    Mode { name: "name-parent-slash", run: || tried("../") },
    Mode { name: "name-missing-parent", run: || tried("nothing/../../outside/secret") },
    Mode { name: "name-backslash", run: || tried("..\\outside\\secret") },
    Mode { name: "name-drive", run: || tried("C:\\outside") },
    Mode { name: "name-through-file", run: || tried("f/../../outside/secret") },
    Mode { name: "name-file-slash", run: || tried("f/") },
    Mode { name: "name-file-dot", run: || tried("f/.") },
    Mode { name: "name-beneath-file", run: || tried("f/x") },
    Mode { name: "name-state", run: || tried(".boxagnts/journal.db") },
    Mode { name: "name-state-folded", run: || tried(".BoxAgnts") },
    Mode { name: "name-state-unicode", run: || tried(".ｂｏｘａｇｎｔｓ") },
    Mode { name: "name-state-ignorable", run: || tried(".box\u{200b}agnts") },
    Mode { name: "name-above-opened", run: above_opened },
];

/// Says what every operation on the name made of it, in one line.
fn tried(name: &str) -> String {
    let mount = mount();
    let follow = PathFlags::SYMLINK_FOLLOW;
    let said = [
        ("stat", said(mount.stat_at(follow, name))),
        ("read", said(read(&mount, name))),
        ("list", said(folder(&mount, name).and_then(|folder| folder.read_directory()))),
        ("readlink", said(mount.readlink_at(name))),
        ("link", said(mount.link_at(PathFlags::empty(), name, &mount, "linked"))),
        ("mkdir", said(mount.create_directory_at(name))),
        ("symlink", said(mount.symlink_at("f", name))),
        ("create", said(make(&mount, name))),
        ("rename onto", said(mount.rename_at("victim", &mount, name))),
        ("rename", said(mount.rename_at(name, &mount, "moved"))),
        ("unlink", said(mount.unlink_file_at(name))),
        ("rmdir", said(mount.remove_directory_at(name))),
    ];
    said.map(|(what, said)| format!("{what}: {said}")).join("\n")
}

fn read(mount: &Descriptor, name: &str) -> Result<(), ErrorCode> {
    let flags = crate::DescriptorFlags::READ;
    let file = mount.open_at(PathFlags::SYMLINK_FOLLOW, name, crate::OpenFlags::empty(), flags)?;
    file.read(1, 0).map(drop)
}

/// A handle is a root of its own: `..` does not lead above it, though the mount goes on there.
fn above_opened() -> String {
    said(folder(&mount(), "d").and_then(|folder| folder.stat_at(PathFlags::SYMLINK_FOLLOW, "../f")))
}
