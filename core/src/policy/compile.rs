//! A bundle's policies, parsed, named, strictly validated and indexed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

use cedar_policy::{
    Effect, Entities, Entity, EntityId, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet,
    PrincipalConstraint, ResourceConstraint, RestrictedExpression, Schema, ValidationMode,
    Validator,
};
use miette::Diagnostic;

use super::{bounds, schema};
use crate::bundle::{Bundle, TagOn};
use crate::limits;
use crate::memory::lock;

/// A zone's policies, ready to decide with.
pub struct Policies {
    pub(super) schema: Schema,
    pub(super) action: EntityUid,
    pub(super) user: EntityTypeName,
    pub(super) application: EntityTypeName,
    pub(super) resource: EntityTypeName,
    /// Every application and resource of the bundle, and each application once more as the resource
    /// that its session tokens are for.
    pub(super) entities: HashMap<EntityUid, Entity>,
    index: Index,
}

/// Why policies do not compile, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file's name within `policies/`.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policies/{}:{}: {}", self.file, self.line, self.message)
    }
}

impl Policies {
    /// Parses, names, validates and indexes the policies of a bundle.
    ///
    /// # Errors
    ///
    /// Every fault there is.
    pub fn compile(bundle: &Bundle) -> Result<Self, Vec<Fault>> {
        let whole = |message: String| vec![Fault { file: String::new(), line: 1, message }];
        let schema = schema::generate(bundle)
            .map_err(|error| whole(format!("the bundle has no schema: {error}")))?;
        let named = parse(bundle)?;
        let set = PolicySet::from_policies(named.values().map(|named| named.policy.clone()))
            .map_err(|error| whole(error.to_string()))?;
        let mut faults = validate(&schema, &set, &named);
        faults.extend(super::tasks::faults(bundle, &named));
        if !faults.is_empty() {
            return Err(faults);
        }
        let policies = named.into_values().map(|named| named.policy);
        let compiled = Self::of(bundle, schema, policies).map_err(whole)?;
        let entities = compiled.entities.values().cloned();
        Entities::from_entities(entities, Some(&compiled.schema))
            .map_err(|error| whole(error.to_string()))?;
        Ok(compiled)
    }

    /// Indexes policies that were validated before, against the schema that they were validated with.
    pub(super) fn of(
        bundle: &Bundle,
        schema: Schema,
        policies: impl Iterator<Item = Policy>,
    ) -> Result<Self, String> {
        let types = entity_types()?;
        let entities = entities(bundle, &types)?;
        Ok(Self {
            action: EntityUid::from_type_name_and_id(types.action, EntityId::new(schema::ACTION)),
            schema,
            user: types.user,
            application: types.application,
            resource: types.resource,
            entities,
            index: Index::new(policies),
        })
    }

    /// Every policy, as one set.
    #[cfg(feature = "encoded")]
    pub(super) fn all(&self) -> PolicySet {
        let mut set = PolicySet::new();
        for policy in self.index.buckets.values().flatten() {
            // Names are unique in a bundle, so none is refused.
            let _ = set.add(policy.clone());
        }
        set
    }

    /// How many policies there are, and how many of them apply to any principal and any resource:
    /// those are evaluated on every request.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        self.index.counts()
    }

    /// The policies that can match this principal and resource, as one set.
    pub(super) fn candidates(&self, principal: &EntityUid, resource: &EntityUid) -> Arc<PolicySet> {
        self.index.candidates(principal, resource)
    }
}

/// A policy under its own name, `file/id`, and the file it came from.
pub(super) struct Named {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) policy: Policy,
}

