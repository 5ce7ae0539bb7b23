//! The declaration of a tool: its definition as data in the component, which a host reads without compiling anything.
//!
//! Name, description and schema, each as its length (four bytes, little-endian) and its text.

/// Bytes of the length in front of each text.
const LENGTH_BYTES: usize = 4;

/// Returns the bytes of the declaration that says `told`.
#[must_use]
pub const fn declaration_bytes(told: [&str; 3]) -> usize {
    told[0].len() + told[1].len() + told[2].len() + 3 * LENGTH_BYTES
}

/// Returns the declaration that says `told`; `N` is its [`declaration_bytes`].
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "no description has 4 GiB")]
pub const fn declaration<const N: usize>(told: [&str; 3]) -> [u8; N] {
    let (mut bytes, mut at, mut next) = ([0; N], 0, 0);
    while next < told.len() {
        at = put(&mut bytes, at, &(told[next].len() as u32).to_le_bytes());
        at = put(&mut bytes, at, told[next].as_bytes());
        next += 1;
    }
    bytes
}

/// Writes `text` to `bytes` from `at` on, and returns where it ends.
const fn put(bytes: &mut [u8], at: usize, text: &[u8]) -> usize {
    let mut next = 0;
    while next < text.len() {
        bytes[at + next] = text[next];
        next += 1;
    }
    at + next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_stand_before_texts() {
        const TOLD: [&str; 3] = ["a", "", "é{}"];
        const DECLARED: [u8; declaration_bytes(TOLD)] = declaration(TOLD);
        assert_eq!(DECLARED, *b"\x01\0\0\0a\0\0\0\0\x04\0\0\0\xc3\xa9{}");
    }
}
