//! Opening the file: settings, schema and its versions, and what to tell an operator.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use writ_core::limits;
use writ_process::moment;

use super::StoreOptions;
use super::place::Place;

/// Why the store cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The directory does not exist.
    NoDirectory(PathBuf),
    /// The file or its directory cannot be written.
    NotWritable(PathBuf, String),
    /// The file is no SQLite database, or one of another program.
    Foreign(PathBuf),
    /// A newer version of Writ wrote the file.
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema's version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// Another process keeps the file locked.
    Locked(PathBuf),
    /// SQLite failed in another way.
    Sqlite(PathBuf, String),
    /// A thread could not be started.
    Thread(String),
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoDirectory(path) => write!(
                f,
                "the data directory {} does not exist: create it, or name another with `--data`",
                path.display()
            ),
            Self::NotWritable(path, error) => {
                write!(f, "{} cannot be written: {error}", path.display())
            }
            Self::Foreign(path) => write!(
                f,
                "{} is not a Writ database: move it away, or name another directory with `--data`",
                path.display()
            ),
            Self::Newer { path, found, known } => write!(
                f,
                "{} was written by a newer version of Writ (schema {found}, this program knows up \
                 to {known}): run that version",
                path.display()
            ),
            Self::Locked(path) => write!(
                f,
                "{} is locked by another process: stop it, or wait until it lets go",
                path.display()
            ),
            Self::Sqlite(path, error) => {
                write!(f, "{} cannot be opened: {error}", path.display())
            }
            Self::Thread(error) => write!(f, "the store's thread cannot be started: {error}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// Where the file is that was opened.
pub(super) fn place(options: &StoreOptions) -> Result<Place, StoreError> {
    let path = options.path.as_path();
    Place::of(path).map_err(|error| StoreError::NotWritable(path.into(), error.to_string()))
}

/// Opens the connection that writes, and says whether the store holds no record.
pub(super) fn writer(options: &StoreOptions) -> Result<(Connection, bool), StoreError> {
    let path = options.path.as_path();
    create(path)?;
    let failed = |error| explain(path, &error);
    let mut connection = Connection::open_with_flags(path, FLAGS).map_err(failed)?;
    // Asked before the first setting too, which would already change another program's file.
    connection.busy_timeout(BUSY).map_err(failed)?;
    let look = connection.transaction().map_err(failed)?;
    version(&look, path)?;
    drop(look);
    configure(&connection, options.max_bytes).map_err(failed)?;
    migrate(&mut connection, path)?;
    let fresh = connection
        .query_row("SELECT NOT EXISTS (SELECT 1 FROM record)", [], |row| row.get(0))
        .map_err(failed)?;
    Ok((connection, fresh))
}

/// Opens a connection that cannot write.
pub(super) fn reader(options: &StoreOptions) -> Result<Connection, StoreError> {
    let path = options.path.as_path();
    let failed = |error| explain(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    Ok(connection)
}

/// Creates the file where there is none, readable by its owner only: it holds the record. SQLite
/// gives the files beside it the same mode.
fn create(path: &Path) -> Result<(), StoreError> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    match fs::metadata(directory) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(StoreError::NoDirectory(directory.into())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(StoreError::NoDirectory(directory.into()));
        }
        Err(error) => return Err(StoreError::NotWritable(directory.into(), error.to_string())),
    }
    let failed = |error: std::io::Error| StoreError::NotWritable(path.into(), error.to_string());
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    // The new name must survive a power cut before anything written under it is promised.
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}

fn configure(connection: &Connection, max_bytes: Option<u64>) -> rusqlite::Result<()> {
    turn_the_log_on(connection)?;
    // Every commit waits for the disk: an acknowledged claim must survive a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    if let Some(max_bytes) = max_bytes {
        let page: u64 = connection
            .pragma_query_value(None, "page_size", |row| row.get::<_, i64>(0))
            .map(|size| u64::try_from(size).unwrap_or(4_096).max(1))?;
        let pages =
            i64::try_from(max_bytes.checked_div(page).unwrap_or(1)).unwrap_or(i64::MAX).max(1);
        // SQLite keeps a limit below the present size at that size: nothing is lost, nothing grows.
        connection.pragma_update(None, "max_page_count", pages)?;
    }
    Ok(())
}

