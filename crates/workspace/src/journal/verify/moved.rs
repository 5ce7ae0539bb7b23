//! Records that do not fit where they stand: altered, or moved from elsewhere.

use crate::journal::breaks::Break;
use crate::journal::chain::{Hash, Head, link};
use crate::journal::walk::Entry;

/// Records that are compared with each other; those beyond are altered as far as is told.
const MAX_COMPARED: usize = 32;

/// A record that does not follow the one before.
struct Suspect {
    sequence: i64,
    session: String,
    /// The hash that is stored before it.
    previous: Hash,
    digest: Option<Hash>,
    hash: Option<Hash>,
}

/// The records of a journal that do not follow the one before.
#[derive(Default)]
pub(super) struct Suspects {
    compared: Vec<Suspect>,
    others: Vec<Break>,
}

impl Suspects {
    pub(super) fn add(&mut self, entry: &Entry<'_>, head: &Head, digest: Option<Hash>) {
        if self.compared.len() >= MAX_COMPARED {
            // One more than is told of is enough to say that there are more.
            if self.others.len() <= super::MAX_BREAKS {
                self.others.push(entry.wrong_after(head));
            }
            return;
        }
        let (sequence, session) = (entry.sequence, entry.session());
        self.compared.push(Suspect { sequence, session, previous: head.hash, digest, hash: entry.hash });
    }

    /// Returns what is wrong with each. One that fits behind another's hash is itself in order: the other was moved.
    pub(super) fn breaks(self) -> Vec<Break> {
        let judge = |suspect: &Suspect| {
            let (sequence, session) = (suspect.sequence, suspect.session.clone());
            match self.home(suspect) {
                Some(home) if home == sequence => None,
                Some(belongs_at) => Some(Break::Moved { sequence, belongs_at, session }),
                None => Some(Break::Altered { sequence, session }),
            }
        };
        self.compared.iter().filter_map(judge).chain(self.others.iter().cloned()).collect()
    }

    /// Returns the place at which a record's hash is right.
    fn home(&self, suspect: &Suspect) -> Option<i64> {
        let (digest, hash) = (suspect.digest?, suspect.hash?);
        let fits = |previous: &Hash, place: i64| link(previous, place, &digest) == hash;
        let hashes = || self.compared.iter().filter_map(|other| other.hash.as_ref());
        let place = |other: &&Suspect| {
            fits(&other.previous, other.sequence) || hashes().any(|previous| fits(previous, other.sequence))
        };
        self.compared.iter().find(place).map(|other| other.sequence)
    }
}
