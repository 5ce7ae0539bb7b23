use std::collections::BTreeMap;

use super::*;

/// Builds change sets with their contents.
#[derive(Default)]
struct Sets {
    contents: BTreeMap<ContentHash, Vec<u8>>,
    changes: Vec<Change>,
}

impl Sets {
    fn file(&mut self, content: impl AsRef<[u8]>, mode: u32) -> Node {
        let bytes = content.as_ref().to_vec();
        let (hash, size) = (ContentHash::of(&bytes), bytes.len() as u64);
        self.contents.insert(hash.clone(), bytes);
        Node::File { hash, size, mode }
    }

    fn change(&mut self, path: &str, before: Node, after: Node) {
        self.changes.push(Change { path: path.into(), before, after, renamed_from: None });
    }

    fn edit(&mut self, path: &str, was: impl AsRef<[u8]>, is: impl AsRef<[u8]>) {
        let (before, after) = (self.file(was, 0o644), self.file(is, 0o644));
        self.change(path, before, after);
    }

    fn shown(&self, mount: &str) -> String {
        let set = ChangeSet { mount: mount.into(), changes: self.changes.clone() };
        unified(&set, &mut |hash, _| Ok(Box::new(std::io::Cursor::new(self.contents[hash].clone())))).unwrap()
    }
}

fn numbered(numbers: impl Iterator<Item = usize>, word: &str) -> String {
    numbers.fold(String::new(), |text, number| text + &format!("{word} {number}\n"))
}

#[test]
fn every_kind_of_change_is_shown() {
    let mut sets = Sets::default();
    let made = sets.file("new\n", 0o755);
    let gone = sets.file("old\n", 0o600);
    let bytes = sets.file([0, 159, 146, 150], 0o644);
    let script = |sets: &mut Sets, mode| sets.file("#!/bin/sh\n", mode);
    sets.edit("a.txt", "one\ntwo\nthree\nfour\nfive\n", "one\ntwo\n3\nfour\nfive");
    let (plain, executable) = (script(&mut sets, 0o644), script(&mut sets, 0o755));
    sets.change("b.sh", plain, executable);
    sets.change("c", Node::Directory { mode: 0o755 }, Node::Absent);
    sets.change("c/gone.txt", gone, Node::Absent);
    sets.change("d.bin", Node::Absent, bytes);
    sets.change("e", Node::Absent, Node::Directory { mode: 0o755 });
    sets.change("e/made.txt", Node::Absent, made);
    sets.change("link", Node::Symlink { target: "a.txt".into() }, Node::Symlink { target: "b.sh".into() });
    insta::assert_snapshot!(sets.shown("/work"), @r"
    diff --git a/a.txt b/a.txt
    --- a/a.txt
    +++ b/a.txt
    @@ -1,5 +1,5 @@
     one
     two
    -three
    +3
     four
    -five
    +five
    \ No newline at end of file
    diff --git a/b.sh b/b.sh
    old mode 100644
    new mode 100755
    diff --git a/c b/c
    deleted directory mode 040755
    diff --git a/c/gone.txt b/c/gone.txt
    deleted file mode 100600
    --- a/c/gone.txt
    +++ /dev/null
    @@ -1 +0,0 @@
    -old
    diff --git a/d.bin b/d.bin
    new file mode 100644
    Binary or large file b/d.bin (4 bytes)
    diff --git a/e b/e
    new directory mode 040755
    diff --git a/e/made.txt b/e/made.txt
    new file mode 100755
    --- /dev/null
    +++ b/e/made.txt
    @@ -0,0 +1 @@
    +new
    diff --git a/link b/link
    --- a/link
    +++ b/link
    @@ -1 +1 @@
    -a.txt
    \ No newline at end of file
    +b.sh
    \ No newline at end of file
    ");
}

#[test]
fn a_renamed_file_is_one_entry() {
    let mut sets = Sets::default();
    let (was, is) = (sets.file("one\ntwo\n", 0o644), sets.file("one\n2\n", 0o644));
    let renamed = Change { path: "b.txt".into(), before: Node::Absent, after: is, renamed_from: Some("a.txt".into()) };
    sets.change("a.txt", was, Node::Absent);
    sets.changes.push(renamed);
    insta::assert_snapshot!(sets.shown("/lib"), @r"
    diff --git a/lib/a.txt b/lib/b.txt
    rename from a.txt
    rename to b.txt
    --- a/lib/a.txt
    +++ b/lib/b.txt
    @@ -1,2 +1,2 @@
     one
    -two
    +2
    ");
}

#[test]
fn what_a_terminal_acts_on_is_neutralised_in_names_and_lines() {
    let mut sets = Sets::default();
    sets.edit("a\n+++ b/forged\u{1b}[2J", "x\n", "\u{1b}]52;c;evil\u{7}\u{202e}\u{e0041}\r\n");
    for mount in ["/work", "/lib"] {
        let text = sets.shown(mount);
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{e0041}', '\r']), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("+++ b/forged")), "{text}");
        assert!(text.contains("+\\u{1b}]52;c;evil\\u{7}\\u{202e}\\u{e0041}\\u{d}\n"), "{text}");
    }
}

#[test]
fn long_files_and_long_texts_are_cut_with_a_note() {
    let mut sets = Sets::default();
    sets.edit("a", "", numbered(0..5_000, "x"));
    let text = sets.shown("/work");
    assert!(text.ends_with("[4003 more lines]\n"), "{}", &text[text.len() - 100..]);
    assert_eq!(text.lines().count(), MAX_SHOWN_LINES + 2);

    let mut sets = Sets::default();
    sets.edit("a", "", numbered(0..=MAX_FILE_LINES, "x"));
    sets.edit("b", "", "x".repeat(usize::try_from(MAX_FILE_BYTES).unwrap() + 1));
    assert_eq!(
        sets.shown("/work"),
        "diff --git a/a b/a\nBinary or large files a/a and b/a differ (0 to 68898 bytes)\n\
         diff --git a/b b/b\nBinary or large files a/b and b/b differ (0 to 524289 bytes)\n"
    );

    let mut sets = Sets::default();
    for at in 0..20 {
        sets.edit(&format!("{at:02}"), "", format!("{at}{}", "x".repeat(60 << 10)));
    }
    let text = sets.shown("/work");
    assert!(text.len() < MAX_TEXT_BYTES + (128 << 10));
    assert!(text.ends_with("[11 more changes]\n"), "{}", &text[text.len() - 100..]);
}

/// The longest files that are compared, with nothing in common: the worst that a planner can do to whoever looks.
#[test]
fn comparing_ends_soon_whatever_is_compared() {
    let lines = |word: &str| numbered(0..MAX_FILE_LINES, word);
    let swapped = numbered((0..MAX_FILE_LINES).rev(), "a");
    let repeated = |first: &str, second: &str| format!("{first}\n{second}\n").repeat(MAX_FILE_LINES / 2);
    for (was, is) in [(lines("a"), lines("b")), (lines("a"), swapped), (repeated("a", "b"), repeated("b", "b"))] {
        let start = std::time::Instant::now();
        let mut sets = Sets::default();
        sets.edit("a", was, is);
        assert!(sets.shown("/work").lines().count() < MAX_SHOWN_LINES + 10);
        assert!(start.elapsed() < std::time::Duration::from_secs(20));
    }
}
