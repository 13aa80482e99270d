//! `examples/github-actions`: the steps of the workflow, run as GitHub's runner runs them.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use writ_tests::emulation::{Reply, header, listen, parameter};
use writ_tests::{example, tools};

use crate::scene::{Mint, Scene};

#[test]
fn a_github_job_deploys() {
    let scene = Scene::open();
    scene.mint.change("environment", "production");
    let job = Job::new(&scene);
    let (ended_well, log) = job.run();
    assert!(ended_well, "{log}");
    let claims = scene.served();
    assert_eq!(claims["sub"], "ci-deploy");
    assert_eq!(claims["aud"], "https://deploy.example.com");
    assert_eq!(claims["scope"], "deploy");
    assert_eq!(claims["task"]["id"], "29999999999");
    assert_eq!(claims["call"], "POST /releases");
    assert_eq!(claims["body"], format!("commit={COMMIT}"));
    assert!(!log.contains(".eyJ"), "a token is in the log: {log}");
}

#[test]
fn a_github_job_of_another_environment_does_not() {
    let scene = Scene::open();
    scene.mint.change("environment", "preview");
    let (ended_well, log) = Job::new(&scene).run();
    assert!(!ended_well, "{log}");
    assert!(log.contains("::error::"), "{log}");
    assert!(!log.contains(".eyJ"), "a token is in the log: {log}");
    scene.assert_refused("rule_missing");
}

#[test]
fn a_github_job_without_the_permission_is_told_so() {
    let scene = Scene::open();
    let mut job = Job::new(&scene);
    job.variables.retain(|name, _| !name.starts_with("ACTIONS_"));
    let (ended_well, log) = job.run();
    assert!(!ended_well && log.contains("curl: (3)"), "{log}");
}

#[test]
fn the_emulated_github_refuses_what_github_would() {
    let url = token_endpoint(Scene::open().mint);
    let ask = |more: &str, bearer: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail-with-body", "-H", &format!("Authorization: bearer {bearer}")]);
        tools::outcome(curl.arg(format!("{url}{more}")))
    };
    assert!(ask("&audience=https://auth.example.com", REQUEST_TOKEN).0);
    assert!(!ask("&audience=https://auth.example.com", "another").0);
    assert!(!ask("?audience=https://auth.example.com", REQUEST_TOKEN).0);
}

const REQUEST_TOKEN: &str = "the-runners-own-token";
const COMMIT: &str = "1f2e3d4c5b6a79880123456789abcdef01234567";

/// The runner's endpoint. Its URL has a query already, as GitHub's has.
fn token_endpoint(mint: Mint) -> String {
    let url = listen(move |request| {
        let query = request.query.as_deref().unwrap_or_default().as_bytes();
        if request.method != "GET" || request.path != "/idtoken" {
            return Reply::refusal(404, "there is nothing here");
        }
        if header(request, "authorization") != Some(&format!("bearer {REQUEST_TOKEN}")) {
            return Reply::refusal(401, "that is not this job's request token");
        }
        if parameter(query, "api-version").as_deref() != Some("2.0") {
            return Reply::refusal(400, "the URL's own parameters are to be kept");
        }
        let usual = "https://github.com/octo-org".to_owned();
        let audience = parameter(query, "audience").unwrap_or(usual);
        let token = mint.token("github", "github-actions", &audience, &[]);
        Reply::ok(json!({ "count": token.len(), "value": token }))
    });
    format!("{url}/idtoken?api-version=2.0")
}

/// The workflow's only job, with what GitHub sets.
struct Job {
    document: Value,
    variables: BTreeMap<String, String>,
    /// Values of the workflow's that are where the test has them.
    here: BTreeMap<&'static str, String>,
    directory: TempDir,
}

impl Job {
    fn new(scene: &Scene) -> Self {
        let document = workflow();
        let job = &document["jobs"]["deploy"];
        assert_eq!(job["permissions"]["id-token"], "write", "else GitHub gives no token");
        assert_eq!(job["environment"], "production", "the rule compares it");
        let variables = [
            ("ACTIONS_ID_TOKEN_REQUEST_URL", token_endpoint(scene.mint.clone())),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN.to_owned()),
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("GITHUB_SHA", COMMIT.to_owned()),
        ];
        Self {
            variables: variables.map(|(name, value)| (name.to_owned(), value)).into(),
            here: [("WRIT", scene.writ.clone()), ("API", scene.api.clone())].into(),
            directory: tempfile::tempdir().unwrap(),
            document,
        }
    }

    /// Runs every step, until one fails. Returns what the log would show.
    fn run(&self) -> (bool, String) {
        let job = &self.document["jobs"]["deploy"];
        let (mut outputs, mut masks) = (BTreeMap::new(), Vec::new());
        let mut log = String::new();
        for step in job["steps"].as_array().unwrap() {
            let (ended_well, said) = self.step(job, step, &mut outputs);
            for line in said.lines() {
                match line.strip_prefix("::add-mask::") {
                    Some(secret) => masks.push(secret.to_owned()),
                    None => log.push_str(&format!("{line}\n")),
                }
            }
            masks.iter().for_each(|secret| log = log.replace(secret, "***"));
            if !ended_well {
                return (false, log);
            }
        }
        (true, log)
    }

    fn step(
        &self,
        job: &Value,
        step: &Value,
        outputs: &mut BTreeMap<String, String>,
    ) -> (bool, String) {
        assert_eq!(step["shell"], "bash", "the pipes rely on it");
        let path = |name: &str| self.directory.path().join(name);
        let (script, output) = (path("step.sh"), path("output"));
        std::fs::write(&script, step["run"].as_str().unwrap()).unwrap();
        std::fs::write(&output, "").unwrap();
        // What `shell: bash` means at GitHub.
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc", "-eo", "pipefail"]).arg(&script);
        bash.envs(&self.variables).env("GITHUB_OUTPUT", &output);
        for (name, value) in both(&job["env"], &step["env"]) {
            let value = self.here.get(name.as_str()).cloned().unwrap_or(value);
            bash.env(name, expand(&value, outputs));
        }
        let outcome = tools::outcome(&mut bash);
        let id = step["id"].as_str().unwrap_or_default();
        for line in std::fs::read_to_string(&output).unwrap().lines() {
            let (name, value) = line.split_once('=').expect("an output is NAME=VALUE");
            outputs.insert(format!("steps.{id}.outputs.{name}"), value.to_owned());
        }
        outcome
    }
}

/// The workflow as it stands. YAML is read by Python, and JSON comes back.
fn workflow() -> Value {
    let read = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let mut python = tools::python();
    python.args(["-c", read]).arg(example::path("github-actions/deploy.yml"));
    let (ended_well, text) = tools::outcome(&mut python);
    assert!(ended_well, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn both(job: &Value, step: &Value) -> Vec<(String, String)> {
    let of = |env: &Value| env.as_object().cloned().unwrap_or_default();
    let text = |value: Value| value.as_str().expect("a text").to_owned();
    of(job).into_iter().chain(of(step)).map(|(name, value)| (name, text(value))).collect()
}

/// Fills `${{ … }}` in; only outputs of earlier steps are known.
fn expand(value: &str, outputs: &BTreeMap<String, String>) -> String {
    let Some((before, rest)) = value.split_once("${{") else { return value.to_owned() };
    let (name, after) = rest.split_once("}}").expect("an expression ends");
    let found = outputs.get(name.trim()).unwrap_or_else(|| panic!("no output `{name}`"));
    format!("{before}{found}{}", expand(after, outputs))
}
