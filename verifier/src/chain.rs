//! Hashes and signatures, as `FORMAT.md` says them.

use ring::signature::{ED25519, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

use crate::line::{Checkpoint, Record};

pub(crate) type Hash = [u8; 32];

/// Bytes on their way into a hash.
struct Bytes(Vec<u8>);

impl Bytes {
    fn of(domain: &str) -> Self {
        Self(Vec::new()).field(domain.as_bytes())
    }

    fn fixed(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn number(self, number: i64) -> Self {
        self.fixed(&number.to_be_bytes())
    }

    fn field(self, bytes: &[u8]) -> Self {
        self.fixed(&(bytes.len() as u64).to_be_bytes()).fixed(bytes)
    }

    fn optional(self, text: Option<&String>) -> Self {
        match text {
            None => self.fixed(&[0]),
            Some(text) => self.fixed(&[1]).field(text.as_bytes()),
        }
    }

    fn hash(self) -> Hash {
        Sha256::digest(self.0).into()
    }
}

pub(crate) fn start(id: &[u8; 16]) -> Hash {
    Bytes::of("boxagnts journal start v1").field(id).hash()
}

pub(crate) fn link(previous: &Hash, sequence: i64, digest: &Hash) -> Hash {
    Bytes::of("boxagnts journal link v1").fixed(previous).number(sequence).fixed(digest).hash()
}

pub(crate) fn digest(record: &Record) -> Hash {
    Bytes::of("boxagnts journal record v1")
        .field(record.session.as_bytes())
        .number(record.recorded_at_ms)
        .optional(record.kind.as_ref())
        .optional(record.change_set.as_ref())
        .optional(record.undoes.as_ref())
        .optional(record.place.as_ref())
        .field(record.body.as_bytes())
        .hash()
}

/// Tells whether a checkpoint's signature is one by its key under what it says.
pub(crate) fn is_signed(id: &[u8; 16], checkpoint: &Checkpoint) -> bool {
    let (hash, key, signature) = (&checkpoint.hash, &checkpoint.key, &checkpoint.signature);
    let (Some(hash), Some(key), Some(signature)) = (unhex::<32>(hash), unhex::<32>(key), unhex::<64>(signature)) else {
        return false;
    };
    let message = Bytes::of("boxagnts journal checkpoint v1")
        .field(id)
        .number(checkpoint.number)
        .number(checkpoint.sequence)
        .fixed(&hash)
        .number(checkpoint.signed_at_ms)
        .fixed(&key)
        .hash();
    UnparsedPublicKey::new(&ED25519, key).verify(&message, &signature).is_ok()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).expect("four bits are a digit");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Returns the bytes that lower-case hex says, if there are as many.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let is_hex = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    if text.len() != 2 * N || !text.bytes().all(is_hex) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}
