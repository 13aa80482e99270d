//! The words that a trace is made of. A trace is JSON, so that one that was found can be kept
//! (`traces/`).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// An application of the zone `plain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum App {
    /// May claim tasks, and is what people's tokens are made for. Has a secret, and a platform.
    Assistant,
    /// Has a secret.
    Planner,
    /// Has a secret, and owns the files.
    Files,
    /// Has a platform, and no secret.
    Job,
    /// The same.
    Cron,
}

impl App {
    /// Its identifier.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Assistant => "assistant",
            Self::Planner => "planner",
            Self::Files => "files-api",
            Self::Job => "job",
            Self::Cron => "cron",
        }
    }

    /// Its secret.
    #[must_use]
    pub const fn secret(self) -> &'static str {
        match self {
            Self::Assistant => "assistant-secret",
            Self::Planner => "planner-secret",
            Self::Files => "files-secret",
            Self::Job | Self::Cron => "it has none",
        }
    }
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Whoever asks.
    Itself,
    /// `https://files.example/api`
    Files,
    /// `https://planner.example`
    Planner,
    /// `https://assistant.example`
    Assistant,
    /// `https://quick.example`, whose tokens live for less long than others.
    Quick,
}

impl Target {
    /// The resource; none for whoever asks.
    #[must_use]
    pub const fn resource(self) -> Option<&'static str> {
        match self {
            Self::Itself => None,
            Self::Files => Some("https://files.example/api"),
            Self::Planner => Some("https://planner.example"),
            Self::Assistant => Some("https://assistant.example"),
            Self::Quick => Some("https://quick.example"),
        }
    }

    /// Who serves it.
    #[must_use]
    pub const fn owner(self) -> Option<App> {
        match self {
            Self::Files => Some(App::Files),
            Self::Planner => Some(App::Planner),
            Self::Assistant => Some(App::Assistant),
            Self::Itself | Self::Quick => None,
        }
    }

    /// Its scopes.
    #[must_use]
    pub fn defined(self) -> BTreeSet<&'static str> {
        match self {
            Self::Itself => [].into(),
            Self::Files => ["read", "write", "delete"].into(),
            other => other.usual(),
        }
    }

    /// What is granted where nothing is asked for.
    #[must_use]
    pub fn usual(self) -> BTreeSet<&'static str> {
        match self {
            Self::Itself => [].into(),
            Self::Files | Self::Quick => ["read"].into(),
            Self::Planner => ["plan"].into(),
            Self::Assistant => ["ask"].into(),
        }
    }

    /// The scopes that are asked for by these bits: the usual one, and `write`.
    #[must_use]
    pub fn asked(self, bits: u8) -> BTreeSet<&'static str> {
        let usual = self.usual().into_iter().filter(|_| bits & 1 != 0);
        usual.chain((bits & 2 != 0).then_some("write")).collect()
    }
}

/// A task that is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Its envelope is reading and writing files.
    Release,
    /// It has no envelope.
    Triage,
}

impl Task {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Triage => "triage",
        }
    }
}

/// A workload whose platform gives it tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Worker {
    /// Its tokens stand alone, and are good once.
    Job,
    /// Its tokens are client authentication, and are good once.
    Assistant,
    /// Its tokens stand alone, and are good until they expire.
    Cron,
}

impl Worker {
    /// The application that it is.
    #[must_use]
    pub const fn app(self) -> App {
        match self {
            Self::Job => App::Job,
            Self::Cron => App::Cron,
            Self::Assistant => App::Assistant,
        }
    }

    /// The rule that its tokens match.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Job => Rule::Job,
            Self::Cron => Rule::Cron,
            Self::Assistant => Rule::Proof,
        }
    }

    /// Whether its token as a subject needs no other proof of the client.
    #[must_use]
    pub const fn stands_alone(self) -> bool {
        matches!(self, Self::Job | Self::Cron)
    }

    /// Whether each of its tokens is good once.
    #[must_use]
    pub const fn is_single_use(self) -> bool {
        !matches!(self, Self::Cron)
    }

    /// Who signs its tokens.
    #[must_use]
    pub const fn platform(self) -> &'static str {
        match self {
            Self::Job | Self::Assistant => "jobs",
            Self::Cron => "ci",
        }
    }
}

/// Where a platform's token is shown that opens a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// As the subject of an exchange.
    Subject,
    /// As the assertion of the `jwt-bearer` grant.
    Assertion,
    /// As the client's proof of the `client_credentials` grant.
    Client,
}

impl Slot {
    /// What a bad token is answered with there.
    #[must_use]
    pub const fn error(self) -> &'static str {
        match self {
            Self::Subject => "invalid_request",
            Self::Assertion => "invalid_grant",
            Self::Client => "invalid_client",
        }
    }
}

/// A rule of the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the rules'")]
pub enum Rule {
    Job,
    Cron,
    Proof,
    People,
}

impl Rule {
    /// Its id.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Cron => "cron",
            Self::Proof => "proof",
            Self::People => "people",
        }
    }
}

/// Whom or what a measure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Whom {
    User(u8),
    App(App),
    Rule(Rule),
}

/// What becomes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Measure {
    Disable,
    Enable,
    CutOff,
}

/// One act of a trace. Tokens, refresh tokens and proofs are meant by number, counted round those that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are what an act is about, by its own words")]
pub enum Act {
    /// Time passes.
    Tick { secs: i64 },
    /// The instance that serves next remembers nothing.
    Restart,
    /// A platform gives a workload a token.
    Sign { whose: Worker, secs: i64 },
    /// An application asks for a token by its secret, for a task's id or without one.
    Open { who: App, task: Option<(Option<Task>, u8)>, target: Target, scopes: Option<u8> },
    /// A platform's token is shown alone, for a task's id or without one.
    Redeem {
        proof: usize,
        slot: Slot,
        #[serde(default)]
        task: Option<u8>,
        target: Target,
        scopes: Option<u8>,
    },
    /// A person's token is shown: by the assistant and its secret, or beside a platform's token.
    SignIn { person: u8, proof: Option<usize>, target: Target, scopes: Option<u8> },
    /// A token of ours is exchanged, by whom it is for or by another: by secret, or beside a platform's
    /// token; and maybe with another token of ours as the actor's.
    Exchange {
        token: usize,
        who: Option<App>,
        proof: Option<usize>,
        #[serde(default)]
        actor: Option<usize>,
        target: Target,
        scopes: Option<u8>,
    },
    /// A refresh token is used, by whose it is or by another.
    Refresh { refresh: usize, by: Option<App>, scopes: Option<u8> },
    /// A token of ours is revoked, by its holder or by another.
    Revoke { token: usize, by: Option<App> },
    /// A refresh token is revoked, by whose it is or by another.
    GiveBack { refresh: usize, by: Option<App> },
    /// The operator ends the session of a token.
    End { token: usize },
    /// An application says that the task of a token's session is completed.
    Complete { token: usize, by: App },
    /// The operator takes a measure, and time passes until every instance knows.
    Take { measure: Measure, whom: Whom },
    /// Whom a token is for asks whether it is alive, or another.
    Introspect { token: usize, by: Option<App> },
}
