//! What a component says of itself in plain data, read without compiling or running it: its imports, and its tools where
//! it declares them.
//!
//! A declaration is a custom section that holds name, description and schema of each tool, each as its length (four
//! bytes, little-endian) and its text. It is the component's own word, exactly as what it answers when it is asked.

use wasmparser::{BinaryReaderError, Chunk, Encoding, Parser, Payload};

use crate::LoadError;
use crate::bindings::tool::exports::boxagnts::tool::tool::Definition;
use crate::compile::{within_imports, within_nesting};
use crate::tool::MAX_DEFINITIONS;

/// The custom section of declarations, in the component or in a module of it.
const SECTION: &str = "boxagnts:tool/definitions";

/// Bytes of the name of an import: those of WASI have a sixth of it.
const MAX_IMPORT_BYTES: usize = 256;

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    /// The interfaces that are imported, with their versions.
    pub(crate) imports: Vec<String>,
    /// The tools, unchecked; none when the component has to be asked.
    pub(crate) definitions: Vec<Definition>,
}

impl Declared {
    /// Reads `wasm`, passing over its code.
    pub(crate) fn read(wasm: &[u8]) -> Result<Self, LoadError> {
        let mut declared = Self::default();
        let (mut rest, mut parser, mut outer) = (wasm, Parser::new(0), Vec::new());
        loop {
            let (payload, consumed) = match parser.parse(rest, true).map_err(invalid)? {
                Chunk::Parsed { payload, consumed } => (payload, consumed),
                Chunk::NeedMoreData(_) => return Err(broken("it ends early")),
            };
            rest = &rest[consumed..];
            match payload {
                Payload::Version { encoding: Encoding::Module, .. } if outer.is_empty() => {
                    return Err(broken("it is a module, not a component; `wasm-tools component new` makes one of it"));
                }
                Payload::ModuleSection { parser: inner, .. } | Payload::ComponentSection { parser: inner, .. } => {
                    outer.push(std::mem::replace(&mut parser, inner));
                    within_nesting(outer.len())?;
                }
                Payload::CodeSectionStart { size, .. } => {
                    parser.skip_section();
                    rest = rest.get(size as usize..).ok_or_else(|| broken("its code ends early"))?;
                }
                Payload::End(_) => match outer.pop() {
                    Some(around) => parser = around,
                    None => return Ok(declared),
                },
                payload => declared.take(payload, outer.is_empty())?,
            }
        }
    }

    fn take(&mut self, payload: Payload<'_>, is_outermost: bool) -> Result<(), LoadError> {
        match payload {
            Payload::ComponentImportSection(imports) if is_outermost => {
                within_imports(self.imports.len() + imports.count() as usize)?;
                for import in imports {
                    let name = import.map_err(invalid)?.name.name;
                    if name.len() > MAX_IMPORT_BYTES {
                        return Err(broken("the name of an import is too long"));
                    }
                    self.imports.push(name.to_owned());
                }
            }
            Payload::CustomSection(section) if section.name() == SECTION => {
                let cut = || LoadError::InvalidDefinition("the declaration is cut off or is not text".into());
                let room = MAX_DEFINITIONS.saturating_sub(self.definitions.len());
                self.definitions.extend(definitions(section.data(), room).ok_or_else(cut)?);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Returns the tools that `bytes` declares; one more than `room` where there are too many.
fn definitions(mut bytes: &[u8], room: usize) -> Option<Vec<Definition>> {
    let mut found = Vec::new();
    while !bytes.is_empty() && found.len() <= room {
        let [name, description, input_schema] = [text(&mut bytes)?, text(&mut bytes)?, text(&mut bytes)?];
        found.push(Definition { name, description, input_schema });
    }
    Some(found)
}

/// Takes one text off the front of `bytes`.
fn text(bytes: &mut &[u8]) -> Option<String> {
    let length = u32::from_le_bytes(*bytes.split_off(..4)?.as_array()?);
    let text = bytes.split_off(..length as usize)?;
    std::str::from_utf8(text).ok().map(str::to_owned)
}

fn invalid(error: BinaryReaderError) -> LoadError {
    LoadError::Invalid(wasmtime::Error::new(error))
}

fn broken(why: &str) -> LoadError {
    LoadError::Invalid(wasmtime::format_err!("{why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_taken_one_by_one() {
        let two = b"\x01\0\0\0a\0\0\0\0\x02\0\0\0{}\x01\0\0\0b\x01\0\0\0d\x02\0\0\0{}";
        let told = definitions(two, 2).unwrap();
        let told: Vec<_> = told.iter().map(|one| [&*one.name, &one.description, &one.input_schema]).collect();
        assert_eq!(told, [["a", "", "{}"], ["b", "d", "{}"]]);
        assert!(definitions(b"", 2).unwrap().is_empty());
        assert_eq!(definitions(&two.repeat(9), 2).unwrap().len(), 3, "one more says that there are too many");
    }

    #[test]
    fn what_is_cut_off_or_no_text_is_refused() {
        let whole = b"\x01\0\0\0a\x01\0\0\0d\x02\0\0\0{}";
        assert!((1..whole.len()).all(|length| definitions(&whole[..length], 1).is_none()));
        assert!(definitions(b"\xff\xff\xff\xffa", 1).is_none());
        assert!(definitions(b"\x01\0\0\0\xff\0\0\0\0\0\0\0\0", 1).is_none());
    }
}
