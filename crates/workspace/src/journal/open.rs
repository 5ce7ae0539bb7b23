//! Opening the journal's file: making it, knowing it, refusing what is not one.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use stage::Clock;

use super::{Durability, Journal, JournalError, Result, Writer, failed};

/// The mark of whose file it is (`PRAGMA application_id`): `BxAg`.
const APPLICATION_ID: i64 = 0x4278_4167;

/// Each schema adds to the one before; the file says how many it has (`PRAGMA user_version`).
const MIGRATIONS: [&str; 2] = [include_str!("schema.sql"), include_str!("schema_budget.sql")];

const SCHEMA: i64 = MIGRATIONS.len().cast_signed() as i64;

/// How long an append waits for another process's. Theirs take microseconds, or a flush; longer means a stuck disk.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

impl Journal {
    /// Opens the journal at `path`, making it if there is none. The caller sees to it that only one process at a time
    /// makes a new one.
    pub(crate) fn open(path: &Path, clock: Clock) -> Result<Self> {
        create(path)?;
        let flags =
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(path, flags).map_err(|error| failed(path, &error))?;
        prepare(path, &connection)?;
        let writer = Mutex::new(Writer { connection, durability: Durability::Process });
        Ok(Self { path: path.to_owned(), clock, writer, observers: Mutex::default() })
    }
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
        transaction.execute_batch(migration).map_err(sql)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(sql)?;
    transaction.pragma_update(None, "user_version", SCHEMA).map_err(sql)?;
    transaction.commit().map_err(sql)
}
