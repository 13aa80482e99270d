//! Every vector, in process.

use std::collections::BTreeMap;

use writ_tests::vector::Vector;
use writ_tests::{Target, check};

#[test]
fn every_vector_holds_in_process() {
    let only = std::env::var("VECTOR").unwrap_or_default();
    let vectors = Vector::all();
    let failures: Vec<String> = vectors
        .iter()
        .filter(|vector| vector.name.contains(&only))
        .filter_map(|vector| {
            let problems = check(vector, &Target::InProcess);
            let listed = problems.join("\n    ");
            (!problems.is_empty())
                .then(|| format!("{}: {}\n    {listed}", vector.name, vector.title))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} vectors fail:\n{}",
        failures.len(),
        vectors.len(),
        failures.join("\n")
    );
}

#[test]
fn every_refusal_has_a_twin_that_succeeds() {
    let vectors: BTreeMap<String, Vector> =
        Vector::all().into_iter().map(|vector| (vector.name.clone(), vector)).collect();
    for vector in vectors.values().filter(|vector| vector.is_refusal()) {
        let name = vector.twin_name();
        let name = name.unwrap_or_else(|| panic!("{} has no twin", vector.name));
        let twin = vectors.get(&name);
        let twin = twin.unwrap_or_else(|| panic!("{}: there is no `{name}`", vector.name));
        assert!(!twin.is_refusal(), "{}: its twin `{name}` is refused too", vector.name);
        assert_eq!(vector.zone, twin.zone, "{}: its twin runs in another zone", vector.name);
    }
}
