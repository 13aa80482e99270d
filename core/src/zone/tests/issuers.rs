//! Issuers: what they are, whose audience they are for, and where their keys are.

use super::super::{Sources, compile};
use super::{HEADER, refused_files, refuses, sources, with_upload};

refuses! {
    neither_preset_nor_issuer: "
[issuers.x] #! issuer `x`: neither `preset` nor `issuer` is there
audience = \"a\"";
    both_preset_and_issuer: "
[issuers.x]
preset = \"gitlab\"
issuer = \"https://gitlab.com\" #! issuer `x`: `issuer` follows from preset `gitlab`";
    preset_that_does_not_exist: "
[issuers.x]
preset = \"github-action\" #! issuer `x`: there is no preset `github-action`; did you mean `github-actions`?";
    preset_without_its_variable: "
[issuers.x] #! issuer `x`: preset `vercel` needs `team`
preset = \"vercel\"";
    variable_of_another_preset: "
[issuers.x]
preset = \"gitlab\"
team = \"acme\" #! issuer `x`: unknown key `team`";
    variable_that_leads_elsewhere: "
[issuers.x]
preset = \"vercel\"
team = \"../acme\" #! issuer `x`: `team` `../acme` must be 1 to 128 letters, digits, `.`, `_` and `-`";
    issuer_with_http: "
[issuers.x]
issuer = \"http://idp.example.com\" #! issuer `x`: issuer `http://idp.example.com` must start with `https://`";
    issuer_with_a_foreign_host: "
[issuers.x]
issuer = \"https://bücher.example\" #! issuer `x`: issuer `https://bücher.example` must have an ASCII host: write a foreign name in its `xn--` form";
    issuer_that_is_an_address: "
[issuers.x]
issuer = \"https://169.254.169.254\" #! issuer `x`: issuer `https://169.254.169.254` must not have an IP address as its host";
    issuer_on_loopback: "
[issuers.x]
issuer = \"http://127.0.0.1:1\" #! issuer `x`: issuer `http://127.0.0.1:1` must not be a loopback address; a zone on loopback may allow it with `danger_allow_http_loopback`";
    issuer_that_is_the_zone: "
[issuers.x]
issuer = \"https://as.example.com\" #! issuer `x`: its issuer is the zone's own, whose tokens need no row";
    issuer_that_is_the_zone_but_for_a_slash: "
[issuers.x]
issuer = \"https://as.example.com/\" #! issuer `x`: its issuer is the zone's own, whose tokens need no row";
    custom_issuer_at_a_preset_host: "
[issuers.x]
issuer = \"https://token.actions.githubusercontent.com\" #! issuer `x`: issuers at `token.actions.githubusercontent.com` go by preset `github-actions` or `github-actions-enterprise`";
    other_preset_at_a_preset_host: "
[issuers.x]
preset = \"kubernetes\"
url = \"https://oidc.eks.eu-west-1.amazonaws.com/id/ABC\" #! issuer `x`: issuers at `oidc.eks.eu-west-1.amazonaws.com` go by preset `eks`";
    no_audience: "
[issuers.x]
preset = \"gitlab\"
audience = [] #! issuer `x`: `audience` is empty: a token for anybody would be accepted";
    any_audience: "
[issuers.x]
preset = \"gitlab\"
audience = \"*\" #! issuer `x`: audience `*`: audiences are compared exactly";
    audience_of_people_unsaid: "
[issuers.x] #! issuer `x`: `audience` is missing: the client id that people sign in to
preset = \"google\"";
    fixed_audience_unsaid: "
[issuers.x] #! issuer `x`: every token has the audience `oidc.modal.com`, which all relying parties share: accept that with `audience = \"oidc.modal.com\"`
preset = \"modal\"";
    vercel_default_audience: "
[issuers.x]
preset = \"vercel\"
team = \"acme\"
audience = \"https://vercel.com/acme\" #! issuer `x`: audience `https://vercel.com/acme` is refused: it is what functions get without asking, so every relying party accepts it; ask for another one";
    api_server_audience: "
[issuers.x]
preset = \"kubernetes\"
url = \"https://k8s.example.com\"
audience = \"https://kubernetes.default.svc\" #! issuer `x`: audience `https://kubernetes.default.svc` is refused: it is the API server's, which every pod's default token carries";
    api_server_audience_of_its_own_name: "
[issuers.x]
preset = \"kubernetes\"
url = \"https://k8s.example.com\"
audience = \"https://k8s.example.com\" #! issuer `x`: audience `https://k8s.example.com` is refused: it is the API server's, which every pod's default token carries";
    irsa_audience: "
[issuers.x]
preset = \"eks\"
region = \"eu-west-1\"
cluster = \"ABC\"
audience = \"sts.amazonaws.com\" #! issuer `x`: audience `sts.amazonaws.com` is refused: it is made for IAM roles; project a second token with an audience of its own";
    entra_audience_in_aks: "
[issuers.x]
preset = \"aks\"
region = \"eastus\"
tenant = \"72f988bf-86f1-41af-91ab-2d7cd011db47\"
cluster = \"1a2b3c4d-5e6f-4708-9a0b-1c2d3e4f5a6b\"
audience = \"api://AzureADTokenExchange\" #! issuer `x`: audience `api://AzureADTokenExchange` is refused: it is made for Microsoft Entra; project a second token with an audience of its own";
    cluster_default_issuer_without_keys: "
[issuers.x] #! issuer `x`: issuer `https://kubernetes.default.svc.cluster.local` is every cluster's: upload the keys of yours
preset = \"kubernetes\"
url = \"https://kubernetes.default.svc.cluster.local\"";
    cluster_with_a_port_and_no_keys: "
[issuers.x] #! issuer `x`: the keys' URL `https://k8s.example.com:6443/openid/v1/jwks` must not name a port: keys are fetched at port 443 only; say `keys`
preset = \"kubernetes\"
url = \"https://k8s.example.com:6443\"";
    azure_common_tenant: "
[issuers.x]
preset = \"azure-v2\"
tenant = \"common\" #! issuer `x`: `tenant` `common` stands for other people's tenants: name your own";
    azure_organizations_tenant: "
[issuers.x]
preset = \"azure-v1\"
tenant = \"organizations\" #! issuer `x`: `tenant` `organizations` stands for other people's tenants: name your own";
    azure_template_tenant: "
[issuers.x]
preset = \"entra\"
tenant = \"{tenantid}\" #! issuer `x`: `tenant` `{tenantid}` stands for other people's tenants: name your own
audience = \"6cb04018-a3f5-46a7-b995-940c78f5aef3\"";
    azure_consumer_tenant: "
[issuers.x]
preset = \"entra\"
tenant = \"9188040d-6c67-4c5b-b112-36a304b66dad\" #! issuer `x`: `tenant` `9188040d-6c67-4c5b-b112-36a304b66dad` stands for other people's tenants: name your own
audience = \"6cb04018-a3f5-46a7-b995-940c78f5aef3\"";
    people_without_a_client_claim: "
[issuers.x] #! issuer `x`: `client_claim` is missing: which claim names the application that the person signed in to?
issuer = \"https://idp.example.com\"
subject = \"user\"";
    client_claim_of_workloads: "
[issuers.x]
preset = \"gitlab\"
client_claim = \"/azp\" #! issuer `x`: `client_claim` is for issuers whose `subject` is `user`";
    people_who_are_said_to_be_workloads: "
[issuers.x]
preset = \"google\"
audience = \"client\"
subject = \"workload\" #! issuer `x`: the bearers of preset `google` are people";
    people_known_by_their_address: "
[issuers.x]
preset = \"google\"
audience = \"client\"
subject_claim = \"/email\" #! issuer `x`: `subject_claim` `/email` is a name, which changes hands";
    no_algorithm: "
[issuers.x]
preset = \"gitlab\"
algorithms = [] #! issuer `x`: `algorithms` is empty: no token could be verified";
    secret_algorithm: "
[issuers.x]
preset = \"gitlab\"
algorithms = [\"HS256\"] #! issuer `x`: `algorithms` must be `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384` or `EdDSA`, not `HS256`; did you mean `ES256`?";
    life_of_a_year: "
[issuers.x]
preset = \"gitlab\"
lifetime_secs = 31536000 #! issuer `x`: `lifetime_secs` must be from 1 to 176400";
    reuse_of_an_assertion_grant: "
[issuers.x]
preset = \"wag\"
url = \"https://agents.example.com\"
single_use = \"never\" #! issuer `x`: preset `wag` demands `single_use = \"always\"`
keys = { url = \"https://agents.example.com/keys\" }";
    assertion_grant_without_registered_keys: "
[issuers.x] #! issuer `x`: `keys` is missing: only the registration says where they are
preset = \"wag\"
url = \"https://agents.example.com\"";
    keys_in_two_places: "
[issuers.x]
preset = \"gitlab\"
keys = { url = \"https://gitlab.com/k\", file = \"k.json\" } #! issuer `x`, `keys`: must have one of `url`, `discovery`, `file` and `jwks`";
    keys_over_http: "
[issuers.x]
preset = \"gitlab\"
keys = { url = \"http://gitlab.com/k\" } #! issuer `x`, `keys`: `url` `http://gitlab.com/k` must start with `https://`";
    keys_from_loopback_in_a_public_zone: "
[issuers.x]
preset = \"gitlab\"
keys = { url = \"http://127.0.0.1:9/k\" } #! issuer `x`, `keys`: `url` `http://127.0.0.1:9/k` must not be a loopback address; a zone on loopback may allow it with `danger_allow_http_loopback`";
    keys_at_another_port: "
[issuers.x]
preset = \"gitlab\"
keys = { discovery = \"https://gitlab.com:8443/k\" } #! issuer `x`, `keys`: `discovery` `https://gitlab.com:8443/k` must not name a port: keys are fetched at port 443 only";
    keys_host_without_discovery: "
[issuers.x]
preset = \"gitlab\"
keys = { url = \"https://gitlab.com/k\", keys_host = \"a.example\" } #! issuer `x`, `keys`: `keys_host` must be a host, and goes with `discovery`";
    keys_in_a_file_that_climbs: "
[issuers.x]
preset = \"gitlab\"
keys = { file = \"../k.json\" } #! issuer `x`, `keys`: `file` `../k.json` must lie beneath the zone's directory";
    keys_in_a_file_that_is_not_there: "
[issuers.x]
preset = \"gitlab\"
keys = { file = \"k.json\" } #! issuer `x`, `keys`: there is no file `k.json`";
    one_audience_of_one_issuer_twice: "
[issuers.a]
preset = \"gitlab\"
[issuers.b] #! issuer `b`: `https://gitlab.com` with audience `https://as.example.com` is issuer `a` too
preset = \"gitlab\"
audience = [\"x\", \"https://as.example.com\"]";
    pointer_without_a_slash: "
[issuers.x]
preset = \"gitlab\"
device_claim = \"runner\" #! issuer `x`: `device_claim` `runner` must be a JSON Pointer and start with `/`: `/runner`";
}

#[test]
fn one_issuer_may_have_two_rows_with_audiences_of_their_own() {
    let zone = format!(
        "{HEADER}[issuers.a]\npreset = \"gitlab\"\n[issuers.b]\npreset = \"gitlab\"\naudience = \"b\"\n"
    );
    assert!(compile(&sources(&zone)).is_ok());
}

const POINT: &str = r#""x": "fxLsnFpnKC0Vb40uyaMeQxz90JCuDT53WFvAWoBjBco",
    "y": "_BGoSv7NNlUz33E4GIovqYNY_wGHs85_tGStUBzdUpw""#;

#[test]
fn uploaded_keys_are_read() {
    let set = format!(r#"{{"keys": [{{"kty": "EC", "crv": "P-256", {POINT}}}]}}"#);
    assert!(compile(&with_upload("k.json", &set)).is_ok());
}

#[test]
fn uploaded_keys_that_are_refused() {
    let weak = "vMrzoT3mCKp59elt-wCoLTiV2v2ybXRSBc08vfl47EIW1641RhEeZF3TXjO5CnRO8c4aE9t6bKicnb\
                vJ5Ff8X33VXND-4V_eoGcraUnzfIhbH-QP9BNRPymaXLZ6L3OowyNv0GYjUx1l_Ww9KsWU8_J_2wCj\
                KRTTNxvX7hOGXek";
    let p256 = format!(r#"{{"kid": "a", "kty": "EC", "crv": "P-256", {POINT}}}"#);
    for (set, wrong) in [
        (
            format!(r#"{{"keys": [{{"kty": "EC", "crv": "P-256", "d": "AAAA", {POINT}}}]}}"#),
            "key 1 carries private members; it is compromised: make a new one and upload its \
             public half",
        ),
        (
            format!(r#"{{"keys": [{{"kty": "RSA", "n": "{weak}", "e": "AQAB"}}]}}"#),
            "key 1: the RSA modulus does not have 2048 to 8192 bits",
        ),
        (format!(r#"{{"keys": [{p256}, {p256}]}}"#), "key 2 has the `kid` of another one"),
    ] {
        let wrong = format!("6: issuer `idp`, `keys`: `k.json`: {wrong}");
        refused_files(&with_upload("k.json", &set), &[wrong]);
    }
    for (set, wrong) in [
        (r#"{"keys": []}"#.to_owned(), "must have from 1 to 64 keys"),
        ("[]".to_owned(), "is not a JSON Web Key Set: it has no array `keys`"),
    ] {
        let wrong = format!("6: issuer `idp`, `keys`: `k.json` {wrong}");
        refused_files(&with_upload("k.json", &set), &[wrong]);
    }
}

#[test]
fn uploaded_keys_of_another_algorithm() {
    let set = format!(r#"{{"keys": [{{"kty": "EC", "crv": "P-256", {POINT}}}]}}"#);
    let mut files = with_upload("k.json", &set);
    files.zone.text.push_str("algorithms = [\"RS256\", \"EdDSA\"]\n");
    let wrong = "6: issuer `idp`, `keys`: `k.json` has no key for `RS256` or `EdDSA`";
    refused_files(&files, &[wrong.to_owned()]);
}

#[test]
fn an_uploaded_file_that_is_not_json_has_a_line_of_its_own() {
    let files: Sources = with_upload("k.json", "{\n\"keys\": }");
    let mistakes = compile(&files).expect_err("must not compile");
    assert_eq!((mistakes[0].file.as_str(), mistakes[0].line), ("k.json", 2), "{mistakes:?}");
}
