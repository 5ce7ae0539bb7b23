//! The files that every case finds, and the files that it leaves.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

const FILES: &[(&str, &str)] = &[
    ("fruits", "banana\napple\ncherry\napple\nApple\ndate\n"),
    ("numbers", "10\n9\n2\n33\n-5\n1.5\n0\n"),
    ("table", "bob 42 red\nalice 7 blue\ncarol 13 red\ndave 7 green\n"),
    ("people.csv", "name,age,city\nann,31,Oslo\nbob,27,Bergen\ncyd,45,Oslo\n"),
    ("tabs", "a\tb\tc\n1\t2\t3\nno tabs here\n\tlead\n"),
    ("empty", ""),
    ("noeol", "one\ntwo\nthree"),
    ("blank", "first\n\n\n  \nlast\n\n"),
    (
        "poem",
        "The quick brown fox\njumps over the lazy dog.\n\nThe end of the poem is near,\nfoo bar foo baz foo\nword-word wordy sword\n",
    ),
    ("sorted1", "a\nb\nc\nd\n"),
    ("sorted2", "b\nd\ne\n"),
    ("left", "1 one\n2 two\n4 four\n4 vier\n"),
    ("right", "1 uno\n3 tres\n4 cuatro\n"),
    ("deps", "a b\nb c\nc d\nx x\n"),
    (
        "long",
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua. Ut enim ad minim veniam.\n\n  Indented paragraph of text that goes on for a while so that it must be broken somewhere.\n  And continues here.\n",
    ),
    ("versions", "v1.10\nv1.9\nv1.2-rc1\nv1.2\nv2.0~beta\nv2.0\n"),
    ("sizes", "1K\n2M\n512\n3G\n1.5K\n"),
    ("old.txt", "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n"),
    ("new.txt", "one\n2\nthree\nfour\nfive\nsix\nseven\neight\nnine and a half\nten\neleven\n"),
    (
        "data.json",
        "{\"name\":\"widget\",\"tags\":[\"a\",\"b\"],\"size\":{\"w\":10,\"h\":2.5},\"ok\":true,\"none\":null}\n",
    ),
    ("list.json", "[{\"id\":1,\"n\":\"x\"},{\"id\":2,\"n\":\"y\"},{\"id\":3,\"n\":\"x\"}]\n"),
    ("stream.json", "{\"a\":1}\n{\"a\":2}\n[3,4]\n"),
    ("log", "2024-01-02 ERROR disk full\n2024-01-02 INFO ok\n2024-01-03 WARN slow\n2024-01-03 ERROR net down\n"),
    (
        "passwd",
        "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\nann:x:1000:1000:Ann:/home/ann:/bin/bash\n",
    ),
    ("script.sh", "#!/bin/sh\necho hi $NAME ${HOME} $1\n"),
    ("dir/a.txt", "alpha\nbeta\n"),
    ("dir/b.md", "# beta\n"),
    ("dir/sub/c.txt", "gamma\nalpha again\n"),
    ("dir/sub/deep/d.log", "delta\n"),
    ("dir/.hidden", "secret alpha\n"),
    ("script.sed", "s/a/X/\n# a comment\n/date/d\n"),
    ("prog.awk", "BEGIN { n = 0 }\n/a/ { n++ }\nEND { print n }\n"),
    ("encoded", "aGVsbG8g\nd29ybGQK\n"),
    ("dumped", "00000000: 6865 6c6c 6f0a                           hello.\n"),
    ("sums", "d41d8cd98f00b204e9800998ecf8427e  empty\n00000000000000000000000000000000  fruits\n"),
    ("spaced name", "has spaces\n"),
];

/// Fills a folder. Every file is of the same old age, but for one that is newer.
pub(crate) fn fill(folder: &Path) {
    for (name, content) in FILES {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
    }
    fs::write(folder.join("binary"), [0, 1, 2, 255, 254, b'a', b'\n', 0, 7, b'x', b'y', b'z', b'w', b'!']).unwrap();
    fs::create_dir(folder.join("void")).unwrap();
    std::os::unix::fs::symlink("fruits", folder.join("link")).unwrap();
    std::os::unix::fs::symlink("missing", folder.join("dangling")).unwrap();
    std::os::unix::fs::symlink("dir/sub", folder.join("dirlink")).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    for (name, _) in FILES {
        let age = if *name == "new.txt" { old + Duration::from_hours(24) } else { old };
        fs::File::options().write(true).open(folder.join(name)).unwrap().set_modified(age).unwrap();
    }
}

/// Returns what is in a folder: contents of files, targets of links.
pub(crate) fn snapshot(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    collect(folder, "", &mut found);
    found
}

fn collect(folder: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            found.insert(name, format!("-> {}", fs::read_link(entry.path()).unwrap().display()));
        } else if kind.is_dir() {
            collect(&entry.path(), &format!("{name}/"), found);
            found.insert(name, "folder".into());
        } else {
            let content = fs::read(entry.path()).unwrap();
            // A compressed file may be another that means the same: what it holds is compared by reading it.
            let shown = match content.as_slice() {
                [0x1f, 0x8b, ..] => "gzip".to_owned(),
                _ if Path::new(&name).extension().is_some_and(|kind| kind == "tar") => "archive".to_owned(),
                other => other.escape_ascii().to_string(),
            };
            found.insert(name, shown);
        }
    }
}
