//! One request of the demonstration: the shell commands that anybody can run, and the same sent.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::redirect::Policy;
use serde_json::Value;

use super::DemoError;

/// Values under the names that the shell commands give them.
pub(crate) type Variables = BTreeMap<&'static str, String>;

/// A token request, and what has to be fetched for it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    fetches: Vec<(&'static str, String)>,
    basic: Option<(&'static str, String)>,
    form: Vec<(&'static str, Field)>,
    keep: Option<&'static str>,
}

/// A form field. Its value has none of `&`, `+` and `%`, so that `curl -d` sends it as it is.
#[derive(Clone, Debug)]
enum Field {
    Text(String),
    Variable(&'static str),
    Fetched(String),
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) request: String,
}

impl Call {
    /// A request of this grant type.
    pub(crate) fn new(grant_type: &str) -> Self {
        let call = Self { fetches: vec![], basic: None, form: vec![], keep: None };
        call.text("grant_type", grant_type)
    }

    /// First fetches a token and calls it `name`.
    pub(crate) fn fetch(mut self, name: &'static str, url: String) -> Self {
        self.fetches.push((name, url));
        self
    }

    /// Authenticates with a secret.
    pub(crate) fn basic(mut self, application: &'static str, secret: &str) -> Self {
        self.basic = Some((application, secret.to_owned()));
        self
    }

    /// A field.
    pub(crate) fn text(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.form.push((name, Field::Text(value.into())));
        self
    }

    /// A field with a token that has a name.
    pub(crate) fn variable(mut self, name: &'static str, variable: &'static str) -> Self {
        self.form.push((name, Field::Variable(variable)));
        self
    }

    /// A field with what `url` answers.
    pub(crate) fn fetched(mut self, name: &'static str, url: String) -> Self {
        self.form.push((name, Field::Fetched(url)));
        self
    }

    /// Calls the token that is issued `name`.
    pub(crate) fn keep(mut self, name: &'static str) -> Self {
        self.keep = Some(name);
        self
    }

    /// The commands, line by line.
    pub(crate) fn shell(&self, origin: &str) -> Vec<String> {
        let fetch = |(name, url): &(&str, String)| format!("{name}=$(curl -s '{url}')");
        let mut lines: Vec<_> = self.fetches.iter().map(fetch).collect();
        let mut parts = vec![format!("curl -s {origin}/oauth/token")];
        if let Some(name) = self.keep {
            parts = vec![format!("{name}=$(curl -s {origin}/oauth/token")];
        }
        if let Some((application, secret)) = &self.basic {
            parts.push(format!("  -u {application}:{secret}"));
        }
        for (name, field) in &self.form {
            parts.push(match field {
                Field::Text(value) if value.contains(' ') => format!("  -d '{name}={value}'"),
                Field::Text(value) => format!("  -d {name}={value}"),
                Field::Variable(variable) => format!("  -d {name}=${variable}"),
                Field::Fetched(url) => format!("  -d {name}=$(curl -s {url})"),
            });
        }
        if self.keep.is_some() {
            // Shows the answer, and keeps the token in it.
            parts.push("  | tee /dev/stderr | sed 's/.*\"access_token\":\"//; s/\".*//')".into());
        }
        let last = parts.len().saturating_sub(1);
        let continued = parts.into_iter().enumerate();
        lines.extend(continued.map(
            |(index, part)| {
                if index == last { part } else { format!("{part} \\") }
            },
        ));
        lines
    }

    /// Does what the commands do.
    pub(crate) async fn send(
        &self,
        http: &Http,
        origin: &str,
        variables: &mut Variables,
    ) -> Result<Answer, DemoError> {
        for (name, url) in &self.fetches {
            variables.insert(name, http.get(url).await?);
        }
        let mut body = String::new();
        for (name, field) in &self.form {
            let value = match field {
                Field::Text(value) => value.clone(),
                Field::Variable(name) => variables.get(name).cloned().unwrap_or_default(),
                Field::Fetched(url) => http.get(url).await?,
            };
            if !body.is_empty() {
                body.push('&');
            }
            body.push_str(&format!("{name}={value}"));
        }
        let basic = self.basic.as_ref().map(|(application, secret)| {
            format!("Basic {}", Base64::encode_string(format!("{application}:{secret}").as_bytes()))
        });
        let answer = http.post(&format!("{origin}/oauth/token"), body, basic).await?;
        if let Some(name) = self.keep {
            let token = answer.body.get("access_token").and_then(Value::as_str);
            variables.insert(name, token.unwrap_or_default().to_owned());
        }
        Ok(answer)
    }
}

/// Requests to this machine.
pub(crate) struct Http(reqwest::Client);

impl Http {
    /// A client that goes nowhere by way of others.
    pub(crate) fn new() -> Result<Self, DemoError> {
        // Nothing here is https, and the system may have no certificates.
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
        Ok(Self(client.redirect(Policy::none()).build()?))
    }

    /// What a URL answers, where that is a success.
    pub(crate) async fn get(&self, url: &str) -> Result<String, DemoError> {
        Ok(self.0.get(url).send().await?.error_for_status()?.text().await?)
    }

    async fn post(
        &self,
        url: &str,
        form: String,
        authorization: Option<String>,
    ) -> Result<Answer, DemoError> {
        let request = self.0.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = match authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        };
        let response = request.body(form).send().await?;
        let status = response.status().as_u16();
        let id = response.headers().get("x-request-id").and_then(|id| id.to_str().ok());
        let request = id.unwrap_or_default().to_owned();
        let body = serde_json::from_str(&response.text().await?).unwrap_or_default();
        Ok(Answer { status, body, request })
    }
}

impl From<reqwest::Error> for DemoError {
    fn from(error: reqwest::Error) -> Self {
        Self(format!("a request on this machine failed: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_can_be_pasted() {
        let call = Call::new("client_credentials")
            .fetch("JOB", "http://i/job/token?audience=x".into())
            .basic("one", "secret")
            .variable("client_assertion", "JOB")
            .text("scope", "a b")
            .keep("NEXT");
        let lines = [
            "JOB=$(curl -s 'http://i/job/token?audience=x')",
            "NEXT=$(curl -s http://w/oauth/token \\",
            "  -u one:secret \\",
            "  -d grant_type=client_credentials \\",
            "  -d client_assertion=$JOB \\",
            "  -d 'scope=a b' \\",
            "  | tee /dev/stderr | sed 's/.*\"access_token\":\"//; s/\".*//')",
        ];
        assert_eq!(call.shell("http://w"), lines);
    }
}
