//! The reference model: what the service means about sessions, hops, revocation, ends, measures, single
//! use and time, as plain Rust with no store, no HTTP and no tokens.
//!
//! It says of each act what may come of it, and nothing of how. Where several things are wrong with a
//! request, any of their error codes will do. `trace` holds the real core against it.
//!
//! The zone is `zones/plain` with lifetimes of its own, where policy permits all that these acts ask for.

pub mod acts;
mod issue;
pub mod lifetimes;
mod refresh;

use std::collections::{BTreeMap, BTreeSet};

use acts::{Act, App, Measure, Rule, Target, Task, Whom, Worker};
use lifetimes::Lifetimes;
use refresh::Family;
pub use refresh::Refresh;

/// For so long after an act of the operator's, an instance may go on with what it knew.
pub const FRESH_SECS: i64 = 2;
/// A hop that would be recorded up to so much later is not added: it is less than that until the session
/// was idle for too long.
const LATE_SECS: i64 = 4;
/// An end is remembered for as long as any session could last, to the end of the hour in which its own one
/// would have ended at least, and so much longer.
const MARGIN_SECS: i64 = 90;
/// The longest path.
const PATH: usize = 8;
/// How long the tokens of people's identity provider live here.
pub const SIGN_IN_SECS: i64 = 1_000;

/// On whose behalf a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A person.
    User(u8),
    /// An application.
    App(App),
}

/// A credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its session.
    pub session: usize,
    /// What it was exchanged for.
    pub parent: Option<usize>,
    /// On whose behalf.
    pub subject: Subject,
    /// Whose it is.
    pub holder: App,
    /// Who acts, the current one first.
    pub actors: Vec<App>,
    /// What it is for.
    pub target: Target,
    /// Its scopes.
    pub scopes: BTreeSet<&'static str>,
    /// When it ends.
    pub expires: i64,
    /// The rules that proofs for it matched.
    rules: BTreeSet<Rule>,
    /// How many measures had been taken when it was decided.
    decided: u64,
    revoked: bool,
}

#[derive(Clone, Debug)]
struct Session {
    opener: App,
    ends: i64,
    ended: Option<i64>,
    /// When its last hop was added.
    active: i64,
    /// Whether its task bounds it to reading and writing files.
    bounded: bool,
}

#[derive(Clone, Debug)]
struct Proof {
    whose: Worker,
    born: i64,
    expires: i64,
    /// Where it is good once: whether it was shown, and the session that it opened.
    spent: bool,
    session: Option<usize>,
    /// Where it is good until it expires: the sessions that it opened, by their tasks' ids.
    tasks: BTreeMap<u8, usize>,
}

/// What may come of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Exactly this token, and this refresh token or none.
    Issued(Box<Token>, Option<Refresh>),
    /// Nothing, for one of these reasons, by OAuth error code.
    Refused(BTreeSet<&'static str>),
    /// Introspection says so.
    Active(bool),
    /// It is done, as it is each time that it is asked for.
    Done,
    /// There is no such session, or none that the caller may know of.
    Gone,
    /// What is over may be over by name, or forgotten already: nothing follows from it.
    DoneOrGone,
    /// What is over may be revoked by anybody, or by its holder alone: nothing follows from it.
    DoneOr(&'static str),
    /// The act is about what is not there, or about time alone.
    Nothing,
}

/// The service, as it is meant.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Seconds since the beginning.
    pub now: i64,
    lifetimes: Lifetimes,
    /// Every token issued.
    pub tokens: Vec<Token>,
    /// Every refresh token given, again and again.
    pub refreshes: Vec<Refresh>,
    families: Vec<Family>,
    sessions: Vec<Session>,
    proofs: Vec<Proof>,
    tasks: BTreeMap<(App, Option<Task>, u8), usize>,
    measures: u64,
    disabled: BTreeSet<Whom>,
    cut_off: BTreeMap<Whom, u64>,
}

impl Model {
    /// The service of a zone with these lifetimes, in which nothing has happened.
    #[must_use]
    pub fn of(lifetimes: Lifetimes) -> Self {
        Self { lifetimes, ..Self::default() }
    }

