//! Reading an extension from a folder that anybody may have filled.
//!
//! Nothing but plain files of a known size is read, and what was read is what is hashed, approved and run.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use protocol::{ContentHash, Hasher};
use sandbox::MAX_WASM_BYTES;

use crate::approval::{Approval, ApprovalError};
use crate::command::{InvalidCommand, schema_file};
use crate::manifest::{InvalidManifest, Manifest};

/// Bytes of a `tool.toml` or of a schema: a description and a schema are pages, not books.
const MAX_TEXT_BYTES: u64 = 256 << 10;

/// Entries in an extension's folder: manifest, component, schema, and a few papers.
const MAX_ENTRIES: usize = 64;

const MANIFEST: &str = "tool.toml";

/// Why a folder holds no extension that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ExtensionError {
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is not a plain file or folder; links, pipes and devices are not followed", path = path.display())]
    Kind { path: PathBuf },
    #[error("{path} has {found} bytes; the limit is {most}", path = path.display())]
    TooLarge { path: PathBuf, found: u64, most: u64 },
    #[error("{path} is not UTF-8 text", path = path.display())]
    Text { path: PathBuf },
    #[error("{path} can be written by others; run `chmod go-w` on it", path = path.display())]
    Writable { path: PathBuf },
    #[error("the folder holds {found} `.wasm` files; exactly one is expected")]
    Components { found: usize },
    #[error("the folder holds more than {MAX_ENTRIES} entries")]
    Entries,
    #[error("the schema file `{0}` must be the name of a file beside tool.toml")]
    SchemaName(String),
    #[error("it calls itself `{name}`; its folder must have the same name")]
    OtherName { name: String },
    #[error("the name `{0}` is a built-in tool's")]
    Taken(String),
    #[error("there are more than {most} extensions; this one is left out")]
    TooMany { most: usize },
    #[error(transparent)]
    Manifest(#[from] InvalidManifest),
    #[error("[command]: {0}")]
    Command(#[from] InvalidCommand),
    #[error(transparent)]
    Approval(#[from] ApprovalError),
}

/// An extension as it was read: not checked against the runtime, not approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) manifest: Manifest,
    manifest_text: String,
    pub(crate) schema: Option<SchemaFile>,
    pub(crate) component: Vec<u8>,
}

/// The file that `input_schema` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SchemaFile {
    name: String,
    pub(crate) text: String,
}

impl Source {
    /// Reads `path`: a folder with `tool.toml` and one component, or a component with `tool.toml` beside it.
    pub(crate) fn read(path: &Path) -> Result<Self, ExtensionError> {
        let path = &path.canonicalize().map_err(|source| ExtensionError::Io { path: path.to_owned(), source })?;
        if path.is_dir() {
            return Self::read_folder(path);
        }
        Self::read_files(path.parent().unwrap_or(Path::new("/")), path)
    }

    /// Reads the extension in `folder`.
    pub(crate) fn read_folder(folder: &Path) -> Result<Self, ExtensionError> {
        let mut components: Vec<_> = entries(folder)?;
        components.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
        match components.as_slice() {
            [component] => Self::read_files(folder, component),
            others => Err(ExtensionError::Components { found: others.len() }),
        }
    }

    fn read_files(folder: &Path, component: &Path) -> Result<Self, ExtensionError> {
        let manifest_text = read_text(&folder.join(MANIFEST))?;
        let manifest = Manifest::parse(&manifest_text)?;
        let schema = match manifest.command.as_ref().and_then(schema_file) {
            Some(name) => Some(SchemaFile { text: read_text(&beside(folder, name)?)?, name: name.to_owned() }),
            None => None,
        };
        let component = read(component, MAX_WASM_BYTES as u64)?;
        Ok(Self { manifest, manifest_text, schema, component })
    }

    /// Returns the hash of the component.
    pub(crate) fn component_hash(&self) -> ContentHash {
        ContentHash::of(&self.component)
    }

    /// Returns the hash of everything that is written about the component.
    pub(crate) fn manifest_hash(&self) -> ContentHash {
        let mut hasher = Hasher::default();
        hasher.field(self.manifest_text.as_bytes());
        if let Some(schema) = &self.schema {
            hasher.field(schema.text.as_bytes());
        }
        hasher.finish()
    }

    /// Returns the approval of everything that this extension asks for.
    pub(crate) fn approval(&self) -> Approval {
        let Manifest { name, version, .. } = &self.manifest;
        Approval::new(name, version, &self.component_hash(), &self.manifest_hash(), self.manifest.asks())
    }

