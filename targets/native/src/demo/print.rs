//! What the demonstration says: for people, or as one JSON object a line.

use std::io::Write;

use serde_json::{Value, json};

use super::Cast;
use super::look::{self, BAD, COMMAND, FAINT, GOOD, STRONG, WIDTH, paint};
use super::step::{Outcome, Step};

mod hints;

/// Where it is said, and how.
pub(crate) struct Print {
    output: Box<dyn Write + Send>,
    json: bool,
    /// Nobody reads any more.
    gone: bool,
}

/// A step that was played.
pub(crate) struct Scene {
    number: usize,
    title: &'static str,
    story: &'static str,
    outcome: Outcome,
    differences: Vec<String>,
}

impl Scene {
    pub(super) fn new(number: usize, step: &Step, outcome: Outcome) -> Self {
        let differences = step.told.differences(&outcome);
        Self { number, title: step.title, story: step.story, outcome, differences }
    }

    pub(super) fn is_as_told(&self) -> bool {
        self.differences.is_empty()
    }

    fn mark(&self) -> String {
        if self.is_as_told() { paint(GOOD, "✓") } else { paint(BAD, "✗") }
    }

    /// What came of it, and what decided that.
    fn decided(&self) -> (&'static str, String) {
        let outcome = &self.outcome;
        let policies = outcome.list("policies").join(", ");
        let reason = outcome.recorded("reason").to_owned();
        match outcome.recorded("outcome") {
            "allow" => ("issued", policies),
            "deny" if !policies.is_empty() => ("denied", policies),
            "deny" => ("denied", reason),
            "refuse" => ("refused", reason),
            _ => ("failed", format!("{} {reason}", outcome.answer.status)),
        }
    }
}

impl Print {
    /// Says it to stdout: in colour where that is a terminal that wants it.
    pub(crate) fn to_stdout(json: bool) -> Self {
        let output: Box<dyn Write + Send> =
            if json { Box::new(std::io::stdout()) } else { Box::new(anstream::stdout()) };
        Self { output, json, gone: false }
    }

    fn say(&mut self, text: &str) {
        if writeln!(self.output, "{text}").and_then(|()| self.output.flush()).is_err() {
            self.gone = true;
        }
    }

