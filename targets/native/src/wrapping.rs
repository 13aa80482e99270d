//! Where the native target keeps the wrapping key: in the environment, or in a file beside the store.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use writ_core::encoding::base64url;
use writ_process::crypto::{Malformed, VARIABLE, WrappingKey};
use zeroize::Zeroizing;

/// Loads the wrapping key of the data directory `data`.
///
/// `variable` is the value of [`VARIABLE`], which goes before the file. Where there is neither,
/// `absent` says what to do: a new key cannot open what an old one sealed, so one is created
/// only for a store that holds nothing yet.
///
/// # Errors
///
/// See [`WrappingKeyError`].
pub fn load(
    data: &Path,
    variable: Option<&str>,
    absent: Absent,
) -> Result<WrappingKey, WrappingKeyError> {
    if let Some(text) = variable {
        return Ok(WrappingKey::parse(text, format!("the environment variable {VARIABLE}"))?);
    }
    let path = data.join(FILE);
    match File::open(&path) {
        Ok(file) => read(file, &path),
        Err(error) if error.kind() == ErrorKind::NotFound => match absent {
            Absent::Create => create(&path),
            Absent::Refuse => Err(WrappingKeyError::Missing(path)),
        },
        Err(error) => Err(WrappingKeyError::Io(path, error.to_string())),
    }
}

fn read(file: File, path: &Path) -> Result<WrappingKey, WrappingKeyError> {
    let failed = |error: std::io::Error| WrappingKeyError::Io(path.into(), error.to_string());
    // The open file's mode, not the path's: nobody can swap the file in between.
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(WrappingKeyError::Readable(path.into(), mode & 0o777));
    }
    let mut text = Zeroizing::new(String::with_capacity(FILE_LIMIT));
    file.take(FILE_LIMIT as u64).read_to_string(&mut text).map_err(failed)?;
    Ok(WrappingKey::parse(&text, path.display().to_string())?)
}

fn create(path: &Path) -> Result<WrappingKey, WrappingKeyError> {
    let failed = |error: std::io::Error| WrappingKeyError::Io(path.into(), error.to_string());
    let key = WrappingKey::draw().map_err(|_| WrappingKeyError::Entropy)?;
    let directory = path.parent().map_or(Path::new("."), |parent| parent);
    let draft = directory.join(format!("{FILE}.{}", draft_name()?));
    let text = Zeroizing::new(format!("{}\n", *key));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    // The key gets its name when it is whole, so that a kill leaves none or all of it. A link
    // never replaces: of two processes starting at once, one creates it and both use it.
    let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
    let _ = std::fs::remove_file(&draft);
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.exists() => {
            return File::open(path).map_err(failed).and_then(|file| read(file, path));
        }
        Err(error) => return Err(failed(error)),
    }
    // The name must survive a power cut as well as what it names.
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
    Ok(WrappingKey::parse(&key, path.display().to_string())?)
}

/// A name that no other process and no other thread has.
fn draft_name() -> Result<String, WrappingKeyError> {
    let mut name = [0; 12];
    getrandom::fill(&mut name).map_err(|_| WrappingKeyError::Entropy)?;
    Ok(base64url(&name))
}

/// What to do where there is no wrapping key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Create one: the store is empty, so nothing is sealed yet.
    Create,
    /// Refuse: what the store holds was sealed with a key that is now missing.
    Refuse,
}

/// Why there is no usable wrapping key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrappingKeyError {
    /// The file is not there, and the store holds something.
    Missing(PathBuf),
    /// Others may read the file; its permission bits.
    Readable(PathBuf, u32),
    /// What is there is not base64url of 32 bytes.
    Malformed(String),
    /// The file cannot be read or created.
    Io(PathBuf, String),
    /// The system gave no random bytes.
    Entropy,
}

impl std::fmt::Display for WrappingKeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(path) => write!(
                f,
                "{} is missing, but the store holds keys sealed with it: put the file back, or set \
                 {VARIABLE} to what it held",
                path.display()
            ),
            Self::Readable(path, mode) => write!(
                f,
                "{} can be read by others (mode {mode:03o}): run `chmod 600 {}`",
                path.display(),
                path.display()
            ),
            Self::Malformed(origin) => write!(
                f,
                "the wrapping key in {origin} is not 32 bytes in base64url without padding"
            ),
            Self::Io(path, error) => {
                write!(f, "the wrapping key {} cannot be used: {error}", path.display())
            }
            Self::Entropy => f.write_str("the system gave no random bytes for a wrapping key"),
        }
    }
}

