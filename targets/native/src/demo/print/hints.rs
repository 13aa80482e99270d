//! What to try while the demonstration stays up.

use super::super::Cast;
use super::super::look::{COMMAND, FAINT, STRONG, paint};

/// The hints, line by line.
pub(super) fn lines(cast: &Cast) -> Vec<String> {
    let (writ, issuers) = (&cast.origin, &cast.issuers);
    let deploy = [
        format!("curl -s {writ}/oauth/token \\"),
        "  -d grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer \\".to_owned(),
        "  -d assertion=$MINE -d resource=https://deploy.example.com".to_owned(),
    ];
    let mint = |more: &str| {
        [
            "MINE=$(curl -s \\".to_owned(),
            format!("  '{issuers}/github/token?audience={writ}{more}')"),
        ]
    };
    let mut lines = vec![String::new()];
    let mut hint = |title: &str, commands: &[String]| {
        lines.push(format!("  {title}"));
        lines.extend(commands.iter().map(|line| format!("    {}", paint(COMMAND, line))));
        lines.push(String::new());
    };
    let get = |path: &str| format!("curl -s {writ}{path}");
    hint(
        "What clients and resources find out by themselves:",
        &[get("/.well-known/oauth-authorization-server"), get("/.well-known/jwks.json")],
    );
    let own = [mint("").as_slice(), deploy.as_slice()].concat();
    hint("A deployment of your own. Then send the second command once more:", &own);
    let branch = mint("&ref=refs/heads/feature");
    hint("A token of another branch, to send likewise. Any claim can be replaced so:", &branch);
    hint(
        "As GitHub's runner hands a token to a job:",
        &[
            "curl -s -H 'Accept: application/json' \\".to_owned(),
            format!("  '{issuers}/github/token?api-version=2.0&audience={writ}'"),
        ],
    );
    hint(
        "Change a rule or a policy in a copy of the zone, and see what it says:",
        &["cp -r examples/zone my-zone".to_owned(), "cargo run -- check --zone my-zone".to_owned()],
    );
    let up = "It stays up until Ctrl-C. What you send is shown here, as the record has it:";
    lines.insert(1, paint(STRONG, "Try it yourself"));
    lines.insert(2, String::new());
    lines.push(paint(FAINT, up));
    lines
}
