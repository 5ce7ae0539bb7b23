//! The stored records, one after the other, as they are.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::breaks::Break;
use super::chain::{Hash, Head, JournalId, Record};
use super::checkpoint::Checkpoint;

type Result<T> = rusqlite::Result<T>;

/// One stored row. What is not of its column's type is `None`: it cannot have been written by the runtime.
pub(super) struct Entry<'a> {
    pub(super) sequence: i64,
    pub(super) record: Option<Record<'a>>,
    pub(super) hash: Option<Hash>,
}

impl Entry<'_> {
    pub(super) fn session(&self) -> String {
        self.record.map_or_else(|| "?".to_owned(), |record| String::from_utf8_lossy(record.session).into_owned())
    }

    /// Returns this record as the head, if it follows `head`.
    pub(super) fn follows(&self, head: &Head) -> Option<Head> {
        let next = head.sequence.checked_add(1)?;
        let fits = self.sequence == next && self.hash? == head.link(&self.record?.digest());
        Some(Head { sequence: next, hash: self.hash? }).filter(|_| fits)
    }

    /// Returns what is wrong with a record that does not follow `head`.
    pub(super) fn wrong_after(&self, head: &Head) -> Break {
        if self.sequence > head.sequence.saturating_add(1) {
            return Break::Missing { from: head.sequence + 1, to: self.sequence - 1 };
        }
        Break::Altered { sequence: self.sequence, session: self.session() }
    }
}

/// Feeds the rows after `sequence` to `take`, in order, until it returns false. One row is in memory at a time.
pub(super) fn walk(
    connection: &Connection,
    sequence: i64,
    mut take: impl FnMut(&Entry<'_>) -> Result<bool>,
) -> Result<()> {
    const ROWS: &str = "SELECT sequence, session, recorded_at_ms, kind, change_set, undoes, place, body, hash \
        FROM events WHERE sequence > ?1 ORDER BY sequence";
    let mut statement = connection.prepare_cached(ROWS)?;
    let mut rows = statement.query([sequence])?;
    while let Some(row) = rows.next()? {
        if !take(&entry(row)?)? {
            break;
        }
    }
    Ok(())
}

/// Follows the chain from `head` to its end. Returns what is wrong first, if anything is.
pub(super) fn follow(connection: &Connection, mut head: Head) -> Result<std::result::Result<Head, Break>> {
    let mut wrong = None;
    walk(connection, head.sequence, |entry| {
        match entry.follows(&head) {
            Some(next) => head = next,
            None => wrong = Some(entry.wrong_after(&head)),
        }
        Ok(wrong.is_none())
    })?;
    Ok(wrong.map_or(Ok(head), Err))
}

fn entry<'a>(row: &'a Row<'_>) -> Result<Entry<'a>> {
    Ok(Entry { sequence: row.get(0)?, record: record(row)?, hash: bytes(row, 8)? })
}

fn record<'a>(row: &'a Row<'_>) -> Result<Option<Record<'a>>> {
    let ValueRef::Integer(recorded_at_ms) = row.get_ref(2)? else { return Ok(None) };
    let (Text::Some(session), Text::Some(body)) = (text(row, 1)?, text(row, 7)?) else { return Ok(None) };
    let [Ok(kind), Ok(change_set), Ok(undoes), Ok(place)] =
        [text(row, 3)?, text(row, 4)?, text(row, 5)?, text(row, 6)?].map(Text::optional)
    else {
        return Ok(None);
    };
    Ok(Some(Record { session, recorded_at_ms, kind, change_set, undoes, place, body }))
}

/// What a column of text holds.
enum Text<'a> {
    Some(&'a [u8]),
    Null,
    /// Something that is no text.
    Other,
}

impl<'a> Text<'a> {
    fn optional(self) -> std::result::Result<Option<&'a [u8]>, NoText> {
        match self {
            Self::Some(text) => Ok(Some(text)),
            Self::Null => Ok(None),
            Self::Other => Err(NoText),
        }
    }
}

/// A column holds something else than it may.
struct NoText;

fn text<'a>(row: &'a Row<'_>, index: usize) -> Result<Text<'a>> {
    Ok(match row.get_ref(index)? {
        ValueRef::Text(text) => Text::Some(text),
        ValueRef::Null => Text::Null,
        _ => Text::Other,
    })
}

fn bytes<const N: usize>(row: &Row<'_>, index: usize) -> Result<Option<[u8; N]>> {
    Ok(match row.get_ref(index)? {
        ValueRef::Blob(bytes) => bytes.try_into().ok(),
        _ => None,
    })
}