impl std::error::Error for WrappingKeyError {}

impl From<Malformed> for WrappingKeyError {
    fn from(Malformed(origin): Malformed) -> Self {
        Self::Malformed(origin)
    }
}

/// The file in the data directory that holds the wrapping key where the environment does not.
const FILE: &str = "wrapping.key";
/// More than a key's text has, so that a longer file is seen to be wrong.
const FILE_LIMIT: usize = 256;

#[cfg(test)]
mod tests {
    use std::fs;

    use writ_core::jwk::Algorithm;
    use writ_process::crypto::PrivateKey;

    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_created_key_is_private_and_found_again() {
        let data = directory();
        let first = load(data.path(), None, Absent::Create).unwrap();
        let mode = fs::metadata(data.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let key = PrivateKey::generate(Algorithm::ES256).unwrap();
        let wrapped = first.wrap("prod", "k1", &key).unwrap();
        let again = load(data.path(), None, Absent::Refuse).unwrap();
        let opened = again.unwrap("prod", "k1", Algorithm::ES256, &wrapped).unwrap();
        assert_eq!(opened.public(None), key.public(None));
    }

    /// Neither a race nor what a killed process left may stop a start or make a second key.
    #[test]
    fn starts_at_the_same_time_agree_on_one_key() {
        let data = directory();
        fs::write(data.path().join("wrapping.key.1"), "half of a k").unwrap();
        let load = || super::load(data.path(), None, Absent::Create).unwrap();
        let key = PrivateKey::generate(Algorithm::ES256).unwrap();
        let all: Vec<WrappingKey> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let sealed = all[0].wrap("z", "k", &key).unwrap();
        for other in &all {
            assert!(other.unwrap("z", "k", Algorithm::ES256, &sealed).is_ok());
        }
    }

    #[test]
    fn a_wrong_wrapping_key_names_where_it_came_from_and_what_it_failed_to_open() {
        let (one, other) = (directory(), directory());
        let key = PrivateKey::generate(Algorithm::ES256).unwrap();
        let wrapped =
            load(one.path(), None, Absent::Create).unwrap().wrap("prod", "k1", &key).unwrap();

        let file = load(other.path(), None, Absent::Create).unwrap();
        let error = file.unwrap("prod", "k1", Algorithm::ES256, &wrapped).unwrap_err().to_string();
        assert!(error.contains("`k1`"), "{error}");
        assert!(error.contains(&*other.path().join(FILE).to_string_lossy()), "{error}");

        let text = base64url(&[7; 32]);
        let variable = load(one.path(), Some(&text), Absent::Refuse).unwrap();
        let error = variable.unwrap("prod", "k1", Algorithm::ES256, &wrapped).unwrap_err();
        assert!(error.to_string().contains(VARIABLE), "{error}");
    }

    #[test]
    fn a_missing_key_is_not_replaced_where_the_store_holds_something() {
        let data = directory();
        let error = load(data.path(), None, Absent::Refuse).unwrap_err();
        assert_eq!(error, WrappingKeyError::Missing(data.path().join(FILE)));
        assert!(!data.path().join(FILE).exists());
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        for mode in [0o640, 0o604, 0o660, 0o601] {
            let data = directory();
            load(data.path(), None, Absent::Create).unwrap();
            let path = data.path().join(FILE);
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = load(data.path(), None, Absent::Refuse).unwrap_err();
            assert_eq!(error, WrappingKeyError::Readable(path, mode));
        }
    }

    #[test]
    fn what_is_not_a_key_is_refused_and_stays() {
        let long = "A".repeat(FILE_LIMIT * 2);
        let padded = format!("{}=", base64url(&[7; 32]));
        for text in ["", "abc", &long, &padded, &base64url(&[7; 31]), &base64url(&[7; 33])] {
            let data = directory();
            let error = load(data.path(), Some(text), Absent::Create).unwrap_err();
            assert!(matches!(error, WrappingKeyError::Malformed(_)), "{text}");

            let path = data.path().join(FILE);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = load(data.path(), None, Absent::Create).unwrap_err();
            assert!(matches!(error, WrappingKeyError::Malformed(_)), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
