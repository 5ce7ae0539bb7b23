use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::sync::Mutex;

use super::*;

/// A keychain of the test's own: it works, forgets, or fails.
#[derive(Default)]
struct Pretended {
    items: Mutex<BTreeMap<String, String>>,
    fails: Mutex<bool>,
}

impl Pretended {
    fn answer<T>(&self, answer: T) -> std::result::Result<T, KeychainError> {
        if *self.fails.lock().unwrap() { Err(KeychainError::Failed("it is locked".into())) } else { Ok(answer) }
    }
}

impl Keychain for Pretended {
    fn keep(&self, item: &str, value: &SecretString) -> std::result::Result<(), KeychainError> {
        self.answer(())?;
        self.items.lock().unwrap().insert(item.to_owned(), value.expose_secret().to_owned());
        Ok(())
    }

    fn read(&self, item: &str) -> std::result::Result<Option<SecretString>, KeychainError> {
        self.answer(self.items.lock().unwrap().get(item).map(|value| value.as_str().into()))
    }

    fn remove(&self, item: &str) -> std::result::Result<(), KeychainError> {
        self.answer(())?;
        self.items.lock().unwrap().remove(item);
        Ok(())
    }
}

fn name(text: &str) -> SecretName {
    text.parse().unwrap()
}

fn spec(text: &str) -> SecretSpec {
    let placement = Placement::Header { name: "x-key".into(), format: "Bearer {}".into() };
    SecretSpec::new(name(text), ["https://api.test".parse().unwrap()].into(), placement).unwrap()
}

fn store(folder: &Path) -> SecretStore {
    SecretStore::new(folder.join("deep/secrets"), None)
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
    assert!(store.remove(&name("A")).unwrap() && !store.remove(&name("A")).unwrap());
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
    *keychain.fails.lock().unwrap() = true;
    let stored = store.set(spec("A"), &"first value".into()).unwrap();
    assert_eq!(stored.kept, Kept::File);
    assert_eq!(stored.not_in_keychain, Some(KeychainError::Failed("it is locked".into())));
    *keychain.fails.lock().unwrap() = false;
    for name in ["A", "B"] {
        let stored = store.set(spec(name), &"second value".into()).unwrap();
        assert_eq!((stored.kept, stored.not_in_keychain), (Kept::Keychain, None));
    }
    let file = fs::read_to_string(store.folder().join("values.json")).unwrap();
    assert!(!file.contains("value\"") && !file.contains("first value"), "{file}");
    assert_eq!(values(&store, &["A", "B"]), [pair("A", "second value"), pair("B", "second value")]);

    *keychain.fails.lock().unwrap() = true;
    assert_eq!(store.list().unwrap().len(), 2);
    assert!(store.read(&[name("A")].into()).unwrap_err().to_string().contains("it is locked"));
    assert!(matches!(store.remove(&name("A")), Err(SecretError::Keychain { .. })));
    let without = SecretStore::new(store.folder().to_owned(), None);
    assert!(matches!(without.read(&[name("A")].into()), Err(SecretError::Keychain { .. })));
    *keychain.fails.lock().unwrap() = false;
    assert!(store.remove(&name("A")).unwrap());
    assert_eq!(keychain.items.lock().unwrap().len(), 1);
}
