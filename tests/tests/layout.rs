//! `docs/storage.md` lists every record, index, published name and table, and nothing that is not there:
//! this makes the core write everything that it can write, and compares keys and expiries; columns are those
//! that the targets create their tables with. Of DynamoDB's items see `targets/lambda/src/store/layout.rs`,
//! of Redis' keys `targets/spin/tests/suite/redis.rs`.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a failed test panics"
)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use writ_core::host::{Kind, Record};
use writ_core::jwt::Unverified;
use writ_core::keys::Rotation;
use writ_core::limits;
use writ_core::operator::Step;
use writ_core::status::hour_end;
use writ_tests::client::Answer;
use writ_tests::forms::{ASSISTANT, post, token_request};
use writ_tests::operator::request;
use writ_tests::status::paths;
use writ_tests::store::Contents;
use writ_tests::target::get;
use writ_tests::world::{BEGINNING, World};

const DOCUMENT: &str = include_str!("../../docs/storage.md");

const ZONE: &str = "## The zone's partition";
const SESSIONS: &str = "| key | value | expires |";

#[test]
fn every_record_index_and_published_name_is_documented() {
    let world = world();
    let contents = world.host.store.contents();
    let keys = |kind: Kind| {
        let of_kind = contents.keys().filter(move |(partition, _)| partition.kind == kind);
        of_kind.map(|(_, key)| key.clone()).collect::<BTreeSet<_>>()
    };
    let mut zone = keys(Kind::Zone);
    // Written by Spin alone, whose core is built with it.
    zone.insert(format!("policies/{}/4.14.1", "0".repeat(64)));
    assert_documented(&zone, ZONE);
    assert_documented(&keys(Kind::Session), SESSIONS);
    let index = world.host.store.index();
    let index: BTreeSet<_> = index.iter().map(|(_, entry)| entry.index.to_owned()).collect();
    assert_documented(&index, "**Index entries**");
    let copies = world.host.copies.lock().unwrap();
    let copies: BTreeSet<_> = copies.keys().map(|(_, name)| name.clone()).collect();
    assert_documented(&copies, "## Published copies");
}

#[test]
fn every_record_expires_when_the_document_says() {
    let world = world();
    let contents = world.host.store.contents();
    let mut held = BTreeSet::new();
    for (heading, kind, column) in [(ZONE, Kind::Zone, 1), (SESSIONS, Kind::Session, 2)] {
        for ((partition, key), record) in &contents {
            if partition.kind != kind {
                continue;
            }
            let row = rows(heading).into_iter().find(|row| fits(&codes(&row[0])[0], key)).unwrap();
            let terms = match kind {
                Kind::Zone if key.starts_with("operator/") => {
                    BTreeMap::from([("token", BEGINNING + limits::OPERATOR_SECS)])
                }
                Kind::Zone => BTreeMap::new(),
                Kind::Session => terms(&contents, &partition.id, record),
            };
            let said: BTreeMap<String, i64> = codes(&row[column])
                .into_iter()
                .filter_map(|formula| Some((formula.clone(), value(&formula, &terms)?)))
                .collect();
            if said.is_empty() {
                assert_eq!((kind, record.expires.0), (Kind::Zone, i64::MAX), "{key}: for ever");
                continue;
            }
            let right = said.iter().filter(|(_, said)| **said == record.expires.0);
            let right: Vec<_> =
                right.map(|(formula, _)| (row[0].clone(), formula.clone())).collect();
            let lasts = record.expires.0 - BEGINNING;
            assert!(!right.is_empty(), "{key} expires {lasts} s from now: {said:?}");
            held.extend(right);
        }
    }
    let all = rows(SESSIONS).into_iter().flat_map(|row| {
        let formulas = codes(&row[2]).into_iter();
        formulas.map(move |formula| (row[0].clone(), formula)).collect::<Vec<_>>()
    });
    let never: Vec<_> = all.filter(|said| !held.contains(said)).collect();
    assert!(never.is_empty(), "nothing expired as these say: {never:?}");
}

#[test]
fn an_index_entry_expires_when_the_document_says() {
    let world = world();
    let contents = world.host.store.contents();
    for (partition, entry) in world.host.store.index() {
        let expires = match entry.index {
            "revoked" => (entry.name.parse::<i64>().unwrap() + 2) * 3_600,
            _ => contents[&(partition, entry.key.clone())].expires.0,
        };
        assert_eq!(entry.expires.0, expires, "{} of `{}`", entry.index, entry.key);
    }
}