    /// Returns the files that make up the extension: names and contents.
    pub(crate) fn files(&self) -> Vec<(String, &[u8])> {
        let schema = self.schema.as_ref().map(|schema| (schema.name.clone(), schema.text.as_bytes()));
        let manifest = (MANIFEST.to_owned(), self.manifest_text.as_bytes());
        let component = (format!("{}.wasm", self.manifest.name), self.component.as_slice());
        [manifest, component].into_iter().chain(schema).collect()
    }
}

/// What an extension asks for, beside what was approved before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    asks: BTreeSet<String>,
    approved: BTreeSet<String>,
}

impl Difference {
    pub(crate) fn new(asks: BTreeSet<String>, approved: BTreeSet<String>) -> Self {
        Self { asks, approved }
    }

    /// Tells whether more is asked for than was approved.
    pub fn is_more(&self) -> bool {
        !self.asks.is_subset(&self.approved)
    }

    /// Returns a line for each capability: `+` asked for now, `-` no more, a space for what stays.
    pub fn lines(&self) -> Vec<String> {
        let mark = |line: &String| match (self.asks.contains(line), self.approved.contains(line)) {
            (true, false) => format!("+ {line}"),
            (false, _) => format!("- {line}"),
            (true, true) => format!("  {line}"),
        };
        self.asks.union(&self.approved).map(mark).collect()
    }
}

/// Returns the path of the file `name` beside a manifest.
fn beside(folder: &Path, name: &str) -> Result<PathBuf, ExtensionError> {
    let is_plain = !name.starts_with('.') && !name.contains(['/', '\\', '\0']) && name != MANIFEST;
    let is_json = Path::new(name).extension().is_some_and(|extension| extension == "json");
    if is_plain && is_json { Ok(folder.join(name)) } else { Err(ExtensionError::SchemaName(name.to_owned())) }
}

/// Returns the paths in `folder`.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, ExtensionError> {
    let failed = |source| ExtensionError::Io { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        if paths.len() == MAX_ENTRIES {
            return Err(ExtensionError::Entries);
        }
        paths.push(entry.map_err(failed)?.path());
    }
    Ok(paths)
}

fn read_text(path: &Path) -> Result<String, ExtensionError> {
    let bytes = read(path, MAX_TEXT_BYTES)?;
    String::from_utf8(bytes).map_err(|_| ExtensionError::Text { path: path.to_owned() })
}

