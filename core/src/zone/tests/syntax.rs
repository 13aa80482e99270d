//! The file itself, `[zone]`, and policy files.

use super::super::{Source, compile};
use super::{HEADER, refused_files, refused_whole, refuses, sources};
use crate::limits;

refuses! {
    unknown_table: "[issuer.gh] #! unknown key `issuer`; did you mean `issuers`?";
    unknown_key_with_a_hint: "
[tasks.fix]
claimnts = [] #! task `fix`: unknown key `claimnts`; did you mean `claimants`?";
    unknown_key_without_a_hint: "
[tasks.fix]
colour = 1 #! task `fix`: unknown key `colour`";
    a_table_that_is_a_value: "
tasks = 1 #! `zone`: unknown key `tasks`";
    an_entry_that_is_a_value: "
[tasks]
fix = 1 #! task `fix` must be a table, not an integer";
    token_life_outside_its_limits: "
token_secs = 9 #! `zone`: `token_secs` must be from 10 to 86400";
    session_life_outside_its_limits: "
session_secs = 2592001 #! `zone`: `session_secs` must be from 60 to 2592000";
    idle_limit_outside_its_limits: "
idle_secs = 59 #! `zone`: `idle_secs` must be from 60 to 2592000";
    idle_limit_beyond_the_session: "
idle_secs = 43201 #! `zone`: `idle_secs` must not be more than `session_secs`";
    life_that_is_no_integer: "
token_secs = 3.5 #! `zone`: `token_secs` must be an integer, not a number with a fraction";
    algorithm_that_does_not_exist: "
algorithm = \"ES265\" #! `zone`: `algorithm` must be `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384` or `EdDSA`, not `ES265`; did you mean `ES256`?";
    loopback_switch_of_a_public_zone: "
danger_allow_http_loopback = true #! `zone`: `danger_allow_http_loopback` is only for a zone whose own issuer is `127.0.0.1`, `[::1]` or `localhost`";
    a_flag_that_is_text: "
danger_allow_http_loopback = \"yes\" #! `zone`: `danger_allow_http_loopback` must be `true` or `false`, not a string";
}

#[test]
fn tokens_that_outlive_sessions() {
    refused_whole(
        "[zone] #! `zone`: `token_secs` must not be more than `session_secs`
name = \"t\"
issuer = \"https://as.example.com\"
token_secs = 600
session_secs = 60",
    );
}

#[test]
fn zone_without_name_and_issuer() {
    let expected = ["`zone`: `issuer` is missing", "`zone`: `name` is missing"];
    let found = compile(&sources("\n[zone]\n")).expect_err("must not compile");
    let mut found: Vec<_> =
        found.into_iter().map(|mistake| (mistake.line, mistake.message)).collect();
    found.sort();
    assert_eq!(found, expected.map(|message| (2, message.to_owned())));
}

#[test]
fn no_zone_at_all() {
    refused_files(&sources(""), &["1: `[zone]` is missing".to_owned()]);
}

#[test]
fn zone_names() {
    for name in ["", "Zone", "a_b", "a/b", &"a".repeat(64)] {
        refused_whole(&format!(
            "[zone]
name = \"{name}\" #! `zone`: `name` must be 1 to 63 of `a` to `z`, `0` to `9` and `-`
issuer = \"https://as.example.com\""
        ));
    }
}

#[test]
fn zone_issuers() {
    let path = "must be a bare origin, without a path or slash";
    let ip = "must not have an IP address as its host";
    for (issuer, wrong) in [
        ("https://as.example.com/", path),
        ("https://as.example.com/zone", path),
        ("http://as.example.com", "must start with `https://`"),
        ("https://as.example.com?x", "must have no query and no fragment"),
        ("https://10.1.2.3", ip),
        (
            "http://127.0.0.1:8080",
            "must not be a loopback address; a zone for trying out may allow it with \
             `danger_allow_http_loopback`",
        ),
    ] {
        refused_whole(&format!(
            "[zone]\nname = \"t\"\nissuer = \"{issuer}\" #! `zone`: `issuer` `{issuer}` {wrong}"
        ));
    }
}

#[test]
fn syntax_errors_have_their_lines() {
    let mistakes = compile(&sources("[zone]\nname = \nissuer = \"x\"\n[zone]\n"));
    let mistakes = mistakes.expect_err("must not compile");
    let lines: Vec<_> = mistakes.iter().map(|mistake| mistake.line).collect();
    assert_eq!(lines, [2, 4], "{mistakes:?}");
    assert!(mistakes.iter().all(|mistake| mistake.message.starts_with("not TOML: ")));
}

#[test]
fn a_mistake_reads_as_file_line_message() {
    let mistakes = compile(&sources("x = 1")).expect_err("must not compile");
    assert!(
        mistakes.iter().any(|m| m.to_string() == "zone.toml:1: unknown key `x`"),
        "{mistakes:?}"
    );
}

#[test]
fn mistakes_of_all_files_come_in_one_run() {
    let mut files = sources(&format!("{HEADER}x = 1\n[tasks.a]\ny = 1\n"));
    files.policies = vec![Source { path: "a.txt".to_owned(), text: String::new() }];
    let found = compile(&files).expect_err("must not compile");
    let found: Vec<_> = found.iter().map(|m| format!("{}:{}", m.file, m.line)).collect();
    assert_eq!(found, ["zone.toml:4", "zone.toml:6", "policies/a.txt:1"]);
}

#[test]
fn policy_files() {
    let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let check = |policies: Vec<Source>, message: &str| {
        let files = super::super::Sources { policies, ..sources(HEADER) };
        refused_files(&files, &[format!("1: {message}")]);
    };
    check(vec![file("a.txt", "")], "the file's name must end in `.cedar`");
    check(vec![file("a/b.cedar", "")], "the file's name must not lead to another place");
    check(
        vec![file("a.cedar", ""), file("A.cedar", "")],
        "there are two policy files of this name",
    );
    let long = " ".repeat(limits::POLICY_BYTES + 1);
    check(vec![file("a.cedar", &long)], "a policy file may have at most 4194304 bytes");
    let edge = " ".repeat(limits::POLICY_BYTES);
    let files = super::super::Sources { policies: vec![file("a.cedar", &edge)], ..sources(HEADER) };
    assert!(compile(&files).is_ok());
}

#[test]
fn a_file_that_nests_without_end_is_refused_like_any_other() {
    let deep = format!("{HEADER}x = {}", "[".repeat(100_000));
    assert!(compile(&sources(&deep)).is_err());
}