    /// Says what may come of an act, and takes it that it came.
    pub fn act(&mut self, act: &Act) -> Expected {
        match act {
            Act::Tick { secs } => {
                self.now += secs;
                Expected::Nothing
            }
            Act::Restart => Expected::Nothing,
            Act::Sign { whose, secs } => {
                let (whose, born, expires) = (*whose, self.now, self.now + secs);
                let (spent, session, tasks) = (false, None, BTreeMap::new());
                self.proofs.push(Proof { whose, born, expires, spent, session, tasks });
                Expected::Nothing
            }
            Act::Open { who, task, target, scopes } => self.open(*who, *task, *target, *scopes),
            Act::Redeem { proof, slot, task, target, scopes } => match self.proof(*proof) {
                None => Expected::Nothing,
                Some(proof) => self.redeem(proof, *slot, *task, *target, *scopes),
            },
            Act::SignIn { person, proof, target, scopes } => {
                self.sign_in(*person, proof.and_then(|proof| self.proof(proof)), *target, *scopes)
            }
            Act::Exchange { token, who, proof, actor, target, scopes } => {
                match self.token(*token) {
                    None => Expected::Nothing,
                    Some(token) => {
                        let proof = proof.and_then(|proof| self.proof(proof));
                        let who = who.unwrap_or_else(|| self.addressee(token));
                        let actor = actor.and_then(|actor| self.token(actor));
                        self.exchange(token, who, proof, actor, *target, *scopes)
                    }
                }
            }
            Act::Refresh { refresh, by, scopes } => match self.refresh_token(*refresh) {
                None => Expected::Nothing,
                Some(refresh) => {
                    let by = by.unwrap_or_else(|| self.refresher(refresh));
                    self.refresh(refresh, by, *scopes)
                }
            },
            Act::Revoke { token, by } => match self.token(*token) {
                None => Expected::Nothing,
                Some(token) => {
                    let Token { holder, expires, .. } = self.tokens[token];
                    self.revoke_hop(token, expires, by.unwrap_or(holder))
                }
            },
            Act::GiveBack { refresh, by } => match self.refresh_token(*refresh) {
                None => Expected::Nothing,
                Some(refresh) => {
                    let by = by.unwrap_or_else(|| self.refresher(refresh));
                    self.give_back(refresh, by)
                }
            },
            Act::End { token } => match self.token(*token) {
                None => Expected::Nothing,
                Some(token) => self.end(self.tokens[token].session),
            },
            Act::Complete { token, by } => match self.token(*token) {
                None => Expected::Nothing,
                Some(token) => {
                    let session = self.tokens[token].session;
                    if self.is_nobody(*by) {
                        Expected::Refused(["invalid_client"].into())
                    } else if self.sessions[session].opener == *by {
                        self.end(session)
                    } else {
                        Expected::Gone
                    }
                }
            },
            Act::Take { measure, whom } => {
                self.take(*measure, *whom);
                Expected::Done
            }
            Act::Introspect { token, by } => match self.token(*token) {
                None => Expected::Nothing,
                Some(token) => {
                    let by = by.unwrap_or_else(|| self.addressee(token));
                    if self.is_nobody(by) {
                        return Expected::Refused(["invalid_client"].into());
                    }
                    Expected::Active(self.is_addressed(token, by) && self.is_alive(token))
                }
            },
        }
    }

    /// Whom a token is for: who holds it, where that is not said otherwise.
    pub fn addressee(&self, token: usize) -> App {
        let token = &self.tokens[token];
        token.target.owner().unwrap_or(token.holder)
    }

    /// Who and what is disabled.
    pub fn disabled(&self) -> BTreeSet<Whom> {
        self.disabled.clone()
    }

    /// When anything ends or ended by itself.
    pub fn ends(&self) -> impl Iterator<Item = i64> {
        let tokens = self.tokens.iter().map(|token| token.expires);
        let proofs = self.proofs.iter().map(|proof| proof.expires);
        let sessions = self.sessions.iter().map(|session| session.ends);
        // For a hop that is to be added a session is idle a little earlier.
        let idle = self.sessions.iter().filter_map(|session| self.idle_from(session));
        let idle = idle.flat_map(|from| [from - LATE_SECS, from]);
        tokens.chain(proofs).chain(sessions).chain(idle).chain(self.refresh_ends())
    }