/// Returns the content of a plain file of `most` bytes at most. A link is refused even when it leads to one: what it leads
/// to may lie where a tool can write.
fn read(path: &Path, most: u64) -> Result<Vec<u8>, ExtensionError> {
    let failed = |source| ExtensionError::Io { path: path.to_owned(), source };
    let named = fs::symlink_metadata(path).map_err(failed)?;
    if !named.is_file() {
        return Err(ExtensionError::Kind { path: path.to_owned() });
    }
    let too_large = |found| ExtensionError::TooLarge { path: path.to_owned(), found, most };
    if named.len() > most {
        return Err(too_large(named.len()));
    }
    let file = File::open(path).map_err(failed)?;
    let opened = file.metadata().map_err(failed)?;
    if (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
        return Err(ExtensionError::Kind { path: path.to_owned() });
    }
    let mut content = Vec::new();
    file.take(most + 1).read_to_end(&mut content).map_err(failed)?;
    let found = content.len() as u64;
    if found > most { Err(too_large(found)) } else { Ok(content) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const MANIFEST_TEXT: &str = "name = \"wc\"\nversion = \"1\"\nlevel = \"none\"\n[capabilities]\nfiles = \"none\"\n";

    const COMMAND: &str = "[command]\ndescription = \"d\"\ninput_schema = \"SCHEMA\"\n";

    fn folder(manifest: &str, component: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MANIFEST), manifest).unwrap();
        fs::write(folder.path().join("any.wasm"), component).unwrap();
        folder
    }

    fn refused(folder: &Path) -> String {
        Source::read(folder).unwrap_err().to_string()
    }

    #[test]
    fn a_folder_and_a_component_with_its_manifest_are_the_same() {
        let folder = folder(MANIFEST_TEXT, b"wasm");
        let of_folder = Source::read(folder.path()).unwrap();
        assert_eq!(Source::read(&folder.path().join("any.wasm")).unwrap(), of_folder);
        let files: Vec<_> = of_folder.files().into_iter().map(|(name, content)| (name, content.to_vec())).collect();
        let expected =
            [(MANIFEST.to_owned(), MANIFEST_TEXT.as_bytes().to_vec()), ("wc.wasm".to_owned(), b"wasm".to_vec())];
        assert_eq!(files, expected);
    }

    #[test]
    fn a_schema_beside_the_manifest_is_part_of_it() {
        let folder = folder(&(MANIFEST_TEXT.to_owned() + &COMMAND.replace("SCHEMA", "schema.json")), b"wasm");
        assert!(refused(folder.path()).contains("schema.json: No such file"));
        fs::write(folder.path().join("schema.json"), "{}").unwrap();
        let first = Source::read(folder.path()).unwrap();
        fs::write(folder.path().join("schema.json"), "{ }").unwrap();
        let second = Source::read(folder.path()).unwrap();
        assert_eq!(first.component_hash(), second.component_hash());
        assert_ne!(first.manifest_hash(), second.manifest_hash());
        assert_eq!(second.files()[2], ("schema.json".to_owned(), b"{ }".as_slice()));
    }

    #[test]
    fn a_schema_file_cannot_lie_elsewhere() {
        for name in
            ["../schema.json", "/etc/passwd", "a/b.json", ".hidden.json", "tool.toml", "notes.txt", "a\\\\b.json"]
        {
            let folder = folder(&(MANIFEST_TEXT.to_owned() + &COMMAND.replace("SCHEMA", name)), b"wasm");
            assert!(refused(folder.path()).contains("must be the name of a file beside tool.toml"), "{name}");
        }
    }

    #[test]
    fn links_pipes_and_folders_are_no_component() {
        let outside = folder(MANIFEST_TEXT, b"wasm");
        let linked = tempfile::tempdir().unwrap();
        fs::write(linked.path().join(MANIFEST), MANIFEST_TEXT).unwrap();
        symlink(outside.path().join("any.wasm"), linked.path().join("wc.wasm")).unwrap();
        assert!(refused(linked.path()).contains("is not a plain file"));
        fs::remove_file(linked.path().join("wc.wasm")).unwrap();
        fs::create_dir(linked.path().join("wc.wasm")).unwrap();
        assert!(refused(linked.path()).contains("is not a plain file"));
        fs::remove_file(outside.path().join(MANIFEST)).unwrap();
        symlink("/etc/passwd", outside.path().join(MANIFEST)).unwrap();
        assert!(refused(outside.path()).contains("is not a plain file"));
    }

    #[test]
    fn what_is_too_large_or_not_one_component_is_not_read() {
        let large = folder(&format!("# {}\n{MANIFEST_TEXT}", "x".repeat(300 << 10)), b"wasm");
        assert!(refused(large.path()).contains("the limit is 262144"));
        let sparse = folder(MANIFEST_TEXT, b"");
        File::options().write(true).open(sparse.path().join("any.wasm")).unwrap().set_len(1 << 40).unwrap();
        assert!(refused(sparse.path()).contains("has 1099511627776 bytes"));
        let two = folder(MANIFEST_TEXT, b"wasm");
        fs::write(two.path().join("more.wasm"), "").unwrap();
        assert!(refused(two.path()).contains("holds 2 `.wasm` files"));
        for number in 0..MAX_ENTRIES {
            fs::write(two.path().join(number.to_string()), "").unwrap();
        }
        assert!(refused(two.path()).contains("more than 64 entries"));
    }

    #[test]
    fn a_manifest_that_is_no_manifest_is_refused() {
        let deep = format!("{MANIFEST_TEXT}x = {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
        let binary = "\u{0}\u{1}";
        let name = |name: &str| MANIFEST_TEXT.replace("\"wc\"", &format!("{name:?}"));
        for manifest in [deep.as_str(), binary, "", &name("../wc"), &name("/wc"), &name("wc\u{202e}"), &name("WC")] {
            let folder = folder(manifest, b"wasm");
            assert!(matches!(Source::read(folder.path()), Err(ExtensionError::Manifest(_))), "{manifest:.40}");
        }
        let folder = folder(MANIFEST_TEXT, b"wasm");
        fs::write(folder.path().join(MANIFEST), b"name = \"\xff\"").unwrap();
        assert!(matches!(Source::read(folder.path()), Err(ExtensionError::Text { .. })));
    }

    #[test]
    fn the_difference_shows_what_is_more_and_what_is_gone() {
        let set = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<BTreeSet<_>>();
        let difference = |asks, approved| Difference::new(set(asks), set(approved));
        assert_eq!(difference(&["a", "b"], &["b", "c"]).lines(), ["+ a", "  b", "- c"]);
        assert!(difference(&["a"], &[]).is_more() && difference(&["a", "b"], &["b", "c"]).is_more());
        assert!(!difference(&["a"], &["a", "b"]).is_more() && !difference(&[], &[]).is_more());
    }
}
