//! Every promise of the threat list has a test that bears its id: in a vector's name, or in the
//! name of a test function.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::collections::BTreeSet;
use std::path::Path;

use writ_tests::vector::{Vector, package};

/// The ids that must be covered; K11 comes with signed requests to AWS, which Writ does not take, X17 to X19
/// with observed bundles and assertions of ours.
fn promised() -> Vec<String> {
    let range = |letter: char, last: usize| (1..=last).map(move |n| format!("{letter}{n:02}"));
    range('J', 22)
        .chain(range('K', 12))
        .chain(range('X', 21))
        .chain(range('P', 7))
        .filter(|id| !["K11", "X17", "X18", "X19"].contains(&id.as_str()))
        .collect()
}

#[test]
fn every_threat_has_a_test() {
    let mut covered: BTreeSet<String> = Vector::all()
        .iter()
        .filter_map(|vector| vector.name.rsplit('/').next()?.split('-').next().map(str::to_owned))
        .collect();
    let root = package().parent().unwrap().to_owned();
    for place in ["core/src", "targets", "tests/src", "tests/tests", "tests/contract.rs"] {
        collect(&root.join(place), &mut covered);
    }
    let missing: Vec<String> = promised().into_iter().filter(|id| !covered.contains(id)).collect();
    assert!(missing.is_empty(), "no test bears {missing:?}");
}

/// Takes the ids from the names of the functions in a Rust file, or in every one beneath a directory.
fn collect(path: &Path, covered: &mut BTreeSet<String>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), covered);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        let text = std::fs::read_to_string(path).unwrap();
        let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
        covered.extend(names.flat_map(|name| name.split('_')).map(str::to_uppercase));
    }
}
