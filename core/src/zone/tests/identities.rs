//! Ids: nobody can be taken for somebody else.

use super::refuses;

refuses! {
    a_zero_width_space: "
[applications.\"ci\u{200b}\"] #! application `ciU+200B` must be visible ASCII, and `U+200B` cannot be seen";
    a_bidi_override: "
[applications.\"ci\u{202e}x\"] #! application `ciU+202Ex` must be visible ASCII, and `U+202E` cannot be seen";
    a_control_character: "
[applications.\"ci\\u0007\"] #! application `ciU+0007` must be visible ASCII, and `U+0007` cannot be seen";
    a_soft_hyphen_in_a_resource: "
[resources.\"urn:x:a\u{ad}b\"] #! resource `urn:x:aU+00ADb` must be visible ASCII, and `U+00AD` cannot be seen";
    a_foreign_letter: "
[applications.\"\u{441}i\"] #! application `\u{441}i` must be visible ASCII, and `U+0441` is not ASCII";
    a_foreign_host: "
[resources.\"https://bücher.example\"] #! resource `https://bücher.example` must be visible ASCII, and `U+00FC` is not ASCII";
    a_space: "
[tasks.\"fix bug\"] #! task `fix bug` must be visible ASCII, and `U+0020` cannot be seen";
    a_hidden_rule: "
[issuers.x]
issuer = \"https://idp.example.com\"
[applications.ci]
[rules.\"r\u{feff}\"] #! rule `rU+FEFF`: the id must be visible ASCII, and `U+FEFF` cannot be seen
issuer = \"x\"
application = \"ci\"
claims = { \"/sub\" = \"a\" }";
    letter_case: "
[applications.Deploy]
[applications.deploy] #! identifier `deploy` reads like `Deploy`";
    zero_and_o: "
[applications.b0t]
[applications.bOt] #! identifier `bOt` reads like `b0t`";
    one_and_l: "
[applications.bi11]
[applications.bill] #! identifier `bill` reads like `bi11`";
    upper_i_and_l: "
[applications.Iog]
[applications.log] #! identifier `log` reads like `Iog`";
    dash_and_underscore: "
[applications.ci-deploy]
[applications.ci_deploy] #! identifier `ci_deploy` reads like `ci-deploy`";
    two_resources: "
[resources.\"https://api.example.com/A\"]
[resources.\"https://api.example.com/a\"] #! identifier `https://api.example.com/a` reads like `https://api.example.com/A`";
    two_issuers: "
[issuers.a-b]
issuer = \"https://one.example.com\"
[issuers.a_b] #! issuer `a_b` reads like `a-b`
issuer = \"https://two.example.com\"";
    two_rules: "
[issuers.x]
issuer = \"https://idp.example.com\"
[applications.ci]
[rules.R]
issuer = \"x\"
application = \"ci\"
claims = { \"/sub\" = \"a\" }
[rules.r] #! rule `r` reads like `R`
issuer = \"x\"
application = \"ci\"
claims = { \"/sub\" = \"b\" }";
    two_tasks: "
[tasks.Fix]
[tasks.fix] #! task `fix` reads like `Fix`";
    an_application_that_looks_like_a_user: "
[applications.\"user:alice\"] #! application `user:alice` must not start with `user:`, as users do";
    an_application_that_is_the_zone: "
[applications.\"https://as.example.com\"] #! application `https://as.example.com` must not be an issuer's URL";
    an_application_that_is_an_issuer: "
[issuers.x]
issuer = \"https://idp.example.com\"
[applications.\"https://idp.example.com\"] #! application `https://idp.example.com` must not be an issuer's URL";
    a_resource_that_is_an_application: "
[applications.\"https://api.example.com\"]
[resources.\"https://api.example.com\"] #! resource `https://api.example.com` must not have an application's identifier";
}

#[test]
fn names_that_differ_are_not_alike() {
    super::compiled(
        "[applications.mail]\n[applications.mall]\n[applications.fix]\n[applications.flx]\n",
    );
}
