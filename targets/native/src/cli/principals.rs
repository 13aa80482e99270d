//! `writ disable`, `writ enable` and `writ cut-off`.

use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::Value;
use writ_core::operator::Step;
use writ_core::principals::{Measure, Whom};

use super::remote::{Remote, To};
use super::{Failure, Format, ZoneArgument, open, print};

/// Stop a user, an application or a rule, in one write
///
/// Nothing is issued to or through it any more, and what was issued so far is dead: no exchange takes
/// it, and introspection calls it inactive. Every instance follows within five seconds. Resources that
/// verify tokens offline accept one until it expires. `writ enable` lets it act again.
#[derive(Debug, clap::Args)]
pub(super) struct Disable {
    #[command(flatten)]
    about: About,
}

/// Let somebody act again who was disabled
///
/// What was issued before stays dead. Every instance follows within five seconds.
#[derive(Debug, clap::Args)]
pub(super) struct Enable {
    #[command(flatten)]
    about: About,
}

/// Kill all that was issued so far to or through somebody, who may go on at once
///
/// For credentials that leaked, where the one that they were issued to is trusted still: it shows its
/// proof again and gets new ones. Every instance follows within five seconds; resources that verify
/// tokens offline accept one until it expires.
#[derive(Debug, clap::Args)]
pub(super) struct CutOff {
    #[command(flatten)]
    about: About,
}

#[derive(Debug, clap::Args)]
struct About {
    /// What it is
    #[arg(value_enum)]
    kind: Kind,

    /// Which one: `user:ISSUER:SUBJECT` as tokens name the user, an application's identifier, or a
    /// rule's id
    id: String,

    #[command(flatten)]
    zone: ZoneArgument,

    #[command(flatten)]
    to: To,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A person
    User,
    /// An agent, a pipeline or a service
    Application,
    /// A rule of the zone, and all whom it matched
    Rule,
}

impl About {
    fn whom(&self) -> Whom {
        let id = self.id.clone();
        match self.kind {
            Kind::User => Whom::User(id),
            Kind::Application => Whom::Application(id),
            Kind::Rule => Whom::Rule(id),
        }
    }
}

pub(super) fn disable(command: &Disable) -> Result<ExitCode, Failure> {
    take(&command.about, Measure::Disable, "is disabled, and what it was issued is dead")
}

pub(super) fn enable(command: &Enable) -> Result<ExitCode, Failure> {
    take(&command.about, Measure::Enable, "may act again; what it was issued before stays dead")
}

pub(super) fn cut_off(command: &CutOff) -> Result<ExitCode, Failure> {
    take(&command.about, Measure::CutOff, "is cut off: what it was issued so far is dead")
}

fn take(about: &About, measure: Measure, done: &str) -> Result<ExitCode, Failure> {
    let bundle = open::sound_zone(&about.zone.directory)?;
    let whom = about.whom();
    // A name that is written wrong would be stopped in vain. Who is enabled may be gone by now.
    let known = match &whom {
        Whom::Application(id) => bundle.applications.contains_key(id),
        Whom::Rule(id) => bundle.rules.contains_key(id),
        Whom::User(id) => id.splitn(3, ':').count() == 3 && id.starts_with("user:"),
    };
    if !known && measure != Measure::Enable {
        let hint = match about.kind {
            Kind::User => "a user is `user:ISSUER:SUBJECT`, as `sub` in tokens has it",
            _ => "`zone.toml` has none of that name",
        };
        return Err(Failure(format!("there is no {} `{}`: {hint}", kind(about.kind), whom.id())));
    }
    let remote = Remote::new(&about.to, &bundle)?;
    let answer = open::runtime()?.block_on(remote.ask(&Step::measure(measure, &whom)))?;
    match about.format {
        Format::Json => print(&answer.to_string()),
        Format::Text => {
            let seq = answer.get("seq").and_then(Value::as_u64).unwrap_or_default();
            let (kind, id) = (kind(about.kind), whom.id());
            print(&format!("{kind} `{id}` {done}; zone `{}` is at seq {seq}", bundle.zone));
        }
    }
    Ok(ExitCode::SUCCESS)
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "user",
        Kind::Application => "application",
        Kind::Rule => "rule",
    }
}
