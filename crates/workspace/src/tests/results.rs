//! Whole outputs.

use std::fs;

use protocol::{CallId, ContentHash};

use super::support::{Place, call, session};

#[test]
fn a_whole_output_is_kept_as_a_blob_and_as_a_file() {
    let place = Place::new(&[]);
    let workspace = place.open();
    for text in ["all of it\n", "all of it, said anew\n", "all of it, said anew\n"] {
        let hash = workspace.keep_result(&session(), &call(), text).unwrap();
        assert_eq!(hash, ContentHash::of(text.as_bytes()));
        assert_eq!(workspace.blobs().get(&hash).unwrap(), text.as_bytes());
        let path = workspace.results(&session()).unwrap().join(format!("{}.txt", call()));
        assert_eq!(fs::read_to_string(path).unwrap(), text);
    }
    // Saying something anew did not reach through to the blob of what was said first.
    assert_eq!(workspace.blobs().get(&ContentHash::of(b"all of it\n")).unwrap(), b"all of it\n");
    let other = workspace.keep_result(&session(), &CallId::from_random(9), "all of it\n").unwrap();
    assert_eq!(other, ContentHash::of(b"all of it\n"));
}
