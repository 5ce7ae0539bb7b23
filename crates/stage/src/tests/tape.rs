//! Tapes: a stage over one tells what the stage over the disk told.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::{
    Base, File, FileTape, Left, OpenHow, Opened, Player, Quota, Recorder, Room, Scratch, Stage, StageError,
    StageOptions, Veil,
};

fn over(base: Base, scratch: &Path) -> Stage {
    let options = StageOptions {
        mount: "/work".into(),
        writable: true,
        quota: Quota { bytes: 1 << 20, entries: 100 },
        scratch: Scratch::new(scratch),
        clock: SystemTime::now,
        veil: Veil::none(),
    };
    Stage::new(base, options)
}

/// A tree that is being recorded.
struct Taping {
    folder: tempfile::TempDir,
    room: Room,
    recorder: Recorder,
    stage: Stage,
}

impl Taping {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            fs::write(folder.path().join(path), content).unwrap();
        }
        let room = Room::new(1 << 20);
        let recorder = Recorder::new(room.clone());
        let stage = over(Base::open(folder.path()).unwrap().recorded(recorder.clone()), folder.path());
        Self { folder, room, recorder, stage }
    }

    fn put(&self, path: &str, content: &str) {
        fs::write(self.folder.path().join(path), content).unwrap();
    }

    /// Returns a stage over what was recorded, which went through text, and where it leaves the tape.
    fn played(&self) -> (Stage, Left) {
        let (tape, contents) = self.recorder.take();
        assert_eq!(self.room.void(), None);
        let text = serde_json::to_string(&tape).unwrap();
        let tape: FileTape = serde_json::from_str(&text).unwrap();
        let left = Left::default();
        let contents = Arc::new(move |hash: &protocol::ContentHash| {
            contents.iter().find(|(known, _)| known == hash).map(|(_, bytes)| bytes.clone().into())
        });
        (over(Base::played(Player::new("/work", tape, contents, left.clone())), self.folder.path()), left)
    }
}

fn open(stage: &Stage, path: &str) -> File {
    let how = OpenHow { read: true, ..OpenHow::default() };
    match stage.root().open(path, how).unwrap() {
        Opened::File(file) => file,
        Opened::Dir(_) => panic!("{path} is a directory"),
    }
}

#[test]
fn answers_come_in_their_order_and_the_last_one_stays() {
    let taping = Taping::new(&[("f", "one")]);
    let size = |stage: &Stage| stage.root().stat("f", true).map(|meta| meta.size);
    let look = |change: &dyn Fn(&str)| {
        let mut sizes = vec![size(&taping.stage)];
        for content in ["longer", "the longest"] {
            change(content);
            sizes.push(size(&taping.stage));
        }
        sizes
    };
    let then = look(&|content| taping.put("f", content));
    fs::remove_file(taping.folder.path().join("f")).unwrap();
    let (stage, left) = taping.played();
    let now: Vec<_> = (0..4).map(|_| size(&stage)).collect();
    assert_eq!(now[..3], then);
    assert_eq!((now[3].clone(), left.asked()), (Ok(11), None));
}

#[test]
fn only_what_was_read_is_there() {
    let taping = Taping::new(&[("f", "0123456789")]);
    open(&taping.stage, "f").read_at(2, 3).unwrap();
    let (stage, left) = taping.played();
    assert_eq!(open(&stage, "f").read_at(2, 3).unwrap(), b"234");
    assert_eq!(left.asked(), None);
    assert_eq!(open(&stage, "f").read_at(4, 3), Err(StageError::Io { code: 5 }));
    assert_eq!(left.asked(), Some("2 bytes from byte 5 of /work/f"));
}

#[test]
fn names_that_are_no_text_and_ends_of_files_come_back() {
    use std::os::unix::ffi::OsStrExt as _;
    let taping = Taping::new(&[("f", "abc")]);
    fs::write(taping.folder.path().join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    let look = |stage: &Stage| {
        let file = open(stage, "f");
        let reads = [file.read_at(0, 9).unwrap(), file.read_at(3, 9).unwrap(), file.read_at(99, 9).unwrap()];
        (stage.root().entries().unwrap(), reads, stage.root().remove_directory("."))
    };
    let then = look(&taping.stage);
    let (stage, left) = taping.played();
    assert_eq!(look(&stage), then);
    assert_eq!(left.asked(), None);
}

#[test]
fn a_file_that_changes_while_it_is_read_has_no_tape() {
    let taping = Taping::new(&[("f", "before")]);
    let file = open(&taping.stage, "f");
    file.read_at(0, 6).unwrap();
    taping.put("f", "beyond");
    file.read_at(0, 6).unwrap();
    assert_eq!(taping.room.void(), Some("`f` changed while it was read"));
}

#[test]
fn what_comes_after_the_recording_is_not_on_the_tape() {
    let taping = Taping::new(&[("f", "x"), ("g", "y")]);
    taping.stage.root().stat("f", true).unwrap();
    let (stage, left) = taping.played();
    taping.stage.root().stat("g", true).unwrap();
    assert_eq!(taping.recorder.take().0, FileTape::default());
    assert_eq!(stage.root().stat("g", true), Err(StageError::NoEntry));
    assert_eq!(left.asked(), Some("what is at /work/g"));
}