    fn said(&mut self, label: &str, lines: &[String]) {
        for (index, line) in lines.iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            self.say(&format!("     {}{line}", paint(FAINT, &format!("{label:<LABEL$}"))));
        }
    }

    /// What this is, before the first step.
    pub(crate) fn intro(&mut self, cast: &Cast, data: &std::path::Path, stays: bool) {
        if self.json {
            let line = json!({ "writ": cast.origin, "issuers": cast.issuers, "data": data });
            return self.say(&line.to_string());
        }
        let zone = &cast.bundle.zone;
        self.say(&paint(STRONG, "Writ, with everybody it needs, on this machine"));
        self.say("");
        self.said("writ", &[format!("{}  zone `{zone}`, which is examples/zone", cast.origin)]);
        let plays = "plays GitHub, Vercel, Fly.io, AWS, Google Cloud and Okta";
        self.said("issuers", &[format!("{}  {plays}", cast.issuers)]);
        self.said("data", &[format!("{}  removed at the end", data.display())]);
        self.say("");
        let paste =
            if stays { "paste them while this runs" } else { "without `--once`, paste them" };
        let how = format!(
            "Every step is a real request over HTTP, shown as the commands that send it: {paste}, \
             in this order. Then come who was recognized, the decision, and either the token or \
             what the caller is told beside what only the record knows. In a token, `sub` is on \
             whose behalf, `act` who acts and, nested, who acted before, `aud` the one resource it \
             is for, `sid` the session that it dies with, and `jti` names its record."
        );
        look::wrap(&how, WIDTH).iter().for_each(|line| self.say(line));
    }

    /// One step.
    pub(super) fn step(&mut self, scene: &Scene, commands: &[String]) {
        if self.json {
            return self.step_json(scene, commands);
        }
        self.say("");
        let title = paint(STRONG, scene.title);
        self.say(&format!("{} {:>2}  {title}", scene.mark(), scene.number));
        for line in look::wrap(scene.story, WIDTH.saturating_sub(INDENT)) {
            self.say(&format!("     {line}"));
        }
        self.say("");
        for line in commands {
            self.say(&format!("     {}", paint(COMMAND, line)));
        }
        self.say("");
        let room = WIDTH.saturating_sub(INDENT).saturating_sub(LABEL);
        let outcome = &scene.outcome;
        let text = |text: &str| look::wrap(&look::shorten(&look::printable(text)), room);
        if !who(outcome).is_empty() {
            self.said("who", &text(&who(outcome)));
        }
        let style = if outcome.claims.is_some() { GOOD } else { BAD };
        let (decision, why) = scene.decided();
        self.said("decided", &[format!("{} by {}", paint(style, decision), why)]);
        if let Some(claims) = &outcome.claims {
            let life = outcome.answer.body.get("expires_in").and_then(Value::as_i64);
            let (status, life) = (outcome.answer.status, life.unwrap_or_default());
            self.said("answer", &[format!("{status} with a token for {life} s, which says:")]);
            for line in look::token(claims, WIDTH.saturating_sub(INDENT)) {
                self.say(&format!("     {line}"));
            }
        } else {
            let (status, error) = (outcome.answer.status, outcome.said("error"));
            let description = outcome.said("error_description");
            self.said("caller", &text(&format!("{status} {error}: {description}")));
            let (reason, detail) = (outcome.recorded("reason"), outcome.recorded("detail"));
            self.said("record", &text(&format!("{reason}: {detail}")));
        }
        for difference in &scene.differences {
            let wrong = format!("NOT AS TOLD: {}", look::printable(difference));
            let lines = look::wrap(&wrong, WIDTH.saturating_sub(INDENT));
            lines.iter().for_each(|line| self.say(&format!("     {}", paint(BAD, line))));
        }
    }

    fn step_json(&mut self, scene: &Scene, commands: &[String]) {
        let mut answer = scene.outcome.answer.body.clone();
        // Its claims are there; whoever keeps the output need not keep a token.
        if let Some(answer) = answer.as_object_mut() {
            answer.remove("access_token");
        }
        let line = json!({
            "step": scene.number,
            "title": scene.title,
            "commands": commands,
            "status": scene.outcome.answer.status,
            "answer": answer,
            "token": scene.outcome.claims,
            "event": scene.outcome.event,
            "as_told": scene.is_as_told(),
            "differences": scene.differences,
        });
        self.say(&line.to_string());
    }

    /// All steps at a glance.
    pub(super) fn summary(&mut self, scenes: &[Scene]) {
        let right = scenes.iter().filter(|scene| scene.is_as_told()).count();
        if self.json {
            self.say(&json!({ "steps": scenes.len(), "as_told": right }).to_string());
            return;
        }
        self.say("");
        for scene in scenes {
            let (number, title, (decision, why)) = (scene.number, scene.title, scene.decided());
            self.say(&format!("{} {number:>2}  {title:<48} {decision:<8} {why}", scene.mark()));
        }
        self.say("");
        let verdict = format!("{right} of {} steps went as told.", scenes.len());
        let style = if right == scenes.len() { GOOD } else { BAD };
        self.say(&paint(style, &verdict));
    }

    /// A request of somebody else's. Returns whether anybody reads.
    pub(super) fn request(&mut self, event: &Value) -> bool {
        if self.json {
            self.say(&json!({ "event": event }).to_string());
            return !self.gone;
        }
        let outcome = Outcome { event: event.clone(), ..Outcome::default() };
        let status = event.get("status").and_then(Value::as_u64).unwrap_or_default();
        let style = if status == 200 { GOOD } else { BAD };
        let mut line = format!("{} {}", outcome.recorded("endpoint"), outcome.recorded("outcome"));
        if !who(&outcome).is_empty() {
            line = format!("{line}: {}", who(&outcome));
        }
        for name in ["resource", "reason", "detail"] {
            if !outcome.recorded(name).is_empty() {
                line = format!("{line} · {}", outcome.recorded(name));
            }
        }
        if !outcome.list("policies").is_empty() {
            line = format!("{line} · {}", outcome.list("policies").join(", "));
        }
        let line = look::shorten(&look::printable(&line));
        let lines = look::wrap(&line, WIDTH.saturating_sub(INDENT));
        for (index, line) in lines.iter().enumerate() {
            let status = if index == 0 { status.to_string() } else { String::new() };
            self.say(&format!("{}  {line}", paint(style, &format!("{status:<3}"))));
        }
        !self.gone
    }

    /// What to try, while it stays up.
    pub(super) fn hints(&mut self, cast: &Cast) {
        if !self.json {
            hints::lines(cast).iter().for_each(|line| self.say(line));
        }
    }
}

/// Who was recognized: the actor, those before it, on whose behalf, and by which rule.
fn who(outcome: &Outcome) -> String {
    let (client, subject) = (outcome.recorded("client"), outcome.recorded("subject"));
    let chain = outcome.list("chain");
    let mut text = match chain.split_first() {
        Some((actor, before)) => {
            let mut text = format!("`{actor}`");
            for actor in before.iter().filter(|before| **before != subject) {
                text = format!("{text}, asked by `{actor}`");
            }
            if *actor != subject { format!("{text}, for `{subject}`") } else { text }
        }
        None if client.is_empty() && subject.is_empty() => return String::new(),
        None if client.is_empty() || client == subject => format!("`{subject}`"),
        None => format!("`{client}`, showing a token of `{subject}`"),
    };
    if let (Some(rule), Some(issuer)) =
        (outcome.list("rules").first(), outcome.list("issuers").first())
    {
        text = format!("{text}, by rule `{rule}` of issuer `{issuer}`");
    }
    text
}

/// Columns before the text of a step.
const INDENT: usize = 5;
/// Columns of a label.
const LABEL: usize = 9;