fn parse(bundle: &Bundle) -> Result<BTreeMap<String, Named>, Vec<Fault>> {
    let mut named = BTreeMap::new();
    let mut faults = Vec::new();
    for (file, text) in &bundle.policies {
        let bounds::Scan { lines, faults: deep } = bounds::scan(text);
        if !deep.is_empty() {
            let fault = |(line, message)| Fault { file: file.clone(), line, message };
            faults.extend(deep.into_iter().map(fault));
            continue;
        }
        let line = |id: &PolicyId| line_of_policy(&lines, id);
        let set = match text.parse::<PolicySet>() {
            Ok(set) => set,
            Err(errors) => {
                faults.extend(errors.iter().map(|error| fault(file, text, error)));
                continue;
            }
        };
        if let Some(template) = set.templates().next() {
            let message = format!("`{}` is a template, which is not supported", template.id());
            faults.push(Fault { file: file.clone(), line: line(template.id()), message });
        }
        for policy in set.policies() {
            match name(file, line(policy.id()), policy) {
                Err(fault) => faults.push(fault),
                Ok((name, line)) => {
                    let policy = policy.new_id(PolicyId::new(&name));
                    let entry = Named { file: file.clone(), line, policy };
                    if named.insert(name.clone(), entry).is_some() {
                        let message = format!("policy id `{name}` is used twice");
                        faults.push(Fault { file: file.clone(), line, message });
                    }
                }
            }
        }
    }
    if named.len() > limits::POLICIES {
        let message = format!("more than {} policies", limits::POLICIES);
        faults.push(Fault { file: String::new(), line: 1, message });
    }
    if faults.is_empty() { Ok(named) } else { Err(faults) }
}

/// The policy's own name: its file and its `@id`, so that no parser's numbering ever names one.
fn name(file: &str, line: usize, policy: &Policy) -> Result<(String, usize), Fault> {
    let refuse = |message: &str| Fault { file: file.to_owned(), line, message: message.to_owned() };
    let id = policy
        .annotation("id")
        .ok_or_else(|| refuse("a policy has no `@id`, which names it in denials and the record"))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if id.is_empty() || id.len() > limits::NAME_BYTES || !id.bytes().all(plain) {
        return Err(refuse("an `@id` may have letters, digits, `-`, `_` and `.`"));
    }
    let stem = file.strip_suffix(".cedar").unwrap_or(file);
    Ok((format!("{stem}/{id}"), line))
}

/// The line of a policy that the parser has numbered: it calls the n-th of a file `policyN`.
fn line_of_policy(lines: &[usize], id: &PolicyId) -> usize {
    let number = id.to_string().strip_prefix("policy").and_then(|number| number.parse().ok());
    number.and_then(|number: usize| lines.get(number).copied()).unwrap_or(1)
}

fn validate(schema: &Schema, set: &PolicySet, named: &BTreeMap<String, Named>) -> Vec<Fault> {
    let result = Validator::new(schema.clone()).validate(set, ValidationMode::Strict);
    let fault = |id: &PolicyId, message: String| {
        let at = named.get(&id.to_string());
        Fault {
            file: at.map(|named| named.file.clone()).unwrap_or_default(),
            line: at.map_or(1, |named| named.line),
            message,
        }
    };
    // A warning says that a policy can never apply, or that its text is not what it looks like:
    // a `forbid` of that kind protects nothing (P03).
    let errors =
        result.validation_errors().map(|error| fault(error.policy_id(), error.to_string()));
    let warnings =
        result.validation_warnings().map(|warning| fault(warning.policy_id(), warning.to_string()));
    errors.chain(warnings).collect()
}

fn fault(file: &str, text: &str, error: &impl Diagnostic) -> Fault {
    let line = offset(error).map_or(1, |offset| line_of(text, offset));
    Fault { file: file.to_owned(), line, message: error.to_string() }
}

fn offset(error: &impl Diagnostic) -> Option<usize> {
    error.labels()?.next().map(|label| label.offset())
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.bytes().take(offset);
    before.filter(|byte| *byte == b'\n').count().saturating_add(1)
}

struct Types {
    action: EntityTypeName,
    user: EntityTypeName,
    application: EntityTypeName,
    resource: EntityTypeName,
}

fn entity_types() -> Result<Types, String> {
    let parse = |name: &str| name.parse::<EntityTypeName>().map_err(|error| error.to_string());
    Ok(Types {
        action: parse("Action")?,
        user: parse("User")?,
        application: parse("Application")?,
        resource: parse("Resource")?,
    })
}

