use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::sync::Mutex;

use super::*;

type Hook = Box<dyn Fn() + Send>;

/// A keychain of the test's own: it works, forgets, or fails.
#[derive(Default)]
struct Pretended {
    items: Mutex<BTreeMap<String, String>>,
    /// What it answers, whatever it is asked for; it does nothing then.
    refuses: Mutex<Option<KeychainError>>,
    /// What it answers after it kept something.
    doubts: Mutex<Option<KeychainError>>,
    /// What happens while it keeps or reads something.
    meanwhile: Mutex<Option<Hook>>,
}

impl Pretended {
    fn answer(&self) -> std::result::Result<(), KeychainError> {
        self.refuses.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn refuse(&self, error: impl Into<Option<KeychainError>>) {
        *self.refuses.lock().unwrap() = error.into();
    }

    fn doubt(&self, error: impl Into<Option<KeychainError>>) {
        *self.doubts.lock().unwrap() = error.into();
    }

    fn meanwhile(&self, hook: impl Fn() + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some(Box::new(hook));
    }

    fn pass_time(&self) {
        if let Some(hook) = &*self.meanwhile.lock().unwrap() {
            hook();
        }
    }

    fn len(&self) -> usize {
        self.items.lock().unwrap().len()
    }
}

impl Keychain for Pretended {
    fn keep(&self, item: &str, value: &SecretString) -> std::result::Result<(), KeychainError> {
        self.pass_time();
        self.answer()?;
        self.items.lock().unwrap().insert(item.to_owned(), value.expose_secret().to_owned());
        self.doubts.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn read(&self, item: &str) -> std::result::Result<Option<SecretString>, KeychainError> {
        self.pass_time();
        self.answer()?;
        Ok(self.items.lock().unwrap().get(item).map(|value| value.as_str().into()))
    }

    fn remove(&self, item: &str) -> std::result::Result<(), KeychainError> {
        self.answer()?;
        self.items.lock().unwrap().remove(item);
        Ok(())
    }
}

fn locked() -> KeychainError {
    KeychainError::Failed("it is locked".into())
}

fn name(text: &str) -> SecretName {
    text.parse().unwrap()
}

fn spec(text: &str) -> SecretSpec {
    bound(text, "https://api.test")
}

fn bound(text: &str, host: &str) -> SecretSpec {
    let placement = Placement::Header { name: "x-key".into(), format: "Bearer {}".into() };
    SecretSpec::new(name(text), [host.parse().unwrap()].into(), placement).unwrap()
}

fn store(folder: &Path) -> SecretStore {
    SecretStore::new(folder.join("deep/secrets"), None)
}

fn with_keychain(folder: &Path) -> (SecretStore, Arc<Pretended>) {
    let keychain = Arc::new(Pretended::default());
    (SecretStore::new(folder.join("deep/secrets"), Some(keychain.clone())), keychain)
}

fn values(store: &SecretStore, names: &[&str]) -> Vec<(String, String)> {
    let names = names.iter().map(|text| name(text)).collect();
    let read = store.read(&names).unwrap().into_iter();
    read.map(|(spec, value)| (spec.name().to_string(), value.expose_secret().to_owned())).collect()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn what_was_stored_is_there_for_whom_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    assert_eq!(store.list().unwrap(), []);
    for (name, value) in [("B", "second value"), ("A", "first value"), ("B", "third \"value\"")] {
        assert_eq!(store.set(spec(name), &value.into()).unwrap().kept, Kept::File);
    }
    let listed = ["A", "B"].map(|name| StoredSecret { spec: spec(name), kept: Kept::File });
    assert_eq!(store.list().unwrap(), listed);
    assert_eq!(values(&store, &["A", "B", "C"]), [pair("A", "first value"), pair("B", "third \"value\"")]);
    assert_eq!(values(&store, &["A"]), [pair("A", "first value")]);
    assert_eq!(values(&store, &[]), []);
    assert_eq!(store.remove(&name("A")).unwrap(), Removed { was_there: true, left_in_keychain: None });
    assert_eq!(store.remove(&name("A")).unwrap(), Removed { was_there: false, left_in_keychain: None });
    assert_eq!(values(&store, &["A", "B"]), [pair("B", "third \"value\"")]);
    let left = fs::read_to_string(store.folder().join("values.json")).unwrap();
    assert!(!left.contains("first value") && !left.contains("second value"), "{left}");
}

#[test]
fn the_files_are_their_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    store.set(spec("A"), &"first value".into()).unwrap();
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(store.folder()), 0o700);
    for file in ["index.json", "values.json", "lock"] {
        assert_eq!(mode(&store.folder().join(file)), 0o600, "{file}");
    }
    assert_eq!(fs::read_dir(store.folder()).unwrap().count(), 3);
}

