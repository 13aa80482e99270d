//! Cedar, over the whole chain, at every hop (design §5).
//!
//! Two requests are decided, for the subject and for the current actor, with one context that shows
//! everybody before them. Both must be allowed, without any error: Cedar skips a policy that errs,
//! so that a broken `forbid` would allow; here an error denies (P01).

mod bounds;
mod compile;
pub(crate) mod encoded;
mod schema;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, Entity, EntityId, EntityUid,
    Request, RestrictedExpression, Schema,
};

pub use self::compile::{Fault, Policies};
use self::compile::{entity, string, strings, tag_record};
use crate::active::Active;
use crate::bundle::{Bundle, ClaimKind, ClaimOf, TagOn};
use crate::grant::Grant;
use crate::identity::{External, Principal};
use crate::moment::Timestamp;
use crate::refusal::Reason;

/// A decision to issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permitted {
    /// The policies that permitted it.
    pub policies: Vec<String>,
}

/// A decision not to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Why.
    pub reason: Reason,
    /// The policies that forbade it, or that erred.
    pub policies: Vec<String>,
    /// The particulars, for the record.
    pub detail: String,
}

/// Whose claims policy may read.
#[derive(Clone, Copy, Default)]
pub struct Told<'a> {
    /// What the subject's external token tells.
    pub subject: Option<&'a External>,
    /// What the actor's does.
    pub actor: Option<&'a External>,
}

/// Decides about a grant.
///
/// # Errors
///
/// The denial. It names policies, never their text.
pub fn decide(
    zone: &Active,
    grant: &Grant,
    told: Told<'_>,
    now: Timestamp,
) -> Result<Permitted, Denied> {
    let error = |detail: String| Denied { reason: Reason::PolicyError, policies: vec![], detail };
    let policies = &zone.policies;
    let question = Question::new(zone, grant, told, now).map_err(error)?;
    // The schema is asked once: the second request differs in its principal alone, and both of the
    // types that a principal has are the action's.
    let schema = Some(&policies.schema);
    let mut permitted =
        ask(policies, &question, &question.subject, schema, Reason::NoPermitSubject)?;
    if question.actor != question.subject {
        let by_actor = ask(policies, &question, &question.actor, None, Reason::NoPermitActor)?;
        permitted.extend(by_actor);
    }
    permitted.sort();
    permitted.dedup();
    Ok(Permitted { policies: permitted })
}

/// One question to Cedar.
fn ask(
    policies: &Policies,
    question: &Question,
    principal: &EntityUid,
    schema: Option<&Schema>,
    missing: Reason,
) -> Result<Vec<String>, Denied> {
    let error = |policies: Vec<String>, detail: String| Denied {
        reason: Reason::PolicyError,
        policies,
        detail,
    };
    let request = Request::new(
        principal.clone(),
        policies.action.clone(),
        question.resource.clone(),
        question.context.clone(),
        schema,
    )
    .map_err(|fault| error(vec![], fault.to_string()))?;
    let candidates = policies.candidates(principal, &question.resource);
    let answer = Authorizer::new().is_authorized(&request, &candidates, &question.entities);
    let erred: Vec<String> = answer.diagnostics().errors().map(erring).collect();
    if !erred.is_empty() {
        let detail = answer.diagnostics().errors().map(ToString::to_string).collect::<Vec<_>>();
        return Err(error(erred, detail.join("; ")));
    }
    let mut reasons: Vec<String> = answer.diagnostics().reason().map(ToString::to_string).collect();
    reasons.sort();
    match answer.decision() {
        Decision::Allow => Ok(reasons),
        Decision::Deny if reasons.is_empty() => Err(Denied {
            reason: missing,
            policies: vec![],
            detail: format!("no policy permits it to `{}`", principal.id().unescaped()),
        }),
        Decision::Deny => Err(Denied {
            reason: Reason::PolicyForbids,
            detail: format!("forbidden to `{}`", principal.id().unescaped()),
            policies: reasons,
        }),
    }
}

fn erring(fault: &AuthorizationError) -> String {
    match fault {
        AuthorizationError::PolicyEvaluationError(error) => error.policy_id().to_string(),
    }
}

/// What both requests share.
struct Question {
    subject: EntityUid,
    actor: EntityUid,
    resource: EntityUid,
    context: Context,
    entities: Entities,
}

impl Question {
    fn new(zone: &Active, grant: &Grant, told: Told<'_>, now: Timestamp) -> Result<Self, String> {
        let policies = &zone.policies;
        let application = |id: &str| {
            EntityUid::from_type_name_and_id(policies.application.clone(), EntityId::new(id))
        };
        let actor = application(grant.actor());
        let chain = grant.chain();
        let resource = EntityUid::from_type_name_and_id(
            policies.resource.clone(),
            EntityId::new(grant.target.audience()),
        );
        let mut entities: BTreeMap<EntityUid, Entity> = BTreeMap::new();
        let mut know = |uid: &EntityUid| -> Result<(), String> {
            let known = policies.entities.get(uid);
            let known = known.ok_or_else(|| format!("`{uid}` is not in the bundle"))?;
            entities.insert(uid.clone(), known.clone());
            Ok(())
        };
        for id in &chain {
            know(&application(id))?;
        }
        know(&actor)?;
        know(&resource)?;
        if let Some(owner) = owner(&zone.bundle, grant) {
            know(&application(owner))?;
        }
        let subject = match &grant.subject {
            Principal::Application(id) => application(id),
            Principal::User(id) => {
                let user = user(policies, &zone.bundle, id, grant)?;
                let uid = user.uid();
                entities.insert(uid.clone(), user);
                uid
            }
        };
        let context = context(zone, grant, &chain, &actor, told, now)?;
        // The bundle's entities were validated when it was compiled, and a user's tags come from
        // declared values alone, so nothing is validated a second time here.
        let entities = Entities::from_entities(entities.into_values(), None)
            .map_err(|error| error.to_string())?;
        Ok(Self { subject, actor, resource, context, entities })
    }
}

