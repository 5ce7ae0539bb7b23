//! Opening the journal's file: making it, knowing it, refusing what is not one.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use stage::Clock;

use super::append::Writer;
use super::chain::{Head, JournalId};
use super::custody::Custody;
use super::standing::Opened;
use super::{Break, Durability, Journal, JournalError, Result, Standing, failed, walk};

/// The mark of whose file it is (`PRAGMA application_id`): `BxAg`.
const APPLICATION_ID: i64 = 0x4278_4167;

/// What makes a schema of the one before.
type Migration = fn(&Connection) -> rusqlite::Result<()>;

/// Each schema adds to the one before; the file says how many it has (`PRAGMA user_version`).
const MIGRATIONS: [Migration; 5] = [lay_out, chain_up, open_accounts, keep_views, let_contents_go];

const SCHEMA: i64 = MIGRATIONS.len().cast_signed() as i64;

/// How long an append waits for another process's. Theirs take microseconds, or a flush; longer means a stuck disk.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

impl Journal {
    /// Opens the journal at `path`, making it if there is none. The caller sees to it that only one process at a time
    /// makes a new one. One that is broken, or not known here, can be read and not appended to.
    pub(crate) fn open(path: &Path, clock: Clock, custody: Option<Custody>) -> Result<Self> {
        create(path)?;
        let flags =
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(path, flags).map_err(|error| failed(path, &error))?;
        prepare(path, &connection)?;
        let writer = Mutex::new(unjudged(path, connection)?);
        let journal = Self { path: path.to_owned(), clock, custody, writer, observers: Mutex::default() };
        journal.judge()?;
        Ok(journal)
    }

    /// Looks whether the journal is the one that was signed here.
    fn judge(&self) -> Result<()> {
        let mut writer = self.writer();
        if matches!(writer.standing, Standing::Broken { .. }) {
            return Ok(());
        }
        let judged = self.opened(&writer).judge(self.custody.as_ref())?;
        (writer.standing, writer.keyring, writer.head) = (judged.standing, judged.keyring, judged.head);
        Ok(())
    }

    fn opened<'a>(&'a self, writer: &'a Writer) -> Opened<'a> {
        let now_ms = i64::try_from(self.now_ms()).unwrap_or(i64::MAX);
        Opened { path: &self.path, connection: &writer.connection, id: writer.id, now_ms }
    }

    /// Takes the journal as it is for this workspace's own: what it holds is signed, and anchored. Returns the number of
    /// its records. The caller has verified it, and a person has said so.
    pub(crate) fn accept(&self, custody: &Custody) -> Result<i64> {
        let mut writer = self.writer();
        let judged = self.opened(&writer).begin(custody)?;
        (writer.standing, writer.keyring, writer.head) = (judged.standing, judged.keyring, judged.head);
        Ok(writer.head.sequence)
    }
}

/// Returns a writer that has not been judged yet.
fn unjudged(path: &Path, connection: Connection) -> Result<Writer> {
    let id = walk::id(&connection).map_err(|error| failed(path, &error))?;
    let standing = match id {
        Some(_) => Standing::Unknown,
        None => Standing::Broken { broken: Break::Schema { name: "journal".to_owned() } },
    };
    let id = id.unwrap_or(JournalId([0; 16]));
    let head = Head::start(id);
    Ok(Writer { connection, durability: Durability::Process, id, standing, keyring: None, head, unanchored: None })
}

/// Makes an empty file that only its owner can read; `SQLite` gives its companions the same mode.
fn create(path: &Path) -> Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(JournalError::Io { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

fn prepare(path: &Path, connection: &Connection) -> Result<()> {
    let sql = |error: rusqlite::Error| failed(path, &error);
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sql)?;
    // Known before anything is written: a foreign file stays as it is.
    let version = identify(path, connection)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(sql)?;
    connection.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF;").map_err(sql)?;
    // Every statement of this crate fits.
    connection.set_prepared_statement_cache_capacity(64);
    if version < SCHEMA { migrate(path, connection) } else { Ok(()) }
}

/// Returns the schema of the file: 0 of an empty one.
fn identify(path: &Path, connection: &Connection) -> Result<i64> {
    let sql = |error: rusqlite::Error| failed(path, &error);
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id").map_err(sql)?, number("user_version").map_err(sql)?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sql)?;
    let empty = application == 0 && version == 0 && tables == 0;
    if application != APPLICATION_ID && !empty {
        let reason = "it is a database of another program".to_owned();
        return Err(JournalError::Foreign { path: path.to_owned(), reason });
    }
    if version > SCHEMA {
        return Err(JournalError::Newer { path: path.to_owned(), found: version, known: SCHEMA });
    }
    Ok(version)
}

fn migrate(path: &Path, connection: &Connection) -> Result<()> {
    let sql = |error: rusqlite::Error| failed(path, &error);
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate).map_err(sql)?;
    // Another process may have done it while this one waited.
    let version = usize::try_from(identify(path, &transaction)?).expect("a schema number between 0 and this one's");
    for migration in &MIGRATIONS[version..] {
        migration(&transaction).map_err(sql)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(sql)?;
    transaction.pragma_update(None, "user_version", SCHEMA).map_err(sql)?;
    transaction.commit().map_err(sql)
}

fn lay_out(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(include_str!("schema.sql"))
}

/// Links the records that are there.
fn chain_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(include_str!("schema2.sql"))?;
    if let Some(id) = walk::id(connection)? {
        walk::relink(connection, id)?;
    }
    connection.execute_batch(
        "CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END;",
    )
}

fn open_accounts(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(include_str!("schema3.sql"))
}

fn keep_views(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(include_str!("schema4.sql"))
}

fn let_contents_go(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(include_str!("schema5.sql"))
}

/// Returns the tables, indices and triggers of a journal as they are made, with their definitions.
pub(super) fn schema() -> rusqlite::Result<Vec<(String, String)>> {
    let fresh = Connection::open_in_memory()?;
    MIGRATIONS.iter().try_for_each(|migration| migration(&fresh))?;
    definitions(&fresh)
}

/// Returns the tables, indices and triggers of a database, with their definitions.
pub(super) fn definitions(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let query = "SELECT type || ' ' || name, coalesce(sql, '') || tbl_name FROM sqlite_schema ORDER BY 1";
    connection.prepare(query)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}