#[test]
fn every_table_is_documented_with_its_columns() {
    for (section, sources) in [
        ("## Tables", &[include_str!("../../targets/native/src/store/open.rs")][..]),
        ("## On Spin", &[include_str!("../../targets/spin/src/sqlite.rs")]),
        (
            "## On Workers",
            &[
                include_str!("../../targets/worker/src/partition.rs"),
                include_str!("../../targets/worker/src/index.rs"),
            ],
        ),
    ] {
        let created: BTreeMap<_, _> = sources.iter().flat_map(|source| created(source)).collect();
        assert_eq!(described(section), created, "{section}");
    }
}

/// Each name is one that a row shows, and each row shows one that is there.
fn assert_documented(names: &BTreeSet<String>, heading: &str) {
    let shown: Vec<String> = rows(heading).iter().map(|row| codes(&row[0])[0].clone()).collect();
    for name in names {
        let rows = shown.iter().filter(|shown| fits(shown, name)).count();
        assert_eq!(rows, 1, "{heading}: `{name}` is in {rows} rows");
    }
    for shown in &shown {
        assert!(names.iter().any(|name| fits(shown, name)), "{heading}: there is no `{shown}`");
    }
}

/// Whether a name is of the form that a row shows. What differs from record to record is in capitals there.
fn fits(shown: &str, name: &str) -> bool {
    let (shown, name): (Vec<_>, Vec<_>) = (shown.split('/').collect(), name.split('/').collect());
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    shown.len() == name.len()
        && shown.iter().zip(name).all(|(shown, part)| match *shown {
            "SHA256" => part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "NNNN" => part.len() == 4 && digits(part),
            "SEQ" | "HOUR" => !part.is_empty() && digits(part),
            "HASH" => part.len() == 43,
            "KID" | "JTI" | "REQUEST" | "VERSION" => !part.is_empty(),
            literal => literal == part,
        })
}

/// The cells of the rows of the first table after `heading`.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let (_, after) = DOCUMENT.split_once(heading).expect(heading);
    let rows = after.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    rows.take_while(|line| line.starts_with('|'))
        .map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// What is in backticks.
fn codes(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What the formulas of the document speak of, for a record of the session `id`.
fn terms(contents: &Contents, id: &str, record: &Record) -> BTreeMap<&'static str, i64> {
    let mut terms = BTreeMap::from([
        ("now", BEGINNING),
        ("idle_secs", IDLE_SECS),
        ("record_secs", 7 * 86_400),
        ("session_secs", 3_600),
        ("longest_secs", 3_600),
    ]);
    let of = |id: &str, key: &str| {
        let found = contents.iter().find(|((place, name), _)| place.id == id && name == key);
        found.map(|(_, record)| serde_json::from_slice::<Value>(&record.value).unwrap())
    };
    let session = match record.key.as_str() {
        "spent" => of(id, "spent").map(|spent| spent["by"].as_str().unwrap().to_owned()),
        _ => Some(id.to_owned()),
    };
    let opened = session.and_then(|session| of(&session, "opened"));
    if let Some(opened) = opened {
        terms.insert("ends", opened["ends"].as_i64().unwrap());
        terms.insert("hour", hour_end(opened["hour"].as_i64().unwrap()).0);
        if record.key == "spent" || opened["application"] == "job" {
            terms.insert("proof", PROOF_EXPIRES);
        }
    }
    terms
}

/// What a formula comes to: sums, and `max(…)` of sums. A term that is not there has no part in a `max`, and
/// makes anything else no formula.
fn value(formula: &str, terms: &BTreeMap<&str, i64>) -> Option<i64> {
    if let Some((inside, more)) = formula.strip_prefix("max(").and_then(|rest| rest.split_once(')'))
    {
        let most = inside.split(", ").filter_map(|sum| value(sum, terms)).max()?;
        return Some(most + more.strip_prefix(" + ").map_or(Some(0), |more| value(more, terms))?);
    }
    formula.split(" + ").map(|term| term.parse().ok().or(terms.get(term).copied())).sum()
}

/// The tables that a target's source creates, and their columns.
fn created(source: &str) -> BTreeMap<String, Vec<String>> {
    let source = source.split("#[cfg(test)]").next().unwrap();
    let statements = source.split("CREATE TABLE ").skip(1).map(|statement| {
        let (name, rest) = statement.split_once('(').unwrap();
        let mut depth = 1;
        let within = rest.chars().take_while(|character| {
            depth += i32::from(*character == '(') - i32::from(*character == ')');
            depth > 0
        });
        let within: String = within.collect();
        let columns = within.split(',').filter_map(|column| column.split_whitespace().next());
        let columns = columns.take_while(|name| *name != "PRIMARY").map(str::to_owned).collect();
        (name.trim().trim_start_matches("IF NOT EXISTS ").to_owned(), columns)
    });
    statements.collect()
}