/// The entities that every request draws from.
fn entities(bundle: &Bundle, types: &Types) -> Result<HashMap<EntityUid, Entity>, String> {
    let uid = |kind: &EntityTypeName, id: &str| {
        EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
    };
    let mut made = Vec::new();
    for (id, application) in &bundle.applications {
        let attributes = [("id", string(id)), ("tags", tag_record(&application.tags)?)];
        made.push(entity(uid(&types.application, id), attributes)?);
        let owner = RestrictedExpression::new_entity_uid(uid(&types.application, id));
        let attributes = [
            ("id", string(id)),
            ("kind", string("application")),
            ("scopes", RestrictedExpression::new_set([])),
            ("owner", owner),
            ("tags", tag_record(&bundle.default_tags(TagOn::Resource))?),
        ];
        made.push(entity(uid(&types.resource, id), attributes)?);
    }
    for (id, resource) in &bundle.resources {
        let attributes = [
            ("id", string(id)),
            ("kind", string("resource")),
            ("scopes", strings(&resource.scopes)),
            ("tags", tag_record(&resource.tags)?),
        ];
        let owner = resource.owner.as_ref().map(|owner| {
            ("owner", RestrictedExpression::new_entity_uid(uid(&types.application, owner)))
        });
        made.push(entity(uid(&types.resource, id), attributes.into_iter().chain(owner))?);
    }
    Ok(made.into_iter().map(|entity| (entity.uid(), entity)).collect())
}