#[test]
fn what_others_could_have_read_or_put_there_is_refused() {
    let refused = |spoil: &dyn Fn(&Path), problem: &str| {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        store.set(spec("A"), &"first value".into()).unwrap();
        spoil(store.folder());
        let reading = store.read(&[name("A")].into()).unwrap_err().to_string();
        let writing = store.set(spec("B"), &"other value".into()).unwrap_err().to_string();
        assert!(reading.contains(problem) && writing.contains(problem), "{reading}\n{writing}");
    };
    let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    for mode in [0o640, 0o604, 0o620] {
        refused(&|folder| open(&folder.join("values.json"), mode), "can be reached by other users");
        refused(&|folder| open(&folder.join("index.json"), mode), "can be reached by other users");
    }
    refused(&|folder| open(folder, 0o750), "can be reached by other users");
    let link = |folder: &Path, name: &str| {
        fs::rename(folder.join(name), folder.join("elsewhere")).unwrap();
        symlink(folder.join("elsewhere"), folder.join(name)).unwrap();
    };
    refused(&|folder| link(folder, "values.json"), "is not what belongs there");
    refused(&|folder| link(folder, "index.json"), "is not what belongs there");
    let moved = |folder: &Path| {
        let elsewhere = folder.with_file_name("elsewhere");
        fs::rename(folder, &elsewhere).unwrap();
        symlink(elsewhere, folder).unwrap();
    };
    refused(&moved, "is not what belongs there");
}

#[test]
fn a_damaged_file_is_named_and_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    store.set(spec("A"), &"first value".into()).unwrap();
    let path = store.folder().join("values.json");
    let whole = fs::read_to_string(&path).unwrap();
    let mistyped = whole.replace("\"format\": 1", "\"format\": \"first value\"");
    for text in [mistyped.as_str(), &whole[..whole.len() - 3], &whole.replace(": 1", ": 2"), ""] {
        fs::write(&path, text).unwrap();
        let error = store.read(&[name("A")].into()).unwrap_err();
        assert!(matches!(error, SecretError::Damaged { .. }));
        assert!(!format!("{error} {error:?}").contains("first value"), "{error}");
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(store.read(&[name("A")].into()), Err(SecretError::Gone { .. })));
    let path = store.folder().join("index.json");
    let other_format = fs::read_to_string(&path).unwrap().replace(": 1,", ": 2,");
    fs::write(&path, other_format).unwrap();
    assert!(matches!(store.list(), Err(SecretError::Damaged { .. })));
}

#[test]
fn a_value_that_could_not_be_sent_or_found_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let long = "x".repeat(MAX_VALUE_BYTES + 1);
    for (value, problem) in [
        ("", InvalidValue::Empty),
        ("1234567", InvalidValue::Short(7)),
        (long.as_str(), InvalidValue::Long),
        ("12345678\n", InvalidValue::Control),
        ("12345\r\nx: y", InvalidValue::Control),
        ("1234\u{7f}5678", InvalidValue::Control),
        (" 12345678", InvalidValue::Space),
        ("clé12345678", InvalidValue::Header),
    ] {
        let error = store.set(spec("A"), &value.into()).unwrap_err();
        assert!(matches!(&error, SecretError::Value(found) if *found == problem), "{error}");
    }
    assert!(!store.folder().exists());
    let query = SecretSpec::new(name("Q"), spec("A").hosts().clone(), Placement::Query { name: "q".into() }).unwrap();
    store.set(query, &"clé12345678".into()).unwrap();
}

