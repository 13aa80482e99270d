//! What the demonstration says: for people, or as one JSON object a line.

use std::io::Write;

use serde_json::{Value, json};

use super::Cast;
use super::look::{self, BAD, COMMAND, FAINT, GOOD, STRONG, WIDTH, paint};
use super::step::Outcome;

pub(crate) use self::scene::Scene;
use self::scene::who;

mod hints;
mod scene;

/// Where it is said, and how.
pub(crate) struct Print {
    output: Box<dyn Write + Send>,
    json: bool,
    /// Nobody reads any more.
    gone: bool,
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
        let paste = if stays { "while this runs" } else { "when it runs without `--once`" };
        let how = format!(
            "Each step is a real request over HTTP, shown as the commands that send it. They can \
             be pasted, in this order, {paste}. Then come:"
        );
        look::wrap(&how, WIDTH).iter().for_each(|line| self.say(line));
        self.say("");
        for (label, what) in LEGEND {
            self.said(label, &look::wrap(what, WIDTH.saturating_sub(INDENT).saturating_sub(LABEL)));
        }
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
        let by = if outcome.list("policies").is_empty() { ":" } else { " by" };
        self.said("decided", &[format!("{}{by} {why}", paint(style, decision))]);
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

    /// What to try, while it stays up. Returns whether anybody reads.
    pub(super) fn hints(&mut self, cast: &Cast) -> bool {
        if !self.json {
            hints::lines(cast).iter().for_each(|line| self.say(line));
        }
        !self.gone
    }
}

/// What the parts of a step are.
const LEGEND: [(&str, &str); 5] = [
    ("who", "who was recognized, and by which rule of the zone"),
    ("decided", "what Writ decided, and by which policy"),
    (
        "answer",
        "the token that was issued. In it, `sub` is on whose behalf, `act` who acts and, nested, who \
         acted before, `aud` the one resource that it is for, `sid` the session that it dies with, \
         and `jti` its name in the record",
    ),
    ("caller", "where there is no token: all that the caller is told"),
    ("record", "and what only the service's own record knows"),
];
/// Columns before the text of a step.
const INDENT: usize = 5;
/// Columns of a label.
const LABEL: usize = 9;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::call::Call;
    use super::super::step::{Step, Told};
    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is printed of a step that ended with `status`, where 403 was told.
    fn printed(status: u16) -> (bool, String) {
        let told = Told::Refused { status: 403, error: "", reason: "", policies: &[] };
        let step = Step { title: "A title", story: "A story", call: Call::new("none"), told };
        let mut outcome = Outcome::default();
        outcome.answer.status = status;
        let scene = Scene::new(1, &step, outcome);
        let paper = Paper::default();
        let mut print = Print { output: Box::new(paper.clone()), json: false, gone: false };
        print.step(&scene, &step.call.shell("http://w"));
        let as_told = scene.is_as_told();
        print.summary(&[scene]);
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        (as_told, anstream::adapter::strip_str(&text).to_string())
    }

    #[test]
    fn what_goes_otherwise_than_told_is_loud() {
        let (as_told, text) = printed(200);
        assert!(!as_told);
        for said in ["✗  1  A title", "NOT AS TOLD: the status", "0 of 1 steps went as told."] {
            assert!(text.contains(said), "{text}");
        }
        let (as_told, text) = printed(403);
        assert!(as_told);
        assert!(text.contains("✓  1  A title") && !text.contains("NOT AS TOLD"), "{text}");
    }

    #[test]
    fn text_of_others_cannot_steer_the_terminal() {
        let paper = Paper::default();
        let mut print = Print { output: Box::new(paper.clone()), json: false, gone: false };
        print.request(&json!({ "endpoint": "token", "resource": "a\u{1b}[2Jb\rc", "status": 400 }));
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("\u{1b}[2J") && !text.contains('\r'), "{text:?}");
    }
}
