//! Kept views: an event has the hash of each, and the last one of each session is beside the events.

use protocol::{ContentHash, Event, EventBody, SessionId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::sessions::Chapter;
use super::{Failure, Journal, Pen, Result};
use crate::projection::KeptView;

const LAST: &str = "SELECT body FROM events WHERE session = ?1 AND kind = 'view_kept' ORDER BY sequence DESC LIMIT 1";

impl Pen<'_> {
    /// Keeps a view in the place of the one before, which is freed.
    pub(super) fn keep_view(&mut self, session: &SessionId, kept: &KeptView) -> std::result::Result<Event, Failure> {
        let mut statement = self.transaction().prepare_cached("INSERT OR REPLACE INTO views VALUES (?1, ?2)")?;
        statement.execute(params![session.as_str(), kept.bytes])?;
        drop(statement);
        let (through, view) = (kept.through, ContentHash::of(&kept.bytes));
        self.append(session, &EventBody::ViewKept { through, view }, None)
    }
}

impl Journal {
    /// Returns the view that was kept last of the session of `chapter`, if it is still there, what its event says, and not
    /// beyond the chapter.
    pub(crate) fn kept_view(&self, chapter: &Chapter) -> Result<Option<KeptView>> {
        let session = chapter.session.as_str();
        let body = self.rows(LAST, [session], |row| row.get::<_, String>(0))?.pop();
        let Some((through, view)) = body.as_deref().and_then(said).filter(|(through, _)| *through <= chapter.through)
        else {
            return Ok(None);
        };
        let rows =
            self.rows("SELECT bytes FROM views WHERE session = ?1", [session], |row| row.get::<_, Vec<u8>>(0))?;
        let is_it = |bytes: &Vec<u8>| ContentHash::of(bytes) == view;
        Ok(rows.into_iter().find(is_it).map(|bytes| KeptView { through, bytes }))
    }
}

/// Returns what the event of a kept view says of it.
fn said(body: &str) -> Option<(u64, ContentHash)> {
    match serde_json::from_str(body) {
        Ok(EventBody::ViewKept { through, view }) => Some((through, view)),
        _ => None,
    }
}

/// Returns the sessions whose kept view is not what the last event of its keeping says.
pub(super) fn altered(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT session, bytes FROM views ORDER BY session")?;
    let mut rows = statement.query([])?;
    let mut altered = Vec::new();
    while let Some(row) = rows.next()? {
        let session: String = row.get(0)?;
        let body: Option<String> =
            connection.prepare_cached(LAST)?.query_row([&session], |row| row.get(0)).optional()?;
        let is = ContentHash::of(row.get_ref(1)?.as_blob()?);
        if body.as_deref().and_then(said).is_none_or(|(_, ought)| ought != is) {
            altered.push(session);
        }
    }
    Ok(altered)
}

#[cfg(test)]
mod tests;