#[test]
fn the_keychain_keeps_what_it_can_and_the_file_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let keychain = Arc::new(Pretended::default());
    let store = SecretStore::new(folder.path().join("secrets"), Some(keychain.clone()));
    keychain.refuse(locked());
    let stored = store.set(spec("A"), &"first value".into()).unwrap();
    assert_eq!(stored.kept, Kept::File);
    assert_eq!(stored.not_in_keychain, Some(locked()));
    keychain.refuse(None);
    for name in ["A", "B"] {
        let stored = store.set(spec(name), &"second value".into()).unwrap();
        assert_eq!((stored.kept, stored.not_in_keychain), (Kept::Keychain, None));
    }
    let file = fs::read_to_string(store.folder().join("values.json")).unwrap();
    assert!(!file.contains("value\"") && !file.contains("first value"), "{file}");
    assert_eq!(values(&store, &["A", "B"]), [pair("A", "second value"), pair("B", "second value")]);

    keychain.refuse(locked());
    assert_eq!(store.list().unwrap().len(), 2);
    assert!(store.read(&[name("A")].into()).unwrap_err().to_string().contains("it is locked"));
    assert!(matches!(store.remove(&name("A")), Err(SecretError::Keychain { .. })));
    let without = SecretStore::new(store.folder().to_owned(), None);
    assert!(matches!(without.read(&[name("A")].into()), Err(SecretError::Keychain { .. })));
    keychain.refuse(None);
    assert_eq!(store.remove(&name("A")).unwrap(), Removed { was_there: true, left_in_keychain: None });
    assert_eq!(keychain.len(), 1);
}

/// Stores a value for new hosts while the last write of the index fails; returns what lies there then.
fn broken_off(refuses: Option<KeychainError>) -> (tempfile::TempDir, SecretStore, Arc<Pretended>) {
    let folder = tempfile::tempdir().unwrap();
    let (store, keychain) = with_keychain(folder.path());
    keychain.refuse(refuses);
    store.set(bound("A", "https://old.test"), &"first value".into()).unwrap();
    let (index, aside) = (store.folder().join("index.json"), store.folder().join("aside"));
    keychain.meanwhile({
        let (index, aside) = (index.clone(), aside.clone());
        move || {
            fs::rename(&index, &aside).unwrap();
            fs::create_dir(&index).unwrap();
        }
    });
    let error = store.set(bound("A", "https://new.test"), &"second value".into()).unwrap_err();
    assert!(error.to_string().starts_with("A was not stored, and is not set now; set it again: "), "{error}");
    assert!(matches!(error, SecretError::NotSet { .. }));
    keychain.meanwhile(|| {});
    fs::remove_dir(&index).unwrap();
    fs::rename(&aside, &index).unwrap();
    (folder, store, keychain)
}

#[test]
fn a_new_value_is_never_bound_to_the_old_hosts() {
    for refuses in [None, Some(locked())] {
        let (_folder, store, keychain) = broken_off(refuses.clone());
        let file = fs::read_to_string(store.folder().join("values.json")).unwrap_or_default();
        let items = keychain.items.lock().unwrap().clone();
        assert!(file.contains("second value") || items.values().any(|value| value == "second value"));
        assert_eq!(store.list().unwrap(), []);
        let error = store.read(&[name("A")].into()).unwrap_err();
        assert_eq!(error.to_string(), "storing A was broken off, so it is not set");
        assert_eq!(values(&store, &["B"]), []);

        store.set(bound("A", "https://new.test"), &"third value".into()).unwrap();
        let read = store.read(&[name("A")].into()).unwrap();
        assert_eq!(read[0].0, bound("A", "https://new.test"));
        assert_eq!(values(&store, &["A"]), [pair("A", "third value")]);
    }
}

#[test]
fn what_was_broken_off_can_be_removed() {
    for refuses in [None, Some(locked())] {
        let (_folder, store, keychain) = broken_off(refuses);
        keychain.refuse(None);
        assert_eq!(store.remove(&name("A")).unwrap(), Removed { was_there: true, left_in_keychain: None });
        let file = fs::read_to_string(store.folder().join("values.json")).unwrap_or_default();
        assert!(!file.contains("second value") && keychain.len() == 0, "{file}");
        assert_eq!(values(&store, &["A"]), []);
    }
}

#[test]
fn nothing_is_unset_for_a_file_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _keychain) = with_keychain(folder.path());
    store.set(spec("A"), &"first value".into()).unwrap();
    fs::write(store.folder().join("values.json"), "").unwrap();
    let open = Permissions::from_mode(0o600);
    fs::set_permissions(store.folder().join("values.json"), open).unwrap();
    assert!(matches!(store.set(spec("A"), &"second value".into()), Err(SecretError::Damaged { .. })));
    assert_eq!(values(&store, &["A"]), [pair("A", "first value")]);
}

