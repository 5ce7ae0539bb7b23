//! The chain over the journal's records: pure functions of bytes, as `verifier/FORMAT.md` writes them down.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A SHA-256 (FIPS 180-4).
pub(crate) type Hash = [u8; 32];

/// What tells one journal from every other; drawn when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalId(pub(crate) [u8; 16]);

impl fmt::Display for JournalId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

/// The last record of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// 0 before the first record.
    pub(crate) sequence: i64,
    pub(crate) hash: Hash,
}

impl Head {
    /// Returns where the chain of a journal starts.
    pub(crate) fn start(id: JournalId) -> Self {
        let mut encoding = Encoding::of("boxagnts journal start v1");
        encoding.field(&id.0);
        Self { sequence: 0, hash: encoding.hash() }
    }

    /// Returns the hash of the record after this one.
    pub(crate) fn link(&self, digest: &Hash) -> Hash {
        link(&self.hash, self.sequence.saturating_add(1), digest)
    }
}

/// Returns the hash of the record that stands at `sequence`, after one with the hash `previous`.
pub(crate) fn link(previous: &Hash, sequence: i64, digest: &Hash) -> Hash {
    let mut encoding = Encoding::of("boxagnts journal link v1");
    encoding.bytes(previous);
    encoding.number(sequence);
    encoding.bytes(digest);
    encoding.hash()
}

/// What a record says, as it is stored; its place in the chain is not part of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) session: &'a [u8],
    pub(crate) recorded_at_ms: i64,
    pub(crate) kind: Option<&'a [u8]>,
    pub(crate) change_set: Option<&'a [u8]>,
    pub(crate) undoes: Option<&'a [u8]>,
    pub(crate) place: Option<&'a [u8]>,
    pub(crate) body: &'a [u8],
}

impl Record<'_> {
    pub(crate) fn digest(&self) -> Hash {
        let mut encoding = Encoding::of("boxagnts journal record v1");
        encoding.field(self.session);
        encoding.number(self.recorded_at_ms);
        for field in [self.kind, self.change_set, self.undoes, self.place] {
            encoding.optional(field);
        }
        encoding.field(self.body);
        encoding.hash()
    }
}

/// Bytes that can be read in one way only: every part has a fixed length, or its length before it.
pub(crate) struct Encoding(Sha256);

impl Encoding {
    /// Begins with what the bytes are for, so that bytes for one thing never pass for another's.
    pub(crate) fn of(domain: &str) -> Self {
        let mut encoding = Self(Sha256::new());
        encoding.field(domain.as_bytes());
        encoding
    }

    /// Takes bytes of a fixed length.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Takes a number: 64 bits, the highest first, two's complement.
    pub(crate) fn number(&mut self, number: i64) {
        self.bytes(&number.to_be_bytes());
    }

    /// Takes bytes of any length.
    pub(crate) fn field(&mut self, field: &[u8]) {
        self.bytes(&(field.len() as u64).to_be_bytes());
        self.bytes(field);
    }

    /// Takes bytes that may be absent, which is not the same as empty.
    fn optional(&mut self, field: Option<&[u8]>) {
        self.bytes(&[u8::from(field.is_some())]);
        if let Some(field) = field {
            self.field(field);
        }
    }

    pub(crate) fn hash(self) -> Hash {
        self.0.finalize().into()
    }
}

/// Returns bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.map(|nibble| char::from(DIGITS[usize::from(nibble)])).collect()
}

/// Returns the bytes that lower-case hex says, if there are as many.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: Record<'static> = Record {
        session: b"ab",
        recorded_at_ms: 7,
        kind: Some(b"k"),
        change_set: None,
        undoes: None,
        place: None,
        body: b"{}",
    };

    #[test]
    fn no_two_records_are_written_alike() {
        let records = [
            RECORD,
            Record { session: b"a", ..RECORD },
            Record { session: b"", body: b"ab{}", ..RECORD },
            Record { recorded_at_ms: 8, ..RECORD },
            Record { recorded_at_ms: -7, ..RECORD },
            Record { kind: None, ..RECORD },
            Record { kind: Some(b""), ..RECORD },
            Record { kind: None, change_set: Some(b"k"), ..RECORD },
            Record { kind: None, undoes: Some(b"k"), ..RECORD },
            Record { kind: None, place: Some(b"k"), ..RECORD },
            Record { change_set: Some(b""), ..RECORD },
            Record { body: b"{} ", ..RECORD },
        ];
        let mut digests: Vec<Hash> = records.iter().map(Record::digest).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), records.len());
    }

    #[test]
    fn a_link_is_to_one_place_of_one_journal() {
        let (digest, start) = (RECORD.digest(), Head::start(JournalId([1; 16])));
        let hash = start.link(&digest);
        assert_ne!(hash, Head::start(JournalId([2; 16])).link(&digest));
        assert_ne!(hash, link(&start.hash, 2, &digest));
        assert_ne!(hash, start.link(&start.hash));
    }

    #[test]
    fn the_format_is_what_is_written_down() {
        // Computed from verifier/FORMAT.md by itself, with Python's hashlib.
        let head = Head::start(JournalId([1; 16]));
        assert_eq!(hex(&head.hash), "5180b50ada8e73f8e76a486cde05788aeb006fd7d0df88e09a6dbf1b97d26e88");
        assert_eq!(hex(&RECORD.digest()), "327c73fe2b89ee927d1654336570ab6a0d251d0815e0240466f2360808cf80d2");
        assert_eq!(
            hex(&head.link(&RECORD.digest())),
            "269f8dbc0a848e6b3823ca670b3ab7b73485ddecee4ffe6bf859ff54ea7c8578"
        );
    }

    #[test]
    fn hex_is_lower_case_and_of_one_length() {
        assert_eq!(unhex::<2>(&hex(&[0x0f, 0xa0])), Some([0x0f, 0xa0]));
        for text in ["", "0fa", "0fa00", "0FA0", "0fg0", "é0a"] {
            assert_eq!(unhex::<2>(text), None, "{text}");
        }
    }
}
