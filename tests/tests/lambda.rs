//! The Lambda function's running bootstrap on what only this platform has: its wrapping key in KMS.

use writ_tests::forms::{ACCESS, ASSISTANT, EXCHANGE, post};
use writ_tests::running::Running;

/// Every other test starts the function with its wrapping key in Secrets Manager.
#[test]
fn s04_a_function_starts_with_its_wrapping_key_in_kms() {
    let by = [("WRIT_WRAPPING_BY", "kms"), ("WRIT_ENVIRONMENTS", "1")];
    let running = Running::with("lambda", "plain", &by);
    let issued = |fields: &[(&str, &str)]| {
        let body = running.send(&post("/oauth/token", ASSISTANT, fields)).json().unwrap();
        body["access_token"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
    };
    let own = [("grant_type", "client_credentials"), ("audience", "assistant")];
    let token = issued(&own);
    let fields = [
        ("grant_type", EXCHANGE),
        ("subject_token", &*token),
        ("subject_token_type", ACCESS),
        ("resource", "https://files.example/api"),
    ];
    issued(&fields);
}