#[test]
fn nobody_writes_while_somebody_reads() {
    let folder = tempfile::tempdir().unwrap();
    let (store, keychain) = with_keychain(folder.path());
    store.set(spec("A"), &"first value".into()).unwrap();
    let lock = store.folder().join("lock");
    let tried = Arc::new(Mutex::new(Vec::new()));
    keychain.meanwhile({
        let tried = tried.clone();
        move || {
            let [writer, reader] = [(); 2].map(|()| fs::File::open(&lock).unwrap());
            tried.lock().unwrap().push((writer.try_lock().is_ok(), reader.try_lock_shared().is_ok()));
        }
    });
    values(&store, &["A"]);
    store.set(spec("A"), &"second value".into()).unwrap();
    assert_eq!(*tried.lock().unwrap(), [(false, true), (false, false)]);
}

/// Tells whether somebody waits for a lock of this file (`proc_locks(5)`).
fn is_waited_for(lock: &Path) -> bool {
    let inode = format!(":{} ", fs::metadata(lock).unwrap().ino());
    fs::read_to_string("/proc/locks").unwrap().lines().any(|line| line.contains("-> FLOCK") && line.contains(&inode))
}

#[test]
fn what_a_reader_sees_is_what_the_writer_before_it_left() {
    let folder = tempfile::tempdir().unwrap();
    let (store, keychain) = with_keychain(folder.path());
    store.set(bound("A", "https://old.test"), &"first value".into()).unwrap();
    let read = Arc::new(Mutex::new(None));
    keychain.meanwhile({
        let (store, read) = (SecretStore::new(store.folder().to_owned(), Some(keychain.clone())), read.clone());
        move || {
            let mut read = read.lock().unwrap();
            if read.is_none() {
                let (store, lock) = (store.clone(), store.folder().join("lock"));
                let reader = std::thread::spawn(move || store.read(&[name("A")].into()));
                while !reader.is_finished() && !is_waited_for(&lock) {
                    std::thread::yield_now();
                }
                *read = Some(reader);
            }
        }
    });
    // The reader starts in the middle of this.
    store.set(bound("A", "https://new.test"), &"second value".into()).unwrap();
    *keychain.meanwhile.lock().unwrap() = None;
    let read = read.lock().unwrap().take().unwrap().join().unwrap().unwrap();
    assert_eq!(read[0].0, bound("A", "https://new.test"));
    assert_eq!(read[0].1.expose_secret(), "second value");
}

#[test]
fn a_value_that_moves_to_the_file_leaves_the_keychain() {
    let folder = tempfile::tempdir().unwrap();
    let (store, keychain) = with_keychain(folder.path());
    for doubt in [KeychainError::Unfaithful, locked()] {
        keychain.doubt(None);
        store.set(spec("A"), &"first value".into()).unwrap();
        keychain.doubt(doubt.clone());
        let stored = store.set(spec("A"), &"second value".into()).unwrap();
        assert_eq!(stored, Stored { kept: Kept::File, not_in_keychain: Some(doubt), left_in_keychain: None });
        assert_eq!(keychain.len(), 0);
    }
}

#[test]
fn what_a_failing_keychain_still_holds_is_told_and_removed_later() {
    let folder = tempfile::tempdir().unwrap();
    let (store, keychain) = with_keychain(folder.path());
    let unreachable = KeychainError::Unreachable("no bus".into());
    for refused in [locked(), unreachable] {
        keychain.refuse(None);
        store.set(spec("A"), &"first value".into()).unwrap();
        keychain.refuse(refused.clone());
        let stored = store.set(spec("A"), &"second value".into()).unwrap();
        assert_eq!((stored.kept, stored.left_in_keychain), (Kept::File, Some(refused.clone())));
        let left = Removed { was_there: true, left_in_keychain: Some(refused) };
        assert_eq!((store.remove(&name("A")).unwrap(), keychain.len()), (left, 1));
        assert_eq!((store.list().unwrap(), values(&store, &["A"])), (vec![], vec![]));
        keychain.refuse(None);
        let gone = Removed { was_there: true, left_in_keychain: None };
        assert_eq!((store.remove(&name("A")).unwrap(), keychain.len()), (gone, 0));
        assert!(!store.remove(&name("A")).unwrap().was_there);
    }
}

