//! Plays the story step by step, and then stays for the audience.

use std::sync::Arc;

use serde_json::Value;
use writ_core::handle::JWKS;

use super::call::{Http, Variables};
use super::print::{Print, Scene};
use super::step::{Outcome, Step};
use super::tape::Tape;
use super::{Cast, DemoError, story, token};

/// Everything that a step needs.
pub(crate) struct Stage {
    pub(super) cast: Arc<Cast>,
    http: Http,
    tape: Tape,
    print: Print,
    /// Writ's key set, as anybody gets it.
    keys: Value,
    variables: Variables,
}

impl Stage {
    /// Makes ready, once Writ answers.
    pub(crate) async fn open(cast: Arc<Cast>, tape: Tape, print: Print) -> Result<Self, DemoError> {
        let http = Http::new()?;
        let keys = http.get(&format!("{}{JWKS}", cast.origin)).await?;
        let keys = serde_json::from_str(&keys)
            .map_err(|error| DemoError(format!("the key set is not JSON: {error}")))?;
        Ok(Self { cast, http, tape, print, keys, variables: Variables::new() })
    }

    /// Plays every step. Returns whether all of them went as told.
    pub(crate) async fn play(&mut self) -> Result<bool, DemoError> {
        let mut scenes = Vec::new();
        for step in story::STEPS {
            let step = step(self);
            let outcome = self.perform(&step).await?;
            let scene = Scene::new(scenes.len().saturating_add(1), &step, outcome);
            self.print.step(&scene, &step.call.shell(&self.cast.origin));
            scenes.push(scene);
        }
        self.print.summary(&scenes);
        Ok(scenes.iter().all(Scene::is_as_told))
    }

    /// Shows what others ask of the service, for as long as it is polled or somebody reads.
    pub(crate) async fn stay(&mut self) {
        if !self.print.hints(&self.cast) {
            return;
        }
        while let Some(event) = self.tape.next().await {
            if !self.print.request(&event) {
                return;
            }
        }
    }

    /// A claim of a token that was kept or fetched under `name`.
    pub(super) fn claim(&self, name: &'static str, claim: &str) -> Value {
        let claims = self.variables.get(name).and_then(|token| token::claims(token));
        claims.and_then(|claims| claims.get(claim).cloned()).unwrap_or_default()
    }

    async fn perform(&mut self, step: &Step) -> Result<Outcome, DemoError> {
        let answer = step.call.send(&self.http, &self.cast.origin, &mut self.variables).await?;
        let token = answer.body.get("access_token").and_then(Value::as_str);
        let claims =
            token.filter(|token| token::is_signed(token, &self.keys)).and_then(token::claims);
        let event = self.tape.find(&answer.request).await.unwrap_or_default();
        Ok(Outcome { answer, claims, event })
    }
}