/// Returns what tells the journal from every other; `None` where that was altered.
pub(super) fn id(connection: &Connection) -> Result<Option<JournalId>> {
    let read = |row: &Row<'_>| Ok(bytes(row, 0)?.map(JournalId));
    connection.query_row("SELECT id FROM journal", [], read).optional().map(Option::flatten)
}

/// Returns the last row's place and hash, the start of the chain when there is no row; the hash is `None` where it was
/// altered.
pub(super) fn last(connection: &Connection, id: JournalId) -> Result<(i64, Option<Hash>)> {
    const LAST: &str = "SELECT sequence, hash FROM events ORDER BY sequence DESC LIMIT 1";
    let mut statement = connection.prepare_cached(LAST)?;
    let found = statement.query_row([], |row| Ok((row.get(0)?, bytes(row, 1)?))).optional()?;
    Ok(found.unwrap_or_else(|| (0, Some(Head::start(id).hash))))
}

/// Returns the hash that is stored at `sequence`; one that cannot be read is no hash of anything.
pub(super) fn hash_at(connection: &Connection, id: JournalId, sequence: i64) -> Result<Option<Hash>> {
    if sequence == 0 {
        return Ok(Some(Head::start(id).hash));
    }
    let mut statement = connection.prepare_cached("SELECT hash FROM events WHERE sequence = ?1")?;
    statement.query_row([sequence], |row| Ok(bytes(row, 0)?.unwrap_or_default())).optional()
}

/// A stored checkpoint; `None` beside its number where a column was altered beyond reading.
pub(super) type Signed = (i64, Option<Checkpoint>);

const CHECKPOINT: &str = "SELECT number, sequence, hash, signed_at_ms, key, signature FROM checkpoints";

pub(super) fn last_checkpoint(connection: &Connection) -> Result<Option<Signed>> {
    let mut statement = connection.prepare_cached(&format!("{CHECKPOINT} ORDER BY number DESC LIMIT 1"))?;
    statement.query_row([], checkpoint).optional()
}

/// Returns at most `limit` checkpoints after `number`, in order.
pub(super) fn checkpoints(connection: &Connection, number: i64, limit: i64) -> Result<Vec<Signed>> {
    let mut statement =
        connection.prepare_cached(&format!("{CHECKPOINT} WHERE number > ?1 ORDER BY number LIMIT ?2"))?;
    statement.query_map([number, limit], checkpoint)?.collect()
}

fn checkpoint(row: &Row<'_>) -> Result<Signed> {
    let number = row.get(0)?;
    let integer = |index| match row.get_ref(index)? {
        ValueRef::Integer(integer) => Ok::<_, rusqlite::Error>(Some(integer)),
        _ => Ok(None),
    };
    let parts = (integer(1)?, bytes(row, 2)?, integer(3)?, bytes(row, 4)?, bytes(row, 5)?);
    let (Some(sequence), Some(hash), Some(signed_at_ms), Some(key), Some(signature)) = parts else {
        return Ok((number, None));
    };
    Ok((number, Some(Checkpoint { number, sequence, hash, signed_at_ms, key, signature })))
}

/// Adds a checkpoint.
pub(super) fn add_checkpoint(connection: &Connection, checkpoint: &Checkpoint) -> Result<()> {
    let Checkpoint { number, sequence, hash, signed_at_ms, key, signature } = checkpoint;
    let mut statement = connection.prepare_cached("INSERT INTO checkpoints VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    statement.execute(params![number, sequence, hash, signed_at_ms, key, signature])?;
    Ok(())
}

/// Gives every row its hash, in order. The trigger that forbids it is away.
pub(super) fn relink(connection: &Connection, id: JournalId) -> Result<()> {
    let (mut head, mut hashes) = (Head::start(id), Vec::new());
    walk(connection, 0, |entry| {
        // A gap, which no version left, stays one: the chain says where each record stands.
        let digest = entry.record.map(|record| record.digest()).unwrap_or_default();
        let hash = super::chain::link(&head.hash, entry.sequence, &digest);
        head = Head { sequence: entry.sequence, hash };
        hashes.push(head);
        Ok(true)
    })?;
    let mut statement = connection.prepare("UPDATE events SET hash = ?2 WHERE sequence = ?1")?;
    hashes.iter().try_for_each(|head| statement.execute(params![head.sequence, head.hash]).map(drop))
}