#[test]
fn what_lies_in_a_keychain_that_is_not_there_is_told_and_removed_later() {
    let folder = tempfile::tempdir().unwrap();
    let (store, keychain) = with_keychain(folder.path());
    store.set(spec("A"), &"first value".into()).unwrap();
    let without = SecretStore::new(store.folder().to_owned(), None);
    for value in ["second value", "third value"] {
        let stored = without.set(spec("A"), &value.into()).unwrap();
        assert_eq!((stored.kept, stored.left_in_keychain), (Kept::File, Some(KeychainError::None)));
    }
    let left = Removed { was_there: true, left_in_keychain: Some(KeychainError::None) };
    assert_eq!((without.remove(&name("A")).unwrap(), keychain.len()), (left, 1));
    let gone = Removed { was_there: true, left_in_keychain: None };
    assert_eq!((store.remove(&name("A")).unwrap(), keychain.len()), (gone, 0));
    assert_eq!(without.remove(&name("A")).unwrap(), Removed { was_there: false, left_in_keychain: None });
}

#[test]
fn what_a_silent_keychain_takes_later_is_removed_with_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let (store, keychain) = with_keychain(folder.path());
    keychain.doubt(KeychainError::Silent);
    let stored = store.set(spec("A"), &"first value".into()).unwrap();
    assert_eq!((stored.kept, stored.left_in_keychain), (Kept::File, Some(KeychainError::Silent)));
    assert_eq!(keychain.len(), 0);
    keychain.items.lock().unwrap().insert(store.item(&name("A")), "first value".to_owned());
    let without = SecretStore::new(store.folder().to_owned(), None);
    assert_eq!(without.remove(&name("A")).unwrap().left_in_keychain, Some(KeychainError::None));
    assert_eq!(store.remove(&name("A")).unwrap(), Removed { was_there: true, left_in_keychain: None });
    assert_eq!(keychain.len(), 0);
}

#[test]
fn a_keychain_that_is_not_there_and_never_held_the_value_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let (store, keychain) = with_keychain(folder.path());
    let unreachable = KeychainError::Unreachable("no bus".into());
    keychain.refuse(unreachable.clone());
    let stored = store.set(spec("A"), &"first value".into()).unwrap();
    let expected = Stored { kept: Kept::File, not_in_keychain: Some(unreachable), left_in_keychain: None };
    assert_eq!(stored, expected);
    // One that is there and does not answer is told all the same: others may have put something there.
    keychain.refuse(locked());
    let told = Removed { was_there: true, left_in_keychain: Some(locked()) };
    assert_eq!(store.remove(&name("A")).unwrap(), told);
    assert_eq!(store.remove(&name("A")).unwrap(), Removed { was_there: false, ..told });

    keychain.refuse(KeychainError::None);
    store.set(spec("A"), &"first value".into()).unwrap();
    let without = SecretStore::new(store.folder().to_owned(), None);
    assert_eq!(without.remove(&name("A")).unwrap(), Removed { was_there: true, left_in_keychain: None });
}

#[test]
fn removing_tries_the_file_and_the_keychain_wherever_the_value_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (store, keychain) = with_keychain(folder.path());
    let gone = || Removed { was_there: true, left_in_keychain: None };
    // Both were left by something that the index knows nothing of.
    let without = SecretStore::new(store.folder().to_owned(), None);
    without.set(spec("A"), &"first value".into()).unwrap();
    keychain.items.lock().unwrap().insert(store.item(&name("A")), "old value".to_owned());
    assert_eq!((store.remove(&name("A")).unwrap(), keychain.len()), (gone(), 0));

    store.set(spec("B"), &"first value".into()).unwrap();
    let stale = BTreeMap::from([(name("B"), "old value".into())]);
    Folder::lock(store.folder()).unwrap().write_values(&stale).unwrap();
    assert_eq!((store.remove(&name("B")).unwrap(), keychain.len()), (gone(), 0));
    assert!(!fs::read_to_string(store.folder().join("values.json")).unwrap().contains("old value"));
}