/// The tables of a section, each with the columns of the rows beneath it.
fn described(section: &str) -> BTreeMap<String, Vec<String>> {
    let (_, after) = DOCUMENT.split_once(section).expect(section);
    let section = after.split("\n## ").next().unwrap();
    let parts: Vec<&str> = section.split("| column | what |\n|---|---|\n").collect();
    let tables = parts.windows(2).map(|pair| {
        let (_, name) = pair[0].rsplit_once("he table `").expect("its name");
        let rows = pair[1].lines().take_while(|line| line.starts_with('|'));
        let columns = rows.flat_map(|row| codes(row.split('|').nth(1).unwrap())).collect();
        (name.split('`').next().unwrap().to_owned(), columns)
    });
    tables.collect()
}

/// A world in which everything was written that there is to write.
fn world() -> World {
    let world = World::idle(IDLE_SECS);
    let token = a_session_from_its_beginning_to_its_end(&world);
    a_person_who_can_be_refreshed(&world);
    single_use_proofs(&world);
    let list = world.send(get(&paths(&token).0), BEGINNING);
    assert_eq!(list.status, 200);
    for step in [Step::zone(), Step::rotation(Rotation::Planned)] {
        let answer = world.send(request(&world.deployment, &step, BEGINNING), BEGINNING);
        assert_eq!(answer.status, 200);
    }
    world
}

/// And a denial, and a session that its task's id finds again.
fn a_session_from_its_beginning_to_its_end(world: &World) -> String {
    let grant = ("grant_type", "client_credentials");
    let own = ask(world, "/oauth/token", &[grant, ("audience", "assistant")], 200);
    let denied = [grant, ("resource", "https://x.example")];
    ask(world, "/oauth/token", &denied, 400);
    let task = [("task", "release"), ("task_id", "42"), ("resource", FILES)];
    ask(world, "/oauth/token", &[&[grant], &task[..]].concat(), 200);
    let token = own.json().unwrap()["access_token"].as_str().unwrap().to_owned();
    let claims = Unverified::parse(&token).unwrap();
    let sid = claims.unverified_claim("sid").and_then(Value::as_str).unwrap().to_owned();
    ask(world, "/oauth/revoke", &[("token", &token)], 200);
    let ended = request(&world.deployment, &Step::end(&sid), BEGINNING);
    assert_eq!(world.send(ended, BEGINNING).status, 204);
    token
}

fn a_person_who_can_be_refreshed(world: &World) {
    let user = person(world, 1_000);
    let opened = ask(world, "/oauth/token", &of_person(&user), 200);
    assert!(opened.json().unwrap()["refresh_token"].is_string());
}

/// One beside a person's token, and one that opens a session.
fn single_use_proofs(world: &World) {
    let proof = |subject: &str| {
        let claims = json!({ "sub": subject, "exp": PROOF_EXPIRES });
        world.sign(json!({ "from": "jobs", "claims": claims }), BEGINNING)
    };
    let (user, client) = (person(world, 300), proof("assistant"));
    let shown = [
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &client),
    ];
    let beside = [&of_person(&user), &shown[..]].concat();
    let job = proof("job");
    let alone = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("assertion", &job),
        ("resource", FILES),
    ];
    for fields in [&beside[..], &alone] {
        let answer = world.send(token_request(fields), BEGINNING);
        assert_eq!(answer.status, 200, "{:?}", answer.json());
    }
}

fn ask(world: &World, path: &str, fields: &[(&str, &str)], status: u16) -> Answer {
    let answer = world.send(post(path, ASSISTANT, fields), BEGINNING);
    assert_eq!(answer.status, status, "{path}: {:?}", answer.json());
    answer
}

fn person(world: &World, lasts: i64) -> String {
    let claims = json!({
        "sub": "user-1", "tenant": "acme", "azp": "assistant", "exp": BEGINNING + lasts,
    });
    world.sign(json!({ "from": "idp", "claims": claims }), BEGINNING)
}

fn of_person(token: &str) -> [(&str, &str); 4] {
    [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("resource", FILES),
    ]
}

const FILES: &str = "https://files.example/api";
const IDLE_SECS: i64 = 900;
/// Of every single-use proof here.
const PROOF_EXPIRES: i64 = BEGINNING + 400;
