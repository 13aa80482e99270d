//! Rules: what they must compare, and what they must not.

use super::super::compile;
use super::{HEADER, RULE, refused, refuses, sources};

refuses! {
    a_rule_of_nobody: "
[issuers.gl]
preset = \"gitlab\"
[rules.r] #! rule `r`: must have either `application` or `user = true`
issuer = \"gl\"
claims = { \"/namespace_id\" = \"1\", \"/project_id\" = \"2\" }";
    a_rule_without_an_issuer: "
[applications.ci]
[rules.r] #! rule `r`: `issuer` is missing
application = \"ci\"
claims = { \"/project_id\" = \"2\" }";
    an_issuer_that_is_not_there: "
[issuers.gitlab]
preset = \"gitlab\"
[applications.ci]
[rules.r]
issuer = \"gitlub\" #! rule `r`: there is no issuer `gitlub`; did you mean `gitlab`?
application = \"ci\"";
    an_application_that_is_not_there: "
[issuers.gl]
preset = \"gitlab\"
[rules.r]
issuer = \"gl\"
application = \"ci\" #! rule `r`: there is no application `ci`
claims = { \"/namespace_id\" = \"1\", \"/project_id\" = \"2\" }";
    a_task_that_is_not_there: "
[issuers.gl]
preset = \"gitlab\"
[applications.ci]
[rules.r]
issuer = \"gl\"
application = \"ci\"
task = \"deploy\" #! rule `r`: there is no task `deploy`
claims = { \"/namespace_id\" = \"1\", \"/project_id\" = \"2\" }";
    no_comparison: "
[issuers.x]
issuer = \"https://idp.example.com\"
[applications.ci]
[rules.r] #! rule `r`: compares no claim: every token of the issuer would match
issuer = \"x\"
application = \"ci\"
claims = {}";
    no_comparison_that_a_token_needs: "
[issuers.x]
issuer = \"https://idp.example.com\"
[applications.ci]
[rules.r] #! rule `r`: compares no claim: every token of the issuer would match
issuer = \"x\"
application = \"ci\"
claims = { \"/sub\" = { none_of = [\"a\"] }, \"/ref\" = { absent_or = \"b\" } }";
    a_claim_without_a_slash: "
[issuers.x]
issuer = \"https://idp.example.com\"
[applications.ci]
[rules.r]
issuer = \"x\"
application = \"ci\"
claims = { sub = \"a\" } #! rule `r`, `claims`: claim `sub` must be a JSON Pointer and start with `/`: `/sub`";
    a_claim_with_a_broken_escape: "
[issuers.x]
issuer = \"https://idp.example.com\"
[applications.ci]
[rules.r]
issuer = \"x\"
application = \"ci\"
claims = { \"/a~b\" = \"a\" } #! rule `r`, `claims`: claim `/a~b` must write `~` as `~0`, and `/` within a name as `~1`";
    an_empty_list: "
[issuers.x]
issuer = \"https://idp.example.com\"
[applications.ci]
[rules.r]
issuer = \"x\"
application = \"ci\"
claims = { \"/sub\" = \"a\", \"/ref\" = [] } #! rule `r`, `claims`: claim `/ref` is compared with an empty list";
    an_unknown_comparison: "
[issuers.x]
issuer = \"https://idp.example.com\"
[applications.ci]
[rules.r]
issuer = \"x\"
application = \"ci\"
claims = { \"/sub\" = \"a\", \"/ref\" = { matches = \"x\" } } #! rule `r`, `claims`: claim `/ref` must be a value, a list of values, or one of `equals`, `none_of` and `absent_or`";
    a_pattern: "
[issuers.x]
issuer = \"https://idp.example.com\"
[applications.ci]
[rules.r]
issuer = \"x\"
application = \"ci\"
claims = { \"/sub\" = \"a\", \"/ref\" = \"refs/heads/*\" } #! rule `r`, `claims`: claim `/ref` is compared exactly: a `*` at the end matches nothing but itself";
    a_date: "
[issuers.x]
issuer = \"https://idp.example.com\"
[applications.ci]
[rules.r]
issuer = \"x\"
application = \"ci\"
claims = { \"/sub\" = \"a\", \"/iat\" = 2024-01-01 } #! rule `r`, `claims`: claim `/iat` can be compared with texts, integers and truth values";
    an_application_among_people: "
[issuers.x]
preset = \"okta\"
domain = \"acme.okta.com\"
audience = \"client\"
[applications.ci]
[rules.r]
issuer = \"x\"
application = \"ci\" #! rule `r`: the issuer's bearers are people: write `user = true`
claims = { \"/aud\" = \"client\" }";
    a_person_among_workloads: "
[issuers.x]
preset = \"gitlab\"
[rules.r]
issuer = \"x\"
user = true #! rule `r`: the issuer's bearers are workloads: name an `application`
claims = { \"/namespace_id\" = \"1\", \"/project_id\" = \"2\" }";
    tags_of_an_application: "
[issuers.x]
preset = \"gitlab\"
[applications.ci]
[rules.r]
issuer = \"x\"
application = \"ci\"
tags = {} #! rule `r`: `tags` are for people; an application has its own
claims = { \"/namespace_id\" = \"1\", \"/project_id\" = \"2\" }";
    a_person_alone: "
[issuers.x]
preset = \"okta\"
domain = \"acme.okta.com\"
audience = \"client\"
[rules.r]
issuer = \"x\"
user = true
alone = true #! rule `r`: `alone` is for applications: a person's token identifies no client
claims = { \"/aud\" = \"client\" }";
    gitlab_path_only: "
[issuers.x]
preset = \"gitlab\"
[applications.ci]
[rules.r] #! rule `r`: compares only names, which change hands (`/project_path`): compare `/namespace_id` and `/project_id`
issuer = \"x\"
application = \"ci\"
claims = { \"/project_path\" = \"acme/app\" }";
    fly_names_only: "
[issuers.x]
preset = \"fly\"
org = \"acme\"
[applications.ci]
[rules.r] #! rule `r`: compares only names, which change hands (`/app_name` and `/org_name`): compare `/org_id` and `/app_id`
issuer = \"x\"
application = \"ci\"
claims = { \"/org_name\" = \"acme\", \"/app_name\" = \"web\" }";
    google_email_only: "
[issuers.x]
preset = \"google-sa\"
[applications.ci]
[rules.r] #! rule `r`: compares only names, which change hands (`/email`): compare `/sub`
issuer = \"x\"
application = \"ci\"
claims = { \"/email\" = \"worker@example-project.iam.gserviceaccount.com\" }";
    custom_email_only: "
[issuers.x]
issuer = \"https://idp.example.com\"
subject = \"user\"
client_claim = \"/azp\"
[rules.r] #! rule `r`: compares only names, which change hands (`/email` and `/email_verified`): compare an id
issuer = \"x\"
user = true
claims = { \"/email\" = \"a@example.com\", \"/email_verified\" = true }";
    github_without_the_repository: "
[issuers.x]
preset = \"github-actions\"
[applications.ci]
[rules.r] #! rule `r`: does not compare `/repository_id`, which preset `github-actions` demands
issuer = \"x\"
application = \"ci\"
claims = { \"/repository_owner_id\" = \"65\", \"/repository\" = \"octo-org/octo-repo\" }";
    a_pin_that_a_token_may_lack: "
[issuers.x]
preset = \"github-actions\"
[applications.ci]
[rules.r] #! rule `r`: does not compare `/repository_id`, which preset `github-actions` demands
issuer = \"x\"
application = \"ci\"
claims = { \"/repository_owner_id\" = \"65\", \"/repository_id\" = { absent_or = \"74\" } }";
    modal_without_an_app: "
[issuers.x]
preset = \"modal\"
audience = \"oidc.modal.com\"
[applications.ci]
[rules.r] #! rule `r`: does not compare `/function_id` or `/app_id`, which preset `modal` demands
issuer = \"x\"
application = \"ci\"
claims = { \"/workspace_id\" = \"ac-1\", \"/environment_id\" = \"en-1\" }";
    bitbucket_subject: "
[issuers.x]
preset = \"bitbucket\"
workspace = \"acme\"
[applications.ci]
[rules.r.claims]
\"/sub\" = \"{a}:{b}\" #! rule `r`: claim `/sub` cannot be compared: it holds the step and differs from run to run
\"/workspaceUuid\" = \"{w}\"
\"/repositoryUuid\" = \"{r}\"
[rules.r]
issuer = \"x\"
application = \"ci\"";
    aws_request_tags: "
[issuers.x]
preset = \"aws-outbound\"
account = \"a1b2c3d4-5e6f-4a7b-8c9d-0e1f2a3b4c5d\"
[applications.ci]
[rules.r.claims]
\"/sub\" = \"arn:aws:iam::123456789012:role/etl\"
\"/https:~1~1sts.amazonaws.com~1/request_tags/job\" = \"x\" #! rule `r`: claim `/https:~1~1sts.amazonaws.com~1/request_tags/job` cannot be compared: the caller chooses them
[rules.r]
issuer = \"x\"
application = \"ci\"";
    cursor_email: "
[issuers.x]
preset = \"cursor\"
[applications.ci]
[rules.r]
issuer = \"x\"
application = \"ci\"
[rules.r.claims]
\"/team_id\" = \"1\"
\"/sub\" = \"user:1\"
\"/owner_email\" = \"a@example.com\" #! rule `r`: claim `/owner_email` cannot be compared: addresses change hands";
    subject_of_another_trust_domain: "
[issuers.x]
preset = \"spiffe\"
url = \"https://oidc.example.org\"
trust_domain = \"example.org\"
[applications.ci]
[rules.r]
issuer = \"x\"
application = \"ci\"
claims = { \"/sub\" = \"spiffe://example.com/x\" } #! rule `r`: claim `/sub` must start with `spiffe://example.org/`";
    two_rules_for_the_same_tokens: "
[issuers.x]
issuer = \"https://idp.example.com\"
[applications.a]
[applications.b]
[rules.r]
issuer = \"x\"
application = \"a\"
claims = { \"/sub\" = \"a\" }
[rules.s] #! rule `s`: matches the same tokens as rule `r`
issuer = \"x\"
application = \"b\"
claims = { \"/sub\" = \"a\" }";
}

/// Each shared issuer, and the claim that tells its customers apart.
#[test]
fn shared_issuers_need_a_claim_of_the_tenant() {
    for (row, platform, tenant, rest) in [
        (
            "vercel-global",
            "Vercel, the issuer shared by all teams",
            "/owner_id",
            "/project_id /environment",
        ),
        ("google-sa", "Google Cloud service accounts", "/sub", ""),
        ("github-actions", "GitHub Actions", "/repository_owner_id", "/repository_id"),
        ("gitlab", "GitLab CI/CD, gitlab.com or self-managed", "/namespace_id", "/project_id"),
        ("buildkite", "Buildkite", "/organization_id", "/pipeline_id"),
        (
            "hcp-terraform",
            "HCP Terraform and Terraform Enterprise",
            "/terraform_organization_id",
            "/terraform_workspace_id /terraform_run_phase",
        ),
        ("deno-deploy", "Deno Deploy", "/org_id", "/app_id /context_id"),
        ("cursor", "Cursor cloud agents", "/team_id", "/sub"),
        (
            "circleci-shared",
            "CircleCI, the issuer shared by all organizations",
            "/oidc.circleci.com~1org-id",
            "/oidc.circleci.com~1project-id /oidc.circleci.com~1pipeline-definition-id",
        ),
    ] {
        let claims: String =
            rest.split_whitespace().map(|pointer| format!("\"{pointer}\" = \"x\"\n")).collect();
        refused(&format!(
            "[issuers.x]
preset = \"{row}\"
[applications.ci]
[rules.r] #! rule `r`: its issuer is the same for every customer of {platform}: compare `{tenant}`
issuer = \"x\"
application = \"ci\"
[rules.r.claims]
\"/aud\" = \"https://as.example.com\"
{claims}"
        ));
    }
    refused(
        "[issuers.x]
preset = \"google\"
audience = \"client\"
[rules.r] #! rule `r`: its issuer is the same for every customer of Google, people: compare `/hd`, `/sub`, `/azp` or `/aud`
issuer = \"x\"
user = true
claims = { \"/locale\" = \"en\" }",
    );
    refused(
        "[issuers.x]
preset = \"modal\"
audience = \"oidc.modal.com\"
[applications.ci]
[rules.r] #! rule `r`: its issuer is the same for every customer of Modal: compare `/workspace_id`
issuer = \"x\"
application = \"ci\"
claims = { \"/environment_id\" = \"e\", \"/app_id\" = \"a\" }",
    );
}

#[test]
fn a_broken_preset_is_not_blamed_on_its_rules() {
    let zone = format!("{HEADER}{}", RULE.replace("github-actions", "githib-actions"));
    assert_eq!(compile(&sources(&zone)).expect_err("must not compile").len(), 1);
}