    /// The token that an act means, of those that there are.
    pub fn token(&self, number: usize) -> Option<usize> {
        (!self.tokens.is_empty()).then(|| number % self.tokens.len())
    }

    /// The proof that an act means, of those that there are.
    pub fn proof(&self, number: usize) -> Option<usize> {
        (!self.proofs.is_empty()).then(|| number % self.proofs.len())
    }

    /// Whose a proof is.
    pub fn whose(&self, proof: usize) -> Worker {
        self.proofs[proof].whose
    }

    /// A token is alive if it has not expired, its session was not ended, nothing on its path was revoked,
    /// and nobody on its path is disabled or was cut off since.
    pub fn is_alive(&self, token: usize) -> bool {
        self.is_good(token) && !self.is_stopped(token, 0)
    }

    /// What can be told of a token without asking what became of its session.
    fn is_good(&self, token: usize) -> bool {
        self.now < self.tokens[token].expires && !self.is_dead(token)
    }

    /// Whether somebody on its path is disabled or was cut off since.
    fn is_dead(&self, token: usize) -> bool {
        let subject = match self.tokens[token].subject {
            Subject::User(person) => Whom::User(person),
            Subject::App(app) => Whom::App(app),
        };
        let dead = |hop: &Token| {
            let rules = hop.rules.iter().map(|rule| Whom::Rule(*rule));
            let mut whom = rules.chain([subject, Whom::App(hop.holder)]);
            whom.any(|whom| {
                let cut_off = self.cut_off.get(&whom);
                self.disabled.contains(&whom) || cut_off.is_some_and(|cut| hop.decided < *cut)
            })
        };
        self.path(token).any(dead)
    }

    /// Whether its session was ended or idle for too long, or something on its path revoked. For a hop
    /// that is to be added it is too late a little earlier.
    fn is_stopped(&self, token: usize, late: i64) -> bool {
        let session = &self.sessions[self.tokens[token].session];
        session.ended.is_some()
            || self.is_idle(session, late)
            || self.path(token).any(|hop| hop.revoked)
    }

    fn is_idle(&self, session: &Session, late: i64) -> bool {
        self.idle_from(session).is_some_and(|from| self.now >= from - late)
    }

    /// When a session will be idle for too long, or was.
    fn idle_from(&self, session: &Session) -> Option<i64> {
        self.lifetimes.idle_secs.map(|secs| session.active + secs)
    }

    /// The token and everything above it.
    fn path(&self, token: usize) -> impl Iterator<Item = &Token> {
        let up = |token: &usize| self.tokens[*token].parent;
        std::iter::successors(Some(token), up).map(|token| &self.tokens[token])
    }

    /// How long a token's path is.
    pub fn depth(&self, token: usize) -> usize {
        self.path(token).count()
    }

    /// Whether `by` is whom the token is for.
    fn is_addressed(&self, token: usize, by: App) -> bool {
        let token = &self.tokens[token];
        match token.target {
            Target::Itself => token.holder == by,
            target => target.owner() == Some(by),
        }
    }

    fn is_disabled(&self, whom: &[Whom]) -> bool {
        whom.iter().any(|whom| self.disabled.contains(whom))
    }

    /// Whether an application cannot prove itself by a secret.
    fn is_nobody(&self, app: App) -> bool {
        matches!(app, App::Job | App::Cron) || self.is_disabled(&[Whom::App(app)])
    }

    fn take(&mut self, measure: Measure, whom: Whom) {
        self.measures += 1;
        match measure {
            Measure::Disable => {
                self.disabled.insert(whom);
                self.cut_off.insert(whom, self.measures);
            }
            Measure::Enable => {
                self.disabled.remove(&whom);
            }
            Measure::CutOff => {
                self.cut_off.insert(whom, self.measures);
            }
        }
        self.now += FRESH_SECS;
    }

    fn end(&mut self, session: usize) -> Expected {
        let session = &mut self.sessions[session];
        if self.now >= session.ends {
            return Expected::DoneOrGone;
        }
        // The first end stands.
        session.ended.get_or_insert(self.now);
        Expected::Done
    }

    fn begin(&mut self, session: Session) -> usize {
        self.sessions.push(session);
        self.sessions.len() - 1
    }
}