fn owner<'a>(bundle: &'a Bundle, grant: &'a Grant) -> Option<&'a str> {
    bundle.resources.get(grant.target.audience()).and_then(|resource| resource.owner.as_deref())
}

fn user(policies: &Policies, bundle: &Bundle, id: &str, grant: &Grant) -> Result<Entity, String> {
    let mut tags = bundle.default_tags(TagOn::User);
    for (name, value) in &grant.user_tags {
        if let Some(tag) = tags.get_mut(name) {
            tag.clone_from(value);
        }
    }
    let uid = EntityUid::from_type_name_and_id(policies.user.clone(), EntityId::new(id));
    entity(uid, [("id", string(id)), ("tags", tag_record(&tags)?)])
}

fn context(
    zone: &Active,
    grant: &Grant,
    chain: &[String],
    actor: &EntityUid,
    told: Told<'_>,
    now: Timestamp,
) -> Result<Context, String> {
    let uid = |id: &String| {
        let name = zone.policies.application.clone();
        RestrictedExpression::new_entity_uid(EntityUid::from_type_name_and_id(
            name,
            EntityId::new(id),
        ))
    };
    let profile = match grant.subject {
        Principal::User(_) => "user",
        Principal::Application(_) => "app",
    };
    let long = |number: i64| RestrictedExpression::new_long(number);
    let depth = i64::try_from(grant.path.len()).unwrap_or(i64::MAX);
    let mut fields = vec![
        ("subject", record([("id", string(grant.subject.id())), ("profile", string(profile))])?),
        ("actor", RestrictedExpression::new_entity_uid(actor.clone())),
        ("chain", RestrictedExpression::new_set(chain.iter().map(uid))),
        ("chain_tags", chain_tags(&zone.bundle, chain)?),
        ("depth", long(depth)),
        ("on_behalf", RestrictedExpression::new_bool(!grant.actors.is_empty())),
        ("scopes", strings(&grant.scopes)),
        ("session", string(&grant.session.id)),
        ("time", long(now.0)),
        (
            "claims",
            record([
                ("subject", claims(&zone.bundle, ClaimOf::Subject, told.subject)?),
                ("actor", claims(&zone.bundle, ClaimOf::Actor, told.actor)?),
            ])?,
        ),
    ];
    if let Some(device) = &grant.device {
        fields.push(("device", string(device)));
    }
    if let Some(task) = &grant.task {
        let mut parts = vec![("name", string(&task.name)), ("source", string(task.source.name()))];
        parts.extend(task.id.as_ref().map(|id| ("id", string(id))));
        fields.push(("task", record(parts)?));
    }
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
    Context::from_pairs(fields).map_err(|error| error.to_string())
}

fn record(
    fields: impl IntoIterator<Item = (&'static str, RestrictedExpression)>,
) -> Result<RestrictedExpression, String> {
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
    RestrictedExpression::new_record(fields).map_err(|error| error.to_string())
}

/// Every value that a tag has on the chain.
fn chain_tags(bundle: &Bundle, chain: &[String]) -> Result<RestrictedExpression, String> {
    let mut values: BTreeMap<&str, BTreeSet<String>> = bundle
        .tags
        .iter()
        .filter(|(_, tag)| tag.on.contains(&TagOn::Application))
        .map(|(name, _)| (name.as_str(), BTreeSet::new()))
        .collect();
    for application in chain.iter().filter_map(|id| bundle.applications.get(id)) {
        for (name, value) in &application.tags {
            if let Some(values) = values.get_mut(name.as_str()) {
                values.insert(value.clone());
            }
        }
    }
    let fields = values.iter().map(|(name, values)| ((*name).to_owned(), strings(values)));
    RestrictedExpression::new_record(fields).map_err(|error| error.to_string())
}

/// The declared claims of `of` that the token has, with the type declared.
fn claims(
    bundle: &Bundle,
    of: ClaimOf,
    external: Option<&External>,
) -> Result<RestrictedExpression, String> {
    let fields =
        bundle.claims.iter().filter(|(_, claim)| claim.of == of).filter_map(|(name, claim)| {
            let value = external?.claims.pointer(&claim.pointer)?;
            let value = match claim.kind {
                ClaimKind::String => string(value.as_str()?),
                ClaimKind::Long => RestrictedExpression::new_long(value.as_i64()?),
                ClaimKind::Bool => RestrictedExpression::new_bool(value.as_bool()?),
                ClaimKind::Strings => {
                    let texts: Option<BTreeSet<String>> = value
                        .as_array()?
                        .iter()
                        .map(|text| text.as_str().map(str::to_owned))
                        .collect();
                    strings(&texts?)
                }
            };
            Some((name.clone(), value))
        });
    RestrictedExpression::new_record(fields).map_err(|error| error.to_string())
}
