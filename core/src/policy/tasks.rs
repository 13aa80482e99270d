//! What policies must not rest on.
//!
//! A permit that rests on a task must be for an application that may be on it, by claiming it or
//! by a rule (design §2): otherwise it reads as a grant and is none. A forbid must not rest on a
//! claim: only the hop that shows a token knows its claims, and one hop later it would forbid nothing.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::PrincipalConstraint;
use serde_json::Value;

use super::compile::{Fault, Named, permits};
use crate::bundle::{Bearer, Bundle};

/// The permits that name a task and an application that is not listed for it, and the policies
/// that name a task nobody declared.
pub(super) fn faults(bundle: &Bundle, named: &BTreeMap<String, Named>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, entry) in named {
        let Ok(document) = entry.policy.to_json() else {
            continue;
        };
        let mut found = Found::default();
        found.walk(&document);
        if let PrincipalConstraint::Eq(uid) = entry.policy.principal_constraint()
            && uid.type_name().to_string() == "Application"
        {
            found.applications.insert(uid.id().unescaped().to_owned());
        }
        let mut say = |message: String| {
            faults.push(Fault { file: entry.file.clone(), line: entry.line, message });
        };
        if found.claims && !permits(&entry.policy) {
            say(format!(
                "`{name}` forbids by a claim, which only the hop that shows the token knows: let \
                 the permits ask for the claim instead"
            ));
        }
        for task in &found.tasks {
            let Some(declared) = bundle.tasks.get(task) else {
                say(format!("`{name}` names the task `{task}`, which is not declared"));
                continue;
            };
            for application in &found.applications {
                let may =
                    declared.claimants.contains(application) || is_ruled(bundle, task, application);
                if permits(&entry.policy) && !may {
                    say(format!(
                        "`{name}` permits `{application}` on the task `{task}`, which it may not claim"
                    ));
                }
            }
        }
    }
    faults
}

/// Whether a rule puts the application on the task.
fn is_ruled(bundle: &Bundle, task: &str, application: &str) -> bool {
    bundle.rules.values().any(|rule| {
        rule.task.as_deref() == Some(task)
            && matches!(&rule.bearer, Bearer::Application(bearer) if bearer == application)
    })
}

/// What a policy's conditions compare with `==`.
#[derive(Default)]
struct Found {
    tasks: BTreeSet<String>,
    applications: BTreeSet<String>,
    /// `context.claims` is read.
    claims: bool,
}

impl Found {
    /// Walks a policy's JSON form. Its depth was bounded by the parser.
    fn walk(&mut self, value: &Value) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.walk(value)),
            Value::Object(members) => {
                if let Some(sides) = members.get("==").and_then(Value::as_object) {
                    let side = |name: &str| sides.get(name).unwrap_or(&Value::Null);
                    self.compare(side("left"), side("right"));
                    self.compare(side("right"), side("left"));
                }
                if let Some(access) = members.get(".") {
                    let context = access.pointer("/left/Var").is_some_and(|name| name == "context");
                    let claims = access.get("attr").is_some_and(|name| name == "claims");
                    self.claims |= context && claims;
                }
                members.values().for_each(|value| self.walk(value));
            }
            _ => {}
        }
    }

    fn compare(&mut self, path: &Value, constant: &Value) {
        let attribute = |value: &Value, name: &str| -> Option<Value> {
            let access = value.get(".")?;
            (access.get("attr")? == name).then(|| access.get("left").cloned())?
        };
        let is_variable = |value: &Value, name: &str| value.get("Var").is_some_and(|v| v == name);
        let of_context = |value: &Value, name: &str| {
            attribute(value, name).is_some_and(|left| is_variable(&left, "context"))
        };
        let is_task = attribute(path, "name").is_some_and(|left| of_context(&left, "task"));
        if is_task && let Some(task) = constant.get("Value").and_then(Value::as_str) {
            self.tasks.insert(task.to_owned());
        }
        let is_actor = is_variable(path, "principal") || of_context(path, "actor");
        let entity = constant.pointer("/Value/__entity");
        if is_actor
            && let Some(entity) = entity
            && entity.get("type").is_some_and(|kind| kind == "Application")
            && let Some(id) = entity.get("id").and_then(Value::as_str)
        {
            self.applications.insert(id.to_owned());
        }
    }
}
