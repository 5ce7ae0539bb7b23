//! Checkpoints: signatures under the chain, and the key that makes them (Ed25519, RFC 8032).

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use secrecy::zeroize::Zeroizing;

use super::chain::{Encoding, Hash, Head, JournalId, hex};

/// A public key.
pub(crate) type PublicKey = [u8; 32];

/// The key of one workspace. It signs, and gives nothing else away than its public half.
pub(crate) struct SigningKey(Ed25519KeyPair);

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey({})", hex(&self.public()))
    }
}

impl SigningKey {
    /// Returns the PKCS#8 form of a new key (RFC 5958). Keys come from the system's randomness and from nowhere else.
    pub(crate) fn generate() -> Option<Zeroizing<Vec<u8>>> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).ok()?;
        Some(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// Returns the key that [`Self::generate`] made; `None` when it is none, or its halves do not belong together.
    pub(crate) fn read(pkcs8: &[u8]) -> Option<Self> {
        Ed25519KeyPair::from_pkcs8(pkcs8).ok().map(Self)
    }

    pub(crate) fn public(&self) -> PublicKey {
        self.0.public_key().as_ref().try_into().expect("an Ed25519 key has 32 bytes")
    }

    /// Signs `head` of the journal `id`, as its checkpoint `number`.
    pub(crate) fn sign(&self, id: JournalId, number: i64, head: &Head, signed_at_ms: i64) -> Checkpoint {
        let key = self.public();
        let mut checkpoint =
            Checkpoint { number, sequence: head.sequence, hash: head.hash, signed_at_ms, key, signature: [0; 64] };
        let signature = self.0.sign(&checkpoint.message(id));
        checkpoint.signature.copy_from_slice(signature.as_ref());
        checkpoint
    }
}

/// A signature under one record, and so under every one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// From 0 without gaps.
    pub(crate) number: i64,
    /// 0 is the empty journal.
    pub(crate) sequence: i64,
    pub(crate) hash: Hash,
    pub(crate) signed_at_ms: i64,
    pub(crate) key: PublicKey,
    pub(crate) signature: [u8; 64],
}

impl Checkpoint {
    /// Returns what is signed.
    fn message(&self, id: JournalId) -> Hash {
        let mut encoding = Encoding::of("boxagnts journal checkpoint v1");
        encoding.field(&id.0);
        encoding.number(self.number);
        encoding.number(self.sequence);
        encoding.bytes(&self.hash);
        encoding.number(self.signed_at_ms);
        encoding.bytes(&self.key);
        encoding.hash()
    }

    /// Tells whether the signature is one of `key` under this record of the journal `id`.
    pub(crate) fn is_signed(&self, id: JournalId) -> bool {
        UnparsedPublicKey::new(&ED25519, self.key).verify(&self.message(id), &self.signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::read(&SigningKey::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_checkpoint_holds_for_what_was_signed_and_nothing_else() {
        let (id, head) = (JournalId([1; 16]), Head { sequence: 3, hash: [3; 32] });
        let signed = key().sign(id, 2, &head, 5);
        assert!(signed.is_signed(id));
        assert!(!signed.is_signed(JournalId([2; 16])));
        let mut signature = signed.signature;
        signature[0] ^= 1;
        for changed in [
            Checkpoint { number: 3, ..signed.clone() },
            Checkpoint { sequence: 4, ..signed.clone() },
            Checkpoint { hash: [4; 32], ..signed.clone() },
            Checkpoint { signed_at_ms: 6, ..signed.clone() },
            Checkpoint { key: key().public(), ..signed.clone() },
            Checkpoint { signature, ..signed.clone() },
        ] {
            assert!(!changed.is_signed(id), "{changed:?}");
        }
    }

    #[test]
    fn a_key_shows_only_its_public_half() {
        let pkcs8 = SigningKey::generate().unwrap();
        let key = SigningKey::read(&pkcs8).unwrap();
        // RFC 8410: the seed follows the header.
        let shown = format!("{key:?}");
        assert_eq!(shown, format!("SigningKey({})", hex(&key.public())));
        assert!(!shown.contains(&hex(&pkcs8[16..48])));
        assert!(SigningKey::read(&pkcs8[1..]).is_none());
    }
}
