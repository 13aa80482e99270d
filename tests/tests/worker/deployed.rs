//! What an operator deploys, as it is committed: the manifest, and what the platform makes of it. All other
//! tests run it too (`targets/worker/tests/manifest.cjs`).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use writ_core::host::Listing;
use writ_tests::client::send;
use writ_tests::deployment::wait;
use writ_tests::target::{clock, get};
use writ_tests::tools::root;
use writ_worker::wire;

use super::contract::{NOW, Strong};
use super::{Objects, block_on, within};

/// What only the platform heeds, so that no test would miss it. The rest of it is what tests run.
#[test]
fn the_manifests_say_what_is_relied_on() {
    for directory in ["", "examples/protected-worker"] {
        let text = std::fs::read_to_string(root().join(directory).join("wrangler.toml")).unwrap();
        let manifest: Value = toml::from_str(&text).unwrap();
        // Key sets are fetched from where a zone says: never from a private address.
        let flags = &manifest["compatibility_flags"];
        assert_eq!(*flags, json!(["global_fetch_strictly_public"]), "{directory}");
        if directory.is_empty() {
            assert_eq!(manifest["triggers"]["crons"], json!(["17 * * * *"]), "hourly, as is said");
            assert_eq!(manifest["observability"]["enabled"], true, "events are the log");
        }
    }
}

/// `wrangler` takes it, and uploads it as it is.
#[test]
fn wrangler_would_deploy_it() {
    let out = tempfile::tempdir().unwrap();
    let output = wrangler(&out).args(["deploy", "--dry-run", "--outdir"]).arg(out.path()).output();
    let output = output.expect("`tests/tools/worker` installs wrangler");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for name in ["PARTITIONS", "INDEX", "COPIES", "WRIT_ZONE"] {
        assert!(said.contains(name), "no binding `{name}`: {said}");
    }
}

/// Section 1 of the guide: it runs on one's own machine, and is gone when it is stopped.
#[test]
fn wrangler_runs_it_on_ones_own_machine() {
    let state = tempfile::tempdir().unwrap();
    let said = state.path().join("said");
    let log = File::create(&said).unwrap();
    let said = || std::fs::read_to_string(&said).unwrap();
    let mut wrangler = wrangler(&state)
        .args(["dev", "--ip", "127.0.0.1", "--port", "0", "--persist-to"])
        .arg(state.path().join("state"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("`tests/tools/worker` installs wrangler");
    let authority = || {
        let said = said();
        let (_, rest) = said.split_once("Ready on http://")?;
        rest.lines().next().map(str::to_owned)
    };
    // It builds first, which takes its time where nothing was built.
    let ready = within(120, || authority().is_some());
    let answered = authority().map(|authority| {
        ["/healthz", "/readyz"].map(|path| send(&authority, &get(path)).map(|answer| answer.status))
    });
    let stopped = Command::new("kill").args(["-TERM", &wrangler.id().to_string()]).status();
    assert!(stopped.unwrap().success() && wait(&mut wrangler).is_some(), "{}", said());
    assert!(ready, "{}", said());
    // It has no zone yet.
    assert_eq!(answered.unwrap().map(Result::unwrap), [200, 503], "{}", said());
    assert!(within(10, || started_for(&state).is_empty()), "{:?} is left", started_for(&state));
}

/// The cron trigger of the manifest: what expired in the index is deleted, and an event says whether the
/// deployment is ready.
#[test]
fn the_trigger_sweeps_the_index_and_says_how_things_are() {
    let state = tempfile::tempdir().unwrap();
    let mut objects = Objects::start(&state);
    let zone = "acme";
    let now = clock();
    for part in 0..wire::PARTS {
        let entries: [wire::Entered; 2] =
            [("hop/gone", now - 4_000), ("hop/left", now)].map(|(key, expires)| {
                ("user".into(), "alice".into(), NOW.0, format!("s{part}"), key.into(), expires)
            });
        let () = objects.ask("INDEX", wire::part(zone, part), "enter", &entries).unwrap();
    }
    let listing =
        Listing { index: "user".into(), name: "alice".into(), from: NOW, after: None, limit: 100 };
    let listed = |objects: &Objects| {
        let entries = block_on(objects.list(zone, &listing)).unwrap().entries;
        entries.into_iter().map(|entry| entry.key).collect::<Vec<_>>()
    };
    let parts = usize::from(wire::PARTS);
    assert_eq!(listed(&objects).len(), 2 * parts);
    objects.schedule();
    assert!(within(20, || listed(&objects) == vec!["hop/left"; parts]), "{:?}", listed(&objects));
    let events = || std::fs::read_to_string(state.path().join("events")).unwrap_or_default();
    assert!(within(20, || events().lines().count() == 1), "{}", events());
    let event: Value = serde_json::from_str(&events()).unwrap();
    assert_eq!((&event["endpoint"], &event["status"]), (&json!("readyz"), &json!(503)), "{event}");
    assert_eq!(event["detail"], "zone `acme` has no active bundle");
}

/// `wrangler` at the root, with what it writes of itself in `directory`.
fn wrangler(directory: &TempDir) -> Command {
    let mut command = Command::new(root().join(".tools/worker/node_modules/.bin/wrangler"));
    command
        .current_dir(root())
        .env("WRANGLER_SEND_METRICS", "false")
        .env("CLOUDFLARE_CF_FETCH_ENABLED", "false")
        .env("CI", "1")
        .env("XDG_CONFIG_HOME", directory.path().join("config"))
        .env(LOG, directory.path().join("log"));
    command
}

/// The processes that were started for `directory`, or by one that was: they inherit where the log is.
fn started_for(directory: &TempDir) -> Vec<PathBuf> {
    let told = format!("{LOG}={}", directory.path().display());
    let of_ours = |process: &Path| {
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&told)
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes.filter(|process| of_ours(process)).collect()
}

const LOG: &str = "WRANGLER_LOG_PATH";
