//! An API on Cloudflare Workers behind a zone's tokens. What protects it is `notes`; the rest is an API.

use web_sys::{Request, Response};
use worker::{Context, Env, Error, event};
use writ_core::verifier::{Rejected, Verifier};
use writ_isolate::resource;

#[event(fetch)]
async fn fetch(request: Request, env: Env, _: Context) -> Result<Response, Error> {
    let var = |name: &str| env.var(name).map(|value| value.to_string());
    let mut verifier = Verifier::new(var("ISSUER")?, var("RESOURCE")?);
    // A zone on this machine, to try it out; what is deployed does not say so. Only `true` does.
    verifier.danger_allow_http_loopback =
        var("DANGER_ALLOW_HTTP_LOOPBACK").is_ok_and(|value| value == "true");
    match notes(&verifier, &request).await {
        Ok(notes) => Ok(Response::new_with_opt_str(Some(&notes))?),
        Err(rejected) => Ok(resource::reject(&rejected)?),
    }
}

/// The notes of whoever calls, or whoever is called for.
async fn notes(verifier: &Verifier, request: &Request) -> Result<String, Rejected> {
    let caller = resource::verify(verifier, request).await?;
    caller.requires("notes:read")?;
    let actor = caller.actors.first().unwrap_or(&caller.subject);
    Ok(format!("notes of {}, read by {actor}\n", caller.subject))
}