pub(super) fn entity(
    uid: EntityUid,
    attributes: impl IntoIterator<Item = (&'static str, RestrictedExpression)>,
) -> Result<Entity, String> {
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Entity::new(uid, attributes, std::collections::HashSet::new())
        .map_err(|error| error.to_string())
}

pub(super) fn string(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

pub(super) fn strings(texts: &BTreeSet<String>) -> RestrictedExpression {
    RestrictedExpression::new_set(texts.iter().map(|text| string(text)))
}

pub(super) fn tag_record(tags: &BTreeMap<String, String>) -> Result<RestrictedExpression, String> {
    let fields = tags.iter().map(|(name, value)| (name.clone(), string(value)));
    RestrictedExpression::new_record(fields).map_err(|error| error.to_string())
}

/// The scope index: policies by the principal and the resource that their scope names.
///
/// Cedar evaluates every policy of a set in turn. A policy whose scope names another principal or
/// resource can neither permit, nor forbid, nor err, so it is left out before Cedar sees it. The
/// zone's entities have no parents, so `in` names one entity as `==` does; `is` names none.
struct Index {
    buckets: HashMap<Scope, Vec<Policy>>,
    /// Sets made before, by the part of a request's scope that any policy names.
    made: Mutex<Made>,
}

/// A principal and a resource; `None` is any.
type Scope = (Option<EntityUid>, Option<EntityUid>);

/// Sets put together before, and how many policies they hold: each has its own copies.
#[derive(Default)]
struct Made {
    sets: HashMap<Scope, Arc<PolicySet>>,
    policies: usize,
}

impl Index {
    fn new(policies: impl Iterator<Item = Policy>) -> Self {
        let mut buckets: HashMap<Scope, Vec<Policy>> = HashMap::new();
        for policy in policies {
            let principal = match policy.principal_constraint() {
                PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
                PrincipalConstraint::In(uid)
                | PrincipalConstraint::Eq(uid)
                | PrincipalConstraint::IsIn(_, uid) => Some(uid),
            };
            let resource = match policy.resource_constraint() {
                ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
                ResourceConstraint::In(uid)
                | ResourceConstraint::Eq(uid)
                | ResourceConstraint::IsIn(_, uid) => Some(uid),
            };
            buckets.entry((principal, resource)).or_default().push(policy);
        }
        Self { buckets, made: Mutex::default() }
    }

    fn counts(&self) -> (usize, usize) {
        let all = self.buckets.values().map(Vec::len).sum();
        (all, self.buckets.get(&(None, None)).map_or(0, Vec::len))
    }

    fn candidates(&self, principal: &EntityUid, resource: &EntityUid) -> Arc<PolicySet> {
        let principal = Some(principal.clone());
        let resource = Some(resource.clone());
        let scopes = [
            (None, None),
            (principal.clone(), None),
            (None, resource.clone()),
            (principal, resource),
        ];
        let named: Vec<&Scope> =
            scopes.iter().filter(|scope| self.buckets.contains_key(*scope)).collect();
        let name = (
            named.iter().find_map(|scope| scope.0.clone()),
            named.iter().find_map(|scope| scope.1.clone()),
        );
        if let Some(set) = lock(&self.made).sets.get(&name) {
            return Arc::clone(set);
        }
        let policies = named.into_iter().filter_map(|scope| self.buckets.get(scope)).flatten();
        let mut set = PolicySet::new();
        for policy in policies {
            // Names are unique in a bundle, so none is refused.
            let _ = set.add(policy.clone());
        }
        let set = Arc::new(set);
        let mut made = lock(&self.made);
        made.policies = made.policies.saturating_add(set.num_of_policies()).saturating_add(1);
        if made.policies > limits::SET_POLICIES {
            // It holds no fact: it is filled again as requests come.
            *made = Made::default();
        } else {
            made.sets.insert(name, Arc::clone(&set));
        }
        set
    }
}

/// Whether a policy permits.
pub(super) fn permits(policy: &Policy) -> bool {
    policy.effect() == Effect::Permit
}

#[cfg(test)]
mod tests {
    use cedar_policy::{Authorizer, Context, Request};
    use proptest::prelude::*;

    use super::*;

    /// One policy over four applications and four resources, each of which a scope may name.
    fn policy(number: usize) -> impl Strategy<Value = String> {
        (any::<bool>(), 0..9_usize, 0..9_usize).prop_map(move |(permit, principal, resource)| {
            let scope = |variable: &str, kind: &str, choice: usize| match choice {
                0 => variable.to_owned(),
                1..=4 => format!("{variable} == {kind}::\"{choice}\""),
                5..=6 => format!("{variable} in {kind}::\"{}\"", choice.abs_diff(4)),
                7 => format!("{variable} is {kind}"),
                _ => format!("{variable} is {kind} in {kind}::\"3\""),
            };
            format!(
                "@id(\"p{number}\") {} ({}, action, {}) when {{ context.depth < 3 }};",
                if permit { "permit" } else { "forbid" },
                scope("principal", "Application", principal),
                scope("resource", "Resource", resource),
            )
        })
    }

    fn policies() -> impl Strategy<Value = Vec<Policy>> {
        let numbered: Vec<_> = (0..12).map(policy).collect();
        numbered.prop_map(|texts| {
            let parse = |(number, text): (usize, String)| {
                Policy::parse(Some(PolicyId::new(format!("p{number}"))), text).unwrap()
            };
            texts.into_iter().enumerate().map(parse).collect()
        })
    }

    proptest! {
        /// Decision and determining policies are those of the full set, for every scope.
        #[test]
        fn the_index_agrees_with_the_full_set(policies in policies(), depth in 0..6_i64) {
            let all = PolicySet::from_policies(policies.iter().cloned()).unwrap();
            let index = Index::new(policies.into_iter());
            for principal in 1..=5 {
                for resource in 1..=5 {
                    let uid = |kind: &str, id: i32| format!("{kind}::\"{id}\"").parse::<EntityUid>().unwrap();
                    let (principal, resource) = (uid("Application", principal), uid("Resource", resource));
                    let depth = RestrictedExpression::new_long(depth);
                    let context = Context::from_pairs([("depth".to_owned(), depth)]).unwrap();
                    let action = "Action::\"credentials:issue\"".parse().unwrap();
                    let candidates = index.candidates(&principal, &resource);
                    let request =
                        Request::new(principal, action, resource, context, None).unwrap();
                    let answer = |set: &PolicySet| {
                        let answer = Authorizer::new().is_authorized(&request, set, &Entities::empty());
                        let reasons: BTreeSet<String> =
                            answer.diagnostics().reason().map(ToString::to_string).collect();
                        (answer.decision(), reasons, answer.diagnostics().errors().count())
                    };
                    prop_assert_eq!(answer(&candidates), answer(&all));
                }
            }
        }
    }
}
