//! Policies as operators write them (P03, P04, P06, X14): what publishing refuses, that zones do not share
//! any, and that nothing of a decision is remembered.

use std::collections::BTreeMap;
use std::sync::Arc;

use writ_core::limits;
use writ_tests::forms::token_request;
use writ_tests::memory::Memory;
use writ_tests::world::{BEGINNING, World};
use writ_tests::zones::{Places, Zone};

fn with(policies: &[(&str, String)]) -> Zone {
    let mut zone = Zone::load("plain", &Places::in_process());
    zone.policies =
        policies.iter().map(|(file, text)| ((*file).to_owned(), text.clone())).collect();
    zone
}

fn permit(id: &str, condition: &str) -> String {
    format!("@id(\"{id}\")\npermit (principal, action, resource) {condition};\n")
}

#[test]
fn p03_what_does_not_validate_strictly_is_refused_at_publish() {
    assert!(with(&[("main.cedar", permit("fine", ""))]).compile().is_ok());
    let mut failures = Vec::new();
    for (what, policy) in [
        ("an unknown attribute", permit("p", "when { resource.sensitivity == \"pii\" }")),
        ("an unknown tag", permit("p", "when { resource.tags.secrecy == \"pii\" }")),
        ("another entity's tag", permit("p", "when { resource.tags.trust == \"own\" }")),
        ("a comparison of types that are never equal", permit("p", "when { context.depth == \"1\" }")),
        ("an unknown context field", permit("p", "when { context.impersonate }")),
        ("an optional field without `has`", permit("p", "when { context.task.name == \"release\" }")),
        ("an unknown action", "@id(\"p\") permit (principal, action == Action::\"read\", resource);".to_owned()),
        ("an unknown type", "@id(\"p\") permit (principal is Robot, action, resource);".to_owned()),
        (
            "a forbid that hides an unknown attribute",
            "@id(\"p\") forbid (principal, action, resource) when { resource has owners && resource.owners };".to_owned(),
        ),
        ("no id", "permit (principal, action, resource);".to_owned()),
        ("an id with spaces", permit("a b", "")),
        ("no policy language", "permit all the things".to_owned()),
    ] {
        let mistakes = with(&[("main.cedar", policy)]).compile().err();
        match mistakes {
            None => failures.push(format!("{what} is accepted")),
            Some(mistakes) if mistakes.contains("main.cedar:") => {}
            Some(mistakes) => failures.push(format!("{what}: no file and line in {mistakes}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn p06_ids_are_unique_within_a_file_and_templates_are_refused() {
    let same = permit("one", "") + &permit("one", "");
    assert!(with(&[("main.cedar", same)]).compile().is_err());
    let files = [("a.cedar", permit("one", "")), ("b.cedar", permit("one", ""))];
    assert!(with(&files).compile().is_ok(), "a file's name is part of its policies' names");
    let template = "@id(\"p\") permit (principal == ?principal, action, resource);".to_owned();
    assert!(with(&[("main.cedar", template)]).compile().is_err());
}

#[test]
fn p06_zones_share_no_policy() {
    let host = Arc::new(Memory::default());
    let places = Places::in_process();
    let open = World::on(Arc::clone(&host), Zone::load("plain", &places), places);
    let places = Places { zone: "https://closed.example".to_owned(), ..Places::in_process() };
    let mut zone = Zone::load("plain", &places);
    zone.document = zone.document.replace("name = \"plain\"", "name = \"closed\"");
    zone.policies = BTreeMap::from([(
        "main.cedar".to_owned(),
        "@id(\"closed\")\nforbid (principal, action, resource);\n".to_owned(),
    )]);
    let closed = World::on(host, zone, places);
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", "assistant"),
        ("client_secret", "assistant-secret"),
        ("resource", "https://files.example/api"),
    ];
    for _ in 0..3 {
        assert_eq!(open.send(token_request(&fields), BEGINNING).status, 200);
        let answer = closed.send(token_request(&fields), BEGINNING);
        assert_eq!(answer.json().unwrap()["error"], "access_denied");
    }
}

#[test]
fn p04_more_bytes_than_allowed_are_refused() {
    let filled = |bytes: usize| {
        let policy = permit("one", "");
        let comment = format!("//{}\n", "x".repeat(bytes - policy.len() - 3));
        with(&[("main.cedar", comment + &policy)]).compile()
    };
    assert!(filled(limits::POLICY_BYTES).is_ok());
    assert!(filled(limits::POLICY_BYTES + 1).is_err());
}

/// Deep expressions and wide sets are refused or served; they take neither the process nor minutes.
/// Each is compiled in a process of its own, which a stack that overflows would end.
#[test]
fn p04_deep_and_wide_policies_end_in_good_order() {
    let mut failures = Vec::new();
    for shape in ["parentheses", "terms", "elements", "negations"] {
        let own = std::env::current_exe().unwrap();
        let output = std::process::Command::new(own)
            .args(["--exact", "p04_compiles_one_shape"])
            .env("SHAPE", shape)
            .output()
            .unwrap();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            failures.push(format!("5,000 {shape}: {} {said}", output.status));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// One shape, in the process that `p04_deep_and_wide_policies_end_in_good_order` starts for it.
#[test]
fn p04_compiles_one_shape() {
    let Ok(shape) = std::env::var("SHAPE") else { return };
    let condition = match shape.as_str() {
        "parentheses" => format!("{}true{}", "(".repeat(5_000), ")".repeat(5_000)),
        "terms" => vec!["context.depth > 0"; 5_000].join(" && "),
        "negations" => format!("{}true{}", "!(".repeat(5_000), ")".repeat(5_000)),
        _ => {
            let elements: Vec<String> = (0..5_000).map(|n| format!("\"s{n}\"")).collect();
            format!("context.scopes.containsAny([{}])", elements.join(", "))
        }
    };
    let _ = with(&[("main.cedar", permit("one", &format!("when {{ {condition} }}")))]).compile();
}

/// No decision is remembered, and what is remembered to decide faster is found by what it depends on: on one
/// instance, whatever was asked before, each input by itself turns the decision.
#[test]
fn x14_every_input_of_a_decision_counts_on_one_instance() {
    const FILES: &str = "https://files.example/api";
    let forbid =
        |scope: &str, condition: &str| format!("@id(\"not\")\nforbid ({scope}) {condition};\n");
    let any = "principal, action, resource";
    let when = |condition: &str| forbid(any, &format!("when {{ {condition} }}"));
    type Fields = &'static [(&'static str, &'static str)];
    let planner: Fields = &[("client_id", "planner"), ("client_secret", "planner-secret")];
    let triage: Fields = &[("task", "triage"), ("task_id", "1")];
    let cases: [(&str, String, Fields, Fields); 7] = [
        (
            "principal",
            forbid("principal == Application::\"planner\", action, resource", ""),
            &[],
            planner,
        ),
        (
            "resource",
            forbid("principal, action, resource == Resource::\"https://quick.example\"", ""),
            &[],
            &[("resource", "https://quick.example")],
        ),
        ("scopes", when("context.scopes.contains(\"write\")"), &[], &[("scope", "write")]),
        ("task", when("context has task && context.task.name == \"triage\""), &[], triage),
        (
            "task's id",
            when("context has task && context.task has id && context.task.id == \"2\""),
            triage,
            &[("task", "triage"), ("task_id", "2")],
        ),
        ("actor's tags", when("context.actor.tags.trust == \"shared\""), &[], planner),
        ("chain's tags", when("context.chain_tags.trust.contains(\"shared\")"), &[], planner),
    ];
    let ask = |world: &World, changes: &[&[(&str, &str)]], at: i64| {
        let mut fields = BTreeMap::from([
            ("grant_type", "client_credentials"),
            ("client_id", "assistant"),
            ("client_secret", "assistant-secret"),
            ("resource", FILES),
            ("scope", "read"),
        ]);
        fields.extend(changes.iter().copied().flatten().copied());
        let fields: Vec<_> = fields.into_iter().collect();
        let answer = world.send(token_request(&fields), at).json().unwrap();
        answer["error"].as_str().map(str::to_owned)
    };
    for (what, policy, base, changed) in &cases {
        let zone = with(&[("main.cedar", permit("all", "") + policy)]);
        let world = World::with(zone, Places::in_process());
        for round in 0..3 {
            assert_eq!(ask(&world, &[base], BEGINNING + round), None, "{what}");
            let denied = ask(&world, &[base, changed], BEGINNING + round);
            assert_eq!(denied.as_deref(), Some("access_denied"), "{what}");
        }
    }

    let late = format!("context.time >= {}", BEGINNING + 100);
    let zone = with(&[("main.cedar", permit("all", "") + &when(&late))]);
    let world = World::with(zone, Places::in_process());
    assert_eq!(ask(&world, &[], BEGINNING), None);
    assert_eq!(ask(&world, &[], BEGINNING + 100).as_deref(), Some("access_denied"), "time");

    let world = World::with(with(&[("main.cedar", permit("all", ""))]), Places::in_process());
    assert_eq!(ask(&world, &[], BEGINNING), None);
    let closed = with(&[("main.cedar", permit("all", "") + &forbid(any, ""))]);
    World::on(Arc::clone(&world.host), closed, Places::in_process());
    let denied = ask(&world, &[], BEGINNING + limits::SNAPSHOT_STALE_SECS);
    assert_eq!(denied.as_deref(), Some("access_denied"), "policies");
}
