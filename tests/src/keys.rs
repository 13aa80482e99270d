//! Signing keys by the name of the party that holds them, made once a process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};
use writ_core::encoding::sha256;
use writ_core::jwk::Algorithm;

pub use writ_process::crypto::{PrivateKey, verify};

/// The key of `party` for `algorithm`: always the same one within a process, never another party's.
pub fn key(party: &str, algorithm: Algorithm) -> Arc<PrivateKey> {
    static KEYS: Mutex<BTreeMap<(String, Algorithm), Arc<PrivateKey>>> =
        Mutex::new(BTreeMap::new());
    let name = (party.to_owned(), algorithm);
    // The lock is held while a key is made: two tests that ask at once get the same one.
    let mut keys = KEYS.lock().unwrap();
    Arc::clone(keys.entry(name).or_insert_with(|| Arc::new(make(party, algorithm))))
}

/// The key id under which a party publishes its key.
pub fn kid(party: &str, algorithm: Algorithm) -> String {
    format!("{party}-{}", algorithm.name())
}

/// The public key of `party` as a member of its key set.
pub fn jwk(party: &str, algorithm: Algorithm) -> Map<String, Value> {
    key(party, algorithm).public(Some(&kid(party, algorithm))).to_jwk()
}

fn make(party: &str, algorithm: Algorithm) -> PrivateKey {
    let rsa = !matches!(algorithm, Algorithm::ES256 | Algorithm::ES384 | Algorithm::EdDSA);
    if !rsa {
        return PrivateKey::generate(algorithm).expect("key generation");
    }
    // RSA keys take long to make, so they are kept between runs, beside the build.
    let path =
        directory().join(format!("{}.pk8", writ_core::encoding::hex(&sha256(party.as_bytes()))));
    if let Ok(key) = std::fs::read(&path)
        && let Ok(key) = PrivateKey::from_pkcs8(algorithm, &key)
    {
        return key;
    }
    let key = PrivateKey::generate(algorithm).expect("key generation");
    let bytes = key.to_pkcs8().expect("a key of ours has a PKCS#8 form");
    // Another process may be writing the same file: each writes its own and renames.
    let own = path.with_extension(format!("{}.new", std::process::id()));
    std::fs::write(&own, &bytes).expect("the build directory can be written");
    std::fs::rename(&own, &path).expect("the build directory can be written");
    key
}

fn directory() -> PathBuf {
    let directory = crate::build_directory().join("test-keys");
    std::fs::create_dir_all(&directory).expect("the build directory can be written");
    directory
}
