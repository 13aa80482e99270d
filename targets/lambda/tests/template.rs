//! The template as it is deployed: sound for CloudFormation and SAM, and in step with the code.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a failed test panics")]

use std::path::PathBuf;
use std::process::Command;

use writ_process::crypto::WrappingKey;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Runs one of the installed tools at the root; without a network it would do the same.
fn run(tool: &str, arguments: &[&str]) {
    let tools = root().join(".tools/lambda-python");
    assert!(tools.join("stamp").exists(), "{tool} is not installed: run `tests/tools/lambda`");
    let output = Command::new(tools.join("bin").join(tool))
        .args(arguments)
        .current_dir(root())
        .env("SAM_CLI_TELEMETRY", "0")
        .output()
        .expect("it starts");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{tool}: {text}");
}

#[test]
fn cfn_lint_has_nothing_to_say() {
    run("cfn-lint", &["template.yaml"]);
}

#[test]
fn sam_finds_it_valid() {
    run("sam", &["validate", "--lint", "--region", "us-east-1", "--template", "template.yaml"]);
}

#[test]
fn what_it_becomes_is_what_the_function_needs() {
    run("python", &["tests/lambda/template.py"]);
}

/// Where a table was restored, nothing is left that is about the stack's own.
#[test]
fn a_restored_table_takes_every_place_of_the_stacks_own() {
    let template = std::fs::read_to_string(root().join("template.yaml")).unwrap();
    let either = "!If [HasRestoredTable, !Ref RestoredTable, !Ref Table]";
    let places = template.matches(either).count();
    assert_eq!(places, 6, "the variable, two statements, two alarms, the output");
    assert_eq!(template.matches("!Ref Table").count(), places);
    assert!(!template.contains("!GetAtt Table") && !template.contains("${Table"));
}

/// Of the characters that the generator may use, every one can be the last of a wrapping key.
#[test]
fn a_generated_secret_is_a_wrapping_key() {
    let template = std::fs::read_to_string(root().join("template.yaml")).unwrap();
    let value = |name: &str| {
        let line = template.lines().find(|line| line.trim().starts_with(name));
        line.and_then(|line| line.split(": ").nth(1)).expect("the setting").to_owned()
    };
    let (length, excluded) = (value("PasswordLength"), value("ExcludeCharacters"));
    assert_eq!(value("ExcludePunctuation"), "true");
    let left: Vec<char> = ('0'..='z')
        .filter(char::is_ascii_alphanumeric)
        .filter(|character| !excluded.contains(*character))
        .collect();
    assert_eq!(left.len(), 16, "four random bits a character");
    for character in left {
        let key = character.to_string().repeat(length.parse().unwrap());
        assert!(WrappingKey::parse(&key, "the secret").is_ok(), "{character}");
    }
}
