//! The policy files as texts: names, sizes, none twice. What they say is Cedar's to judge.

use std::collections::{BTreeMap, BTreeSet};

use super::read::Report;
use super::{Source, names};
use crate::limits;

/// Takes the policy files in, by name.
pub(super) fn read(report: &Report, files: &[Source]) -> BTreeMap<String, String> {
    let mut seen = BTreeSet::new();
    let mut policies = BTreeMap::new();
    for file in files {
        let path = format!("policies/{}", names::shown(&file.path));
        if let Err(wrong) = check_name(&file.path) {
            report.add_to(&path, 1, format!("the file's name {wrong}"));
        }
        // Two names that differ in letter case are one file on some of the operator's machines.
        if !seen.insert(file.path.to_ascii_lowercase()) {
            report.add_to(&path, 1, "there are two policy files of this name");
        }
        if file.text.len() > limits::POLICY_BYTES {
            let most = limits::POLICY_BYTES;
            report.add_to(&path, 1, format!("a policy file may have at most {most} bytes"));
        }
        policies.insert(file.path.clone(), file.text.clone());
    }
    if files.len() > limits::POLICIES {
        let most = limits::POLICIES;
        report.add_to("policies", 1, format!("there may be at most {most} policy files"));
    }
    policies
}

pub(super) fn check_name(name: &str) -> Result<(), String> {
    names::check(name)?;
    match name.strip_suffix(".cedar") {
        None | Some("") => Err("must end in `.cedar`".to_owned()),
        Some(_) if name.contains(['/', '\\']) => Err("must not lead to another place".to_owned()),
        Some(_) => Ok(()),
    }
}
