//! The parts of a file that were read.

use std::collections::BTreeMap;

/// Bytes by their offset. No two parts touch.
#[derive(Debug, Default)]
pub(super) struct Extents(BTreeMap<u64, Vec<u8>>);

impl Extents {
    /// Adds what was read at `offset`. Returns how many bytes are new; `None` if bytes that are there were others.
    pub(super) fn add(&mut self, offset: u64, bytes: &[u8]) -> Option<u64> {
        let touching = |(start, part): (&u64, &Vec<u8>)| (*start + part.len() as u64 >= offset).then_some(*start);
        let start = self.0.range(..=offset).next_back().and_then(touching).unwrap_or(offset);
        let mut part = self.0.remove(&start).unwrap_or_default();
        let mut known = part.len();
        merge(&mut part, offset - start, bytes)?;
        loop {
            let end = start + part.len() as u64;
            let Some((&next, _)) = self.0.range(start..=end).next() else { break };
            let later = self.0.remove(&next).unwrap_or_default();
            known += later.len();
            merge(&mut part, next - start, &later)?;
        }
        let new = part.len() - known;
        self.0.insert(start, part);
        Some(new as u64)
    }

    pub(super) fn into_parts(self) -> impl Iterator<Item = (u64, Vec<u8>)> {
        self.0.into_iter().filter(|(_, part)| !part.is_empty())
    }
}

/// Lays `bytes` over `part` from `at` on, which is not beyond its end; `None` where both differ.
fn merge(part: &mut Vec<u8>, at: u64, bytes: &[u8]) -> Option<()> {
    let at = usize::try_from(at).ok()?;
    let common = bytes.len().min(part.len() - at);
    if part[at..at + common] != bytes[..common] {
        return None;
    }
    part.extend_from_slice(&bytes[common..]);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(reads: &[(u64, &str)]) -> Option<Vec<(u64, String)>> {
        let mut extents = Extents::default();
        for (offset, bytes) in reads {
            extents.add(*offset, bytes.as_bytes())?;
        }
        Some(extents.into_parts().map(|(offset, part)| (offset, String::from_utf8(part).unwrap())).collect())
    }

    #[test]
    fn parts_grow_together() {
        let whole = Some(vec![(0, "abcdef".to_owned())]);
        assert_eq!(parts(&[(0, "abc"), (3, "def"), (6, "")]), whole);
        assert_eq!(parts(&[(3, "def"), (0, "abc")]), whole);
        assert_eq!(parts(&[(0, "ab"), (4, "ef"), (1, "bcde")]), whole);
        assert_eq!(parts(&[(0, "abcdef"), (2, "cd")]), whole);
        assert_eq!(parts(&[(0, "a"), (2, "c")]), Some(vec![(0, "a".to_owned()), (2, "c".to_owned())]));
    }

    #[test]
    fn what_changed_between_two_reads_is_seen() {
        assert_eq!(parts(&[(0, "abc"), (1, "xc")]), None);
        assert_eq!(parts(&[(2, "cd"), (0, "abx")]), None);
    }
}
