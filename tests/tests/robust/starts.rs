//! Starts that must not be: one sentence that says where and what, exit code 1, and a data directory
//! that is as it was.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

use rusqlite::Connection;
use writ_core::encoding::sha256;
use writ_tests::deployment::{Site, wait};
use writ_tests::load::once;

/// A site whose service ran and was stopped, with one exchange in its store.
fn used() -> Site {
    let site = Site::new("plain");
    let process = site.serve(&[]);
    assert_eq!(process.send(&once(&site, process.now()).request).status, 200);
    assert_eq!(process.stop().code, Some(0));
    site
}

/// Every file beneath, by its hash. SQLite's shared memory says nothing, nor does an empty log.
fn files(directory: &Path) -> BTreeMap<String, [u8; 32]> {
    let mut found = BTreeMap::new();
    let Ok(entries) = fs::read_dir(directory) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(
                files(&path).into_iter().map(|(file, hash)| (format!("{name}/{file}"), hash)),
            );
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let transient = name.ends_with("-shm") || name.ends_with("-wal") && bytes.is_empty();
        if !transient {
            found.insert(name, sha256(&bytes));
        }
    }
    found
}

/// A start that must fail, and change nothing. Its sentence is checked for these parts.
fn assert_refused(site: &Site, more: &[&str], parts: &[&str]) {
    let data = more.iter().position(|word| *word == "--data").map_or("data", |at| more[at + 1]);
    let before = files(&site.path(data));
    let mut command = site.command(more);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let code = wait(&mut child);
    let _ = child.kill();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(code, Some(Some(1)), "{parts:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{parts:?}: {said}");
    assert!(said.starts_with("writ: "), "{said}");
    for part in parts {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    assert_eq!(files(&site.path(data)), before, "{said}");
}

/// Changes a file of the zone for as long as the test of it takes.
fn with_file(site: &Site, file: &str, bytes: Option<&[u8]>, test: impl FnOnce()) {
    let path = site.path(file);
    let kept = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    if let Some(bytes) = bytes {
        fs::write(&path, bytes).unwrap();
    }
    test();
    fs::write(&path, kept).unwrap();
}

#[test]
fn a_zone_that_cannot_be_read_is_named_and_nothing_changes() {
    let site = used();
    let toml = fs::read_to_string(site.path("zone/zone.toml")).unwrap();
    let lines = toml.lines().count();
    let document = [
        (None, "zone/zone.toml".to_owned()),
        (Some(b"\x7fELF\x02\x01\x01\0\0\xff\xfe\0".to_vec()), "zone/zone.toml:1".to_owned()),
        (Some([&toml, "# caf\u{e9}\n"].concat().into_bytes()), String::new()),
        (Some([toml.as_bytes(), b"# caf\xe9\n"].concat()), place("zone/zone.toml", lines)),
        (Some([&toml, "name = \n"].concat().into_bytes()), place("zone/zone.toml", lines)),
        (Some([&toml, "[zones]\n"].concat().into_bytes()), place("zone/zone.toml", lines)),
        (Some(Vec::new()), "zone/zone.toml".to_owned()),
    ];
    for (bytes, named) in document {
        with_file(&site, "zone/zone.toml", bytes.as_deref(), || {
            if named.is_empty() {
                assert_eq!(site.serve(&[]).stop().code, Some(0));
            } else {
                assert_refused(&site, &[], &[&named]);
            }
        });
    }

    let policy = fs::read_to_string(site.path("zone/policies/main.cedar")).unwrap();
    let lines = policy.lines().count();
    let after = place("policies/main.cedar", lines);
    for (wrong, named) in [
        (&b"// caf\xe9\n"[..], place("zone/policies/main.cedar", lines)),
        (b"@id(\"cut\") permit (principal, action", after.clone()),
        (
            b"@id(\"odd\") permit (principal, action, resource) when { resource.odd };",
            after.clone(),
        ),
        (b"\0\x01\x02\n", after),
        // Without a name of its own, a policy has no place either.
        (b"permit (principal, action, resource);", "policies/main.cedar:".to_owned()),
        (
            b"@id(\"anyone\") forbid (principal, action, resource);",
            "policies/main.cedar:".to_owned(),
        ),
    ] {
        let wrong = [policy.as_bytes(), wrong].concat();
        with_file(&site, "zone/policies/main.cedar", Some(&wrong), || {
            assert_refused(&site, &[], &[&named]);
        });
    }

    // What is no file, or a name without one.
    let more = site.path("zone/policies/more.cedar");
    fs::create_dir(&more).unwrap();
    assert_refused(&site, &[], &["zone/policies/more.cedar"]);
    fs::remove_dir(&more).unwrap();
    symlink("absent.cedar", &more).unwrap();
    assert_refused(&site, &[], &["zone/policies/more.cedar"]);
    fs::remove_file(&more).unwrap();
    fs::create_dir_all(site.path("other/zone.toml")).unwrap();
    assert_refused(&site, &["--zone", "other"], &["other/zone.toml"]);
    assert_refused(&site, &["--zone", "absent"], &["absent/zone.toml"]);
    assert_refused(&site, &["--zone", "zone/zone.toml"], &["zone/zone.toml/zone.toml"]);

    // A mistake comes before the first data directory too.
    let unused = Site::new("plain");
    fs::write(unused.path("zone/zone.toml"), "[zone").unwrap();
    assert_refused(&unused, &[], &["zone/zone.toml:1"]);
    assert!(!unused.path("data").exists());
}

#[test]
fn a_store_that_is_not_ours_to_open_stays_as_it_is() {
    let site = used();
    let key = fs::read_to_string(site.path("data/wrapping.key")).unwrap();
    let other = format!("{}\n", writ_core::encoding::base64url(&[7; 32]));
    let file = "data/wrapping.key";
    for (wrong, says) in [(other.as_bytes(), "signing key `"), (b"", "32 bytes"), (b"\xff", "")] {
        let wrong = wrong.to_vec();
        // Written over, so that its mode is kept.
        fs::write(site.path(file), wrong).unwrap();
        assert_refused(&site, &[], &["wrapping.key", says]);
    }
    fs::remove_file(site.path(file)).unwrap();
    assert_refused(&site, &[], &["wrapping.key is missing"]);
    fs::write(site.path(file), &key).unwrap();
    assert_refused(&site, &[], &["chmod 600"]);
    fs::set_permissions(site.path(file), fs::Permissions::from_mode(0o600)).unwrap();

    fs::write(site.path("taken"), "a file").unwrap();
    assert_refused(&site, &["--data", "taken"], &["taken"]);
    fs::create_dir_all(site.path("odd/writ.db")).unwrap();
    assert_refused(&site, &["--data", "odd"], &["odd/writ.db"]);
    assert_refused(&site, &["--data", "no/data"], &["no/data", "--data"]);

    for (name, sql, says) in [
        ("notes", "CREATE TABLE note (text TEXT); INSERT INTO note VALUES ('milk')", "not a Writ"),
        ("newer", "PRAGMA application_id = 0x57726974; PRAGMA user_version = 99", "newer version"),
    ] {
        fs::create_dir(site.path(name)).unwrap();
        let database = site.path(name).join("writ.db");
        Connection::open(&database).unwrap().execute_batch(sql).unwrap();
        assert_refused(&site, &["--data", name], &[&format!("{name}/writ.db"), says]);
    }
    fs::create_dir(site.path("text")).unwrap();
    fs::write(site.path("text/writ.db"), "milk and bread\n".repeat(999)).unwrap();
    assert_refused(&site, &["--data", "text"], &["text/writ.db", "not a Writ"]);

    let process = site.serve(&[]);
    assert_eq!(process.send(&once(&site, process.now()).request).status, 200);
}

/// Whoever starts a second service by mistake has not changed what the first one serves.
#[test]
fn a_port_in_use_is_named_and_the_zone_stays_as_it_is() {
    let site = used();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let toml = fs::read_to_string(site.path("zone/zone.toml")).unwrap();
    fs::write(site.path("zone/zone.toml"), toml.replace("ES256\"", "EdDSA\"")).unwrap();
    assert_refused(&site, &["--listen", &address], &[&address, "--listen"]);
    fs::write(site.path("zone/zone.toml"), toml).unwrap();
    assert_refused(&site, &["--listen", &address, "--data", "new"], &[&address]);
    assert_refused(&site, &["--listen", "192.0.2.1:1"], &["192.0.2.1:1"]);
}

/// The place of the line after so many.
fn place(file: &str, lines: usize) -> String {
    format!("{file}:{}", lines + 1)
}
