//! Applications, resources, tasks, tags and declared claims.

use super::super::compile;
use super::{HEADER, compiled, refused, refuses, sources};
use crate::bundle::Credential;
use crate::limits;

refuses! {
    a_credential_without_a_kind: "
[applications.a]
credentials = [{ }] #! application `a`: `kind` is missing";
    a_credential_of_another_kind: "
[applications.a]
credentials = [{ kind = \"password\" }] #! application `a`: `kind` must be `secret` or `key`, not `password`";
    refresh_tokens_that_do_not_outlive_their_grace: "
[applications.a]
credentials = [{ kind = \"secret\", sha256 = \"4be5d8c0a1f23e96b7784f5160d9c3ae12b05f7d8e964c3a2b1d0f9e8c7b6a59\" }]
refresh_secs = 59 #! application `a`: `refresh_secs` must be from 60 to 2592000";
    refresh_tokens_that_outlive_sessions: "
[applications.a]
credentials = [{ kind = \"secret\", sha256 = \"4be5d8c0a1f23e96b7784f5160d9c3ae12b05f7d8e964c3a2b1d0f9e8c7b6a59\" }]
refresh_secs = 43201 #! application `a`: `refresh_secs` must not be more than the zone's `session_secs`";
    refresh_tokens_for_a_workload: "
[applications.a]
refresh_secs = 3600 #! application `a`: `refresh_secs` is for applications with a secret or a key in `credentials`: the others have their platform's token";
    a_secret_in_the_clear: "
[applications.a]
credentials = [{ kind = \"secret\", sha256 = \"hunter2\" }] #! application `a`: `sha256` must be 64 hexadecimal digits in lower case";
    a_credential_with_an_unknown_key: "
[applications.a]
credentials = [
  { kind = \"key\", keys = { url = \"https://a.example/k\" }, alg = 1 }, #! application `a`: unknown key `alg`
]";
    a_key_without_keys: "
[applications.a]
credentials = [{ kind = \"key\" }] #! application `a`: `keys` is missing";
    a_key_by_discovery: "
[applications.a]
[[applications.a.credentials]]
kind = \"key\"
keys.url = \"https://a.example/k\"
keys.discovery = \"https://a.example/d\" #! application `a`, `keys`: unknown key `discovery`";
    a_key_without_algorithms: "
[applications.a]
[[applications.a.credentials]]
kind = \"key\"
keys = { url = \"https://a.example/k\" }
algorithms = [] #! application `a`: `algorithms` is empty: no token could be verified";
    another_legacy_audience: "
[applications.a]
[[applications.a.credentials]]
kind = \"key\"
keys = { url = \"https://a.example/k\" }
legacy_audience = \"issuer\" #! application `a`: `legacy_audience` must be `token_endpoint`, not `issuer`";
    a_demand_for_dpop_that_is_no_truth_value: "
[applications.a]
dpop = \"required\" #! application `a`: `dpop` must be `true` or `false`, not a string";
    a_relative_resource: "
[resources.\"/api\"] #! resource `/api`: its identifier must be an absolute URI, such as `https://api.example.com` or `urn:example:api`";
    a_resource_with_a_fragment: "
[resources.\"https://api.example.com/x#y\"] #! resource `https://api.example.com/x#y`: its identifier must not have a fragment";
    a_resource_with_a_user_name: "
[resources.\"https://a@api.example.com\"] #! resource `https://a@api.example.com`: its identifier must have no user name";
    a_resource_with_a_loud_host: "
[resources.\"https://API.example.com\"] #! resource `https://API.example.com`: its identifier must have its host in lower case";
    a_resource_that_looks_like_a_user: "
[resources.\"user:alice\"] #! resource `user:alice`: its identifier must not start with `user:`, as users do";
    a_scope_with_a_space: "
[resources.\"urn:x:y\"]
scopes = [\"read write\"] #! resource `urn:x:y`: scope `read write` must be visible ASCII without `\"` and `\\`";
    a_default_scope_that_is_not_defined: "
[resources.\"urn:x:y\"]
scopes = [\"read\"]
default_scopes = [\"raed\"] #! resource `urn:x:y`: default scope `raed` is not in `scopes`; did you mean `read`?";
    an_owner_that_is_not_there: "
[resources.\"urn:x:y\"]
owner = \"api\" #! resource `urn:x:y`: there is no application `api`";
    a_presenter_that_is_not_there: "
[resources.\"urn:x:y\"]
may_present = [\"api\"] #! resource `urn:x:y`: there is no application `api`";
    a_resource_token_life_outside_its_limits: "
[resources.\"urn:x:y\"]
token_secs = 86401 #! resource `urn:x:y`: `token_secs` must be from 10 to 86400";
    an_envelope_with_an_unknown_resource: "
[tasks.t]
envelope = { \"urn:x:y\" = [] } #! task `t`, `envelope`: there is no resource `urn:x:y`";
    an_envelope_with_an_unknown_scope: "
[resources.\"urn:x:y\"]
scopes = [\"read\"]
[tasks.t]
envelope = { \"urn:x:y\" = [\"write\"] } #! task `t`, `envelope`: resource `urn:x:y` has no scope `write`";
    an_envelope_that_names_no_scope: "
[resources.\"urn:x:y\"]
scopes = [\"read\"]
[tasks.t]
envelope = { \"urn:x:y\" = [] } #! task `t`, `envelope`: no scope of resource `urn:x:y` is named";
    a_claimant_that_is_not_there: "
[tasks.t]
claimants = [\"a\"] #! task `t`: there is no application `a`";
    a_tag_that_is_not_declared: "
[tags.trust]
on = [\"application\"]
values = [\"exclusive\", \"shared\"]
default = \"exclusive\"
[applications.a]
tags = { trist = \"shared\" } #! application `a`, `tags`: there is no tag `trist`; did you mean `trust`?";
    a_tag_value_that_is_not_declared: "
[tags.trust]
on = [\"application\"]
values = [\"exclusive\", \"shared\"]
default = \"exclusive\"
[applications.a]
tags = { trust = \"sharde\" } #! application `a`, `tags`: tag `trust` has no value `sharde`; did you mean `shared`?";
    a_tag_on_the_wrong_entity: "
[tags.trust]
on = [\"application\"]
values = [\"exclusive\"]
default = \"exclusive\"
[resources.\"urn:x:y\"]
tags = { trust = \"exclusive\" } #! resource `urn:x:y`, `tags`: tag `trust` is not one of resources";
    a_tag_default_that_is_no_value: "
[tags.trust]
on = [\"application\"]
values = [\"exclusive\"]
default = \"shared\" #! tag `trust`: `default` is `shared`, which is not in `values`";
    a_tag_on_nothing: "
[tags.trust] #! tag `trust`: `on` names nothing that carries it
on = []
values = [\"exclusive\"]
default = \"exclusive\"";
    a_tag_on_something_else: "
[tags.trust]
on = [\"applications\"] #! tag `trust`: `on` must be `user`, `application` or `resource`, not `applications`; did you mean `application`?
values = [\"exclusive\"]
default = \"exclusive\"";
    a_tag_whose_name_policies_cannot_say: "
[tags.\"data-class\"] #! tag `data-class`: the name must be letters, digits and `_`, and not start with a digit
on = [\"resource\"]
values = [\"a\"]
default = \"a\"";
    a_claim_whose_name_is_reserved: "
[claims.in] #! claim `in`: the name is a word of the policy language
of = \"subject\"
pointer = \"/x\"
type = \"long\"";
    a_claim_of_another_type: "
[claims.age]
of = \"subject\"
pointer = \"/age\"
type = \"int\" #! claim `age`: `type` must be `string`, `long`, `bool` or `strings`, not `int`";
    a_claim_of_somebody_else: "
[claims.age]
of = \"device\" #! claim `age`: `of` must be `subject` or `actor`, not `device`
pointer = \"/age\"
type = \"long\"";
    a_declared_claim_without_a_pointer: "
[claims.age] #! claim `age`: `pointer` is missing
of = \"subject\"
type = \"long\"";
}

#[test]
fn tags_are_complete() {
    let bundle = compiled(
        r#"
        [tags.trust]
        on = ["application", "resource"]
        values = ["exclusive", "shared"]
        default = "exclusive"
        [applications.a]
        [applications.b]
        tags = { trust = "shared" }
        [resources."urn:x:y"]
        "#,
    );
    assert_eq!(bundle.applications["a"].tags["trust"], "exclusive");
    assert_eq!(bundle.applications["b"].tags["trust"], "shared");
    assert_eq!(bundle.resources["urn:x:y"].tags["trust"], "exclusive");
}

#[test]
fn an_application_has_bearer_tokens_unless_it_says_otherwise() {
    let bundle =
        compiled("[applications.a]\ndpop = true\n[applications.b]\n[applications.c]\ndpop = false");
    let dpop = |id: &str| bundle.applications[id].dpop;
    assert_eq!((dpop("a"), dpop("b"), dpop("c")), (true, false, false));
    // Bundles of before say nothing of it, and keep their names.
    let text = String::from_utf8(bundle.to_bytes().unwrap()).unwrap();
    assert_eq!(text.matches("dpop").count(), 1, "{text}");
}

#[test]
fn a_key_credential_has_defaults() {
    let bundle = compiled(
        r#"
        [applications.a]
        credentials = [{ kind = "key", keys = { url = "https://a.example/k" } }]
        "#,
    );
    let Credential::Key { algorithms, legacy_audience, .. } =
        &bundle.applications["a"].credentials[0]
    else {
        panic!("not a key")
    };
    assert_eq!((algorithms.len(), *legacy_audience), (1, false));
}

#[test]
fn an_envelope_at_its_limit_and_past_it() {
    let scopes = |count: usize| -> String { (0..count).map(|n| format!("\"s{n}\",")).collect() };
    let zone = |count: usize, mark: &str| {
        let scopes = scopes(count);
        format!(
            "[resources.\"urn:x:y\"]\nscopes = [{scopes}]\n[tasks.t]\n\
             envelope = {{ \"urn:x:y\" = [{scopes}] }} {mark}"
        )
    };
    assert!(compile(&sources(&format!("{HEADER}{}", zone(limits::ENVELOPE, "")))).is_ok());
    let mark = "#! task `t`, `envelope`: may have at most 64 pairs of resource and scope";
    refused(&zone(limits::ENVELOPE + 1, mark));
}

#[test]
fn default_scopes_at_their_limit_and_past_it() {
    let zone = |count: usize, mark: &str| {
        let scopes: String = (0..count).map(|n| format!("\"s{n}\",")).collect();
        format!("[resources.\"urn:x:y\"]\nscopes = [{scopes}]\ndefault_scopes = [{scopes}] {mark}")
    };
    assert!(compile(&sources(&format!("{HEADER}{}", zone(limits::SCOPES, "")))).is_ok());
    let mark = "#! resource `urn:x:y`: a request may have at most 64 scopes";
    refused(&zone(limits::SCOPES + 1, mark));
}

super::refuses! {
    two_rows_of_one_issuer_with_two_namespaces: r#"
[issuers.web] #! issuer `web` has the people of issuer `cli`: give both the same `namespace`
issuer = "https://idp.example.com"
subject = "user"
client_claim = "/azp"
audience = "web"
[issuers.cli]
issuer = "https://idp.example.com"
subject = "user"
client_claim = "/azp"
audience = "cli"
"#;
    a_namespace_with_a_colon: r#"
[issuers."okta:eu"] #! issuer `okta:eu`: the namespace of people must not have a colon
issuer = "https://idp.example.com"
subject = "user"
client_claim = "/azp"
"#;
    a_namespace_of_workloads: r#"
[issuers.ci]
issuer = "https://ci.example.com"
namespace = "ci" #! issuer `ci`: `namespace` is for issuers of people's tokens
"#;
}

#[test]
fn rows_of_one_issuer_may_share_their_people() {
    let row = |id: &str, issuer: &str| {
        format!(
            "[issuers.{id}]\nissuer = \"{issuer}\"\nsubject = \"user\"\nclient_claim = \"/azp\"\n\
             audience = \"{id}\"\nnamespace = \"acme\"\n"
        )
    };
    let one = "https://idp.example.com";
    let bundle = super::compiled(&(row("web", one) + &row("cli", one)));
    assert!(bundle.issuers.values().all(|issuer| issuer.namespace == "acme"));
    let zone =
        format!("{}{}{}", super::HEADER, row("web", one), row("cli", "https://b.example.com"));
    let mistakes = super::compile(&super::sources(&zone)).expect_err("two people would be one");
    assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
}

#[test]
fn a_forbid_by_a_claim_is_refused_since_the_next_hop_would_escape_it() {
    let zone = format!(
        "{}[claims.risk]\nof = \"subject\"\npointer = \"/risk\"\ntype = \"string\"\n",
        super::HEADER
    );
    let with = |policy: &str| {
        let mut files = super::sources(&zone);
        files.policies = vec![super::Source { path: "p.cedar".into(), text: policy.into() }];
        super::compile(&files)
    };
    let condition =
        "when { context.claims.subject has risk && context.claims.subject.risk == \"low\" };";
    let permit = format!("@id(\"a\") permit (principal, action, resource) {condition}");
    assert!(with(&permit).is_ok());
    let forbid = format!("\n@id(\"a\") forbid (principal, action, resource) {condition}");
    let mistakes = with(&forbid).expect_err("a forbid by a claim");
    assert_eq!((mistakes[0].file.as_str(), mistakes[0].line), ("policies/p.cedar", 2));
    assert!(mistakes[0].message.contains("forbids by a claim"), "{}", mistakes[0].message);
}
