//! The randomness of one call: 32 bytes from the host, and everything else from them.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

const SEED_BYTES: usize = 32;

/// What a call's random bytes are derived from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Seed([u8; SEED_BYTES]);

impl Seed {
    /// Returns a seed from the operating system.
    pub(crate) fn fresh() -> Self {
        let mut bytes = [0; SEED_BYTES];
        rand::Rng::fill_bytes(&mut rand::rng(), &mut bytes);
        Self(bytes)
    }
}

impl From<Seed> for String {
    fn from(seed: Seed) -> Self {
        seed.0
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .filter_map(|digit| char::from_digit(digit.into(), 16))
            .collect()
    }
}

impl TryFrom<String> for Seed {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let byte = |at: usize| text.get(at * 2..at * 2 + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let mut bytes = [0; SEED_BYTES];
        for (at, to) in bytes.iter_mut().enumerate() {
            *to = byte(at).ok_or("a seed is 32 bytes in hex")?;
        }
        Ok(Self(bytes))
    }
}

/// Random bytes: HMAC-SHA-256 of a counter under the seed, which nobody tells from chance without it. The algorithm is
/// part of what a tape says, so it is not a library's current choice.
#[derive(Debug)]
pub(crate) struct Random {
    seed: Seed,
    block: u64,
}

impl Random {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { seed, block: 0 }
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(SEED_BYTES) {
            let mut hmac = Hmac::<Sha256>::new_from_slice(&self.seed.0).expect("HMAC takes keys of any length");
            hmac.update(&self.block.to_be_bytes());
            self.block += 1;
            chunk.copy_from_slice(&hmac.finalize().into_bytes()[..chunk.len()]);
        }
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(seed: &Seed, lengths: &[usize]) -> Vec<Vec<u8>> {
        let mut random = Random::new(seed.clone());
        let mut next = |length: &usize| {
            let mut bytes = vec![0; *length];
            random.fill(&mut bytes);
            bytes
        };
        lengths.iter().map(&mut next).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_no_other_does() {
        let seed = Seed::fresh();
        let first = bytes(&seed, &[8, 100, 1]);
        assert_eq!(bytes(&seed, &[8, 100, 1]), first);
        assert_ne!(bytes(&Seed::fresh(), &[8, 100, 1]), first);
        assert_ne!(first[0], first[1][..8], "no bytes come twice");
        let text = String::from(seed.clone());
        assert_eq!(Seed::try_from(text), Ok(seed));
        assert!(Seed::try_from("00".to_owned()).is_err());
    }
}