/// Waits by itself: where several processes turn the log of a new file on at once, each may block the
/// others, and SQLite then gives up without the time that it was given to wait.
fn turn_the_log_on(connection: &Connection) -> rusqlite::Result<()> {
    let began = moment::instant();
    loop {
        let result = connection.pragma_update(None, "journal_mode", "WAL");
        let code = result.as_ref().err().and_then(rusqlite::Error::sqlite_error_code);
        if code != Some(ErrorCode::DatabaseBusy) || began.elapsed() >= BUSY {
            return result;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Brings the schema to the newest version, one step at a time, all in one transaction.
fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |error| explain(path, &error);
    let known = known();
    // Immediate, so that of two processes that start at once the second finds it done.
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found = version(&transaction, path)?;
    if found < known {
        let done = usize::try_from(found).unwrap_or_default();
        for step in MIGRATIONS.iter().skip(done) {
            transaction.execute_batch(step).map_err(failed)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION).map_err(failed)?;
        transaction.pragma_update(None, "user_version", known).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// The version of the file's schema, where the file is new or ours and this program knows it. All
/// of it is asked in one transaction, since another process may be creating the schema.
fn version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let failed = |error| explain(path, &error);
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let found = number("user_version").map_err(failed)?;
    let application = number("application_id").map_err(failed)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    if application != APPLICATION && (tables > 0 || found != 0) {
        return Err(StoreError::Foreign(path.into()));
    }
    if found > known() {
        return Err(StoreError::Newer { path: path.into(), found, known: known() });
    }
    Ok(found)
}

/// The newest version of the schema that this program knows.
fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

fn explain(path: &Path, error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::Foreign(path.into()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::Locked(path.into())
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            StoreError::NotWritable(path.into(), error.to_string())
        }
        _ => StoreError::Sqlite(path.into(), error.to_string()),
    }
}

/// One entry for each version of the schema; an entry never changes once released.
///
/// Both tables have ordinary row ids, so that rows are appended and only short index entries land in
/// random places: session ids are hashes, and every page that a commit touches is written twice, to
/// the log and to the file. `value` comes last, because a condition reads the columns before it.
/// Entries are found by their name alone: the sweep finds the old ones at its beginning.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE record (
        zone    TEXT NOT NULL,
        kind    TEXT NOT NULL,
        id      TEXT NOT NULL,
        key     TEXT NOT NULL,
        expires INTEGER NOT NULL,
        version INTEGER NOT NULL,
        batch   TEXT NOT NULL,
        value   BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX record_key ON record (zone, kind, id, key);
    CREATE INDEX record_expires ON record (expires);

    CREATE TABLE entry (
        zone     TEXT NOT NULL,
        name     TEXT NOT NULL,
        value    TEXT NOT NULL,
        at       INTEGER NOT NULL,
        kind     TEXT NOT NULL,
        id       TEXT NOT NULL,
        key      TEXT NOT NULL,
        expires  INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX entry_name ON entry (zone, name, value, at);
"];

/// `Writ` in ASCII: how SQLite's own tools tell whose file it is.
const APPLICATION: i64 = 0x5772_6974;

/// How long to wait for another process's transaction: so that the answer comes within a call's time.
const BUSY: Duration = Duration::from_secs(limits::STORE_SECS.saturating_sub(1));

/// The pause between two attempts to turn the log on.
const PAUSE: Duration = Duration::from_millis(5);

/// No `CREATE`: the file is there. No mutex: a connection belongs to one thread.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// The writer's page cache, in KiB: a good part of the index of a busy hour.
const CACHE_KIB: i64 = 2_048;

/// Pages in the log before it is folded into the file: 16 MiB.
const CHECKPOINT_PAGES: i64 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    fn options(directory: &tempfile::TempDir) -> StoreOptions {
        StoreOptions { path: directory.path().join("writ.db"), max_bytes: None }
    }

    #[test]
    fn opens_a_new_store_and_the_same_again() {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let (connection, fresh) = writer(&options(&directory)).unwrap();
            assert!(fresh);
            let mode: String =
                connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
            assert_eq!(mode, "wal");
            let flush: i64 =
                connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
            assert_eq!(flush, 2);
        }
    }

    #[test]
    fn the_file_and_its_log_are_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let _open = writer(&options(&directory)).unwrap();
        for entry in fs::read_dir(directory.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", entry.path());
        }
    }

    #[test]
    fn says_that_the_directory_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("absent");
        let missing = StoreOptions { path: path.join("writ.db"), max_bytes: None };
        assert_eq!(writer(&missing).unwrap_err(), StoreError::NoDirectory(path.clone()));
        assert!(!path.exists());
    }

    #[test]
    fn says_that_the_path_cannot_be_written() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("writ.db")).unwrap();
        let error = writer(&options(&directory)).unwrap_err();
        assert!(matches!(error, StoreError::NotWritable(..)), "{error:?}");
    }

    #[test]
    fn leaves_a_file_alone_that_is_not_a_database() {
        let directory = tempfile::tempdir().unwrap();
        let text = "the shopping list of somebody\n".repeat(300);
        fs::write(directory.path().join("writ.db"), &text).unwrap();
        let error = writer(&options(&directory)).unwrap_err();
        assert_eq!(error, StoreError::Foreign(directory.path().join("writ.db")));
        assert_eq!(fs::read_to_string(directory.path().join("writ.db")).unwrap(), text);
    }

    #[test]
    fn leaves_another_programs_database_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("writ.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE note (text)").unwrap();
        let error = writer(&options(&directory)).unwrap_err();
        assert_eq!(error, StoreError::Foreign(path.clone()));
        let tables: i64 = Connection::open(&path)
            .unwrap()
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 1);
    }

    #[test]
    fn refuses_a_newer_schema() {
        let directory = tempfile::tempdir().unwrap();
        let (connection, _) = writer(&options(&directory)).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        drop(connection);
        let error = writer(&options(&directory)).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 99, known: 1, .. }), "{error:?}");
        assert!(error.to_string().contains("newer version"), "{error}");
    }

    #[test]
    fn many_that_open_a_new_store_at_once_all_succeed() {
        for _ in 0..8 {
            let directory = tempfile::tempdir().unwrap();
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| writer(&options(&directory)).map(|_| ()).unwrap());
                }
            });
        }
    }
}
