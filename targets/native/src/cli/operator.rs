//! `writ operator`: the key by which an operator changes a deployment over HTTP.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};
use writ_core::jwk::Algorithm;
use writ_process::crypto::PrivateKey;
use zeroize::Zeroizing;

use super::{Failure, Format, print, shown};

/// Make an operator's key
///
/// Writes the private key to a new file, PEM (RFC 7468), that only you can read, and prints the public
/// key. Set the latter as WRIT_OPERATOR_KEY where the deployment runs; `writ publish` and `writ keys`
/// sign with the former. The deployment never sees the private key.
#[derive(Debug, clap::Args)]
pub(super) struct New {
    /// The file to write; it must not be there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn new(command: &New) -> Result<ExitCode, Failure> {
    let key = PrivateKey::generate(ALGORITHM)?;
    let path = shown(&command.out);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&command.out)
        .map_err(|error| Failure(format!("{path} cannot be created: {error}")))?;
    file.write_all(pem(&key)?.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| Failure(format!("{path} cannot be written: {error}")))?;
    let jwk = Value::Object(key.public(None).to_jwk());
    match command.format {
        Format::Text => print(&format!(
            "the private key is in {path}; set this where the deployment runs:\n\
             WRIT_OPERATOR_KEY={jwk}"
        )),
        Format::Json => print(&json!({ "file": command.out, "jwk": jwk }).to_string()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the key that [`new`] wrote.
pub(super) fn read(path: &Path) -> Result<PrivateKey, Failure> {
    let shown = shown(path);
    let failed = |what: String| Failure(format!("the operator's key {shown}: {what}"));
    let metadata = fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(failed(format!("others can read it (mode {mode:o}): chmod 600 it")));
    }
    if metadata.len() > FILE_BYTES {
        return Err(failed("it is too long for a key".to_owned()));
    }
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let text = Zeroizing::new(text);
    let malformed = || failed(format!("it is no {} private key in PEM", ALGORITHM.name()));
    let inner = text.trim().strip_prefix(BEGIN).and_then(|text| text.strip_suffix(END));
    let lines: Zeroizing<String> =
        Zeroizing::new(inner.ok_or_else(malformed)?.split_whitespace().collect());
    let der = Zeroizing::new(Base64::decode_vec(&lines).map_err(|_| malformed())?);
    PrivateKey::from_pkcs8(ALGORITHM, &der).map_err(|_| malformed())
}

fn pem(key: &PrivateKey) -> Result<Zeroizing<String>, Failure> {
    let der = key.to_pkcs8()?;
    let mut pem = Zeroizing::new(format!("{BEGIN}\n"));
    let text = Zeroizing::new(Base64::encode_string(&der));
    for line in text.as_bytes().chunks(LINE) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str(END);
    pem.push('\n');
    Ok(pem)
}

/// Every runtime verifies it fast.
pub(super) const ALGORITHM: Algorithm = Algorithm::ES256;
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
const LINE: usize = 64;
/// More than a key takes.
const FILE_BYTES: u64 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("operator.pem");
        let command = New { out: out.clone(), format: Format::Json };
        new(&command).unwrap();
        let key = read(&out).unwrap();
        assert_eq!(fs::read_to_string(&out).unwrap(), *pem(&key).unwrap());
        assert!(new(&command).unwrap_err().0.contains("cannot be created"), "it is not replaced");
        fs::set_permissions(&out, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&out).unwrap_err().0.contains("others can read it"));
    }

    #[test]
    fn what_is_no_key_is_said_to_be_none() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("operator.pem");
        for text in ["", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            fs::write(&out, text).unwrap();
            fs::set_permissions(&out, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(read(&out).unwrap_err().0.contains("no ES256 private key"), "{text}");
        }
    }
}
