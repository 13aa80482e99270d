//! What may be issued: to whom, for what, for how long, and what is wrong where nothing is.

use std::collections::BTreeSet;

use super::acts::{App, Rule, Slot, Target, Task, Whom};
use super::{
    Expected, LATE_SECS, MARGIN_SECS, Model, PATH, Proof, SIGN_IN_SECS, Session, Subject, Token,
};

/// A request for a token, as far as it is judged.
pub(super) struct Request {
    subject: Subject,
    holder: App,
    pub(super) actors: Vec<App>,
    pub(super) parent: Option<usize>,
    rules: BTreeSet<Rule>,
    target: Target,
    scopes: Option<u8>,
    /// What may be had of them.
    granted: BTreeSet<&'static str>,
    /// The end of everything shown.
    pub(super) bounds: Vec<i64>,
    /// What is wrong with it.
    pub(super) wrong: BTreeSet<&'static str>,
}

impl Model {
    /// When a session ends that begins now, if nothing ends it earlier.
    fn longest(&self) -> i64 {
        self.now + self.lifetimes.session_secs
    }

    /// A proof is good while its bearer and its rule are, and until it expires.
    fn judge_proof(&self, proof: usize, error: &'static str, wrong: &mut BTreeSet<&'static str>) {
        let proof = &self.proofs[proof];
        let whom = [Whom::App(proof.whose.app()), Whom::Rule(proof.whose.rule())];
        if self.is_disabled(&whom) || self.now >= proof.expires {
            wrong.insert(error);
        }
    }

    /// An application proves itself by its secret.
    pub(super) fn open(
        &mut self,
        who: App,
        task: Option<(Option<Task>, u8)>,
        target: Target,
        scopes: Option<u8>,
    ) -> Expected {
        let mut request = Request::of(Subject::App(who), who, target, scopes);
        if self.is_nobody(who) {
            request.wrong.insert("invalid_client");
        }
        let name = task.and_then(|(name, _)| name);
        if name.is_some() && who != App::Assistant {
            request.wrong.insert("invalid_request");
        }
        let bounded = name == Some(Task::Release);
        let known = task.and_then(|(name, id)| self.tasks.get(&(who, name, id)).copied());
        let over = |session: &Session| session.ends <= self.now;
        let joins = known.filter(|session| !over(&self.sessions[*session]));
        // The end of a session is no way to begin it anew.
        let ended = known.is_some_and(|session| {
            let Session { ended, ends, .. } = self.sessions[session];
            let longest = |at: i64| (at + self.lifetimes.session_secs).max(hour_end(ends));
            ended.is_some_and(|at| self.now < longest(at) + MARGIN_SECS)
        });
        let ends = joins.map_or(self.longest(), |session| self.sessions[session].ends);
        request.bounds.push(ends);
        self.narrow(&mut request, bounded);
        // Nor does it come back after it was idle for too long.
        let idle = joins.is_some_and(|session| self.is_idle(&self.sessions[session], LATE_SECS));
        let late = if ended || idle { ["invalid_request"].into() } else { BTreeSet::new() };
        let session = Session { opener: who, ends, ended: None, active: self.now, bounded };
        match (joins, known) {
            (Some(session), _) => self.decide(request, &late, |_| session),
            // Another life of the same task.
            (None, Some(known)) => self.decide(request, &late, |model| {
                model.sessions[known] = session;
                known
            }),
            (None, None) => self.decide(request, &late, |model| {
                let number = model.begin(session);
                if let Some((name, id)) = task {
                    model.tasks.insert((who, name, id), number);
                }
                number
            }),
        }
    }

    /// A single-use proof opens its session, once. One that is good until it expires opens a session each
    /// time, or joins the one that it opened for the task's id.
    pub(super) fn redeem(
        &mut self,
        proof: usize,
        slot: Slot,
        task: Option<u8>,
        target: Target,
        scopes: Option<u8>,
    ) -> Expected {
        let Proof { whose, born, expires, spent, .. } = self.proofs[proof];
        let who = whose.app();
        let error = slot.error();
        let mut request = Request::of(Subject::App(who), who, target, scopes);
        self.judge_proof(proof, error, &mut request.wrong);
        if slot == Slot::Subject && !whose.stands_alone() {
            request.wrong.insert("invalid_client");
        }
        request.rules.insert(whose.rule());
        let task = task.filter(|_| !whose.is_single_use());
        // Whoever joins it agrees on its end with whoever opens it.
        let longest = task.map_or(self.longest(), |_| born + self.lifetimes.session_secs);
        let ends = expires.min(longest);
        request.bounds.push(ends);
        self.narrow(&mut request, false);
        let joins = task.and_then(|id| self.proofs[proof].tasks.get(&id).copied());
        let over = joins
            .map(|session| &self.sessions[session])
            .is_some_and(|session| session.ended.is_some() || self.is_idle(session, LATE_SECS));
        let mut late = BTreeSet::new();
        if spent {
            late.insert(error);
        } else if over {
            // A client whose proof was good is not told that it was not.
            late.insert(if slot == Slot::Client { "invalid_request" } else { error });
        }
        let session = Session { opener: who, ends, ended: None, active: self.now, bounded: false };
        self.decide(request, &late, |model| {
            let session = joins.unwrap_or_else(|| model.begin(session));
            let proof = &mut model.proofs[proof];
            if whose.is_single_use() {
                proof.spent = true;
                proof.session = Some(session);
            }
            proof.tasks.extend(task.map(|id| (id, session)));
            session
        })
    }

    /// A person's token is shown by the assistant, or by whoever proves itself beside it.
    pub(super) fn sign_in(
        &mut self,
        person: u8,
        proof: Option<usize>,
        target: Target,
        scopes: Option<u8>,
    ) -> Expected {
        let who = proof.map_or(App::Assistant, |proof| self.proofs[proof].whose.app());
        let mut request = Request::of(Subject::User(person), who, target, scopes);
        request.actors = vec![who];
        request.rules.insert(Rule::People);
        if self.is_disabled(&[Whom::User(person), Whom::Rule(Rule::People)]) {
            request.wrong.insert("invalid_request");
        }
        // The token names the application that it was made for.
        if who != App::Assistant {
            request.wrong.insert("invalid_request");
        }
        let ends = (self.now + SIGN_IN_SECS).min(self.longest());
        request.bounds.push(ends);
        let late = self.beside(proof, who, None, &mut request);
        self.narrow(&mut request, false);
        self.spend(proof, &request);
        let session = Session { opener: who, ends, ended: None, active: self.now, bounded: false };
        match self.decide(request, &late, |model| model.begin(session)) {
            // A platform's proof gives another token when that is needed.
            Expected::Issued(token, _) if proof.is_none() => {
                Expected::Issued(token, self.begin_family())
            }
            decided => decided,
        }
    }

    pub(super) fn exchange(
        &mut self,
        token: usize,
        who: App,
        proof: Option<usize>,
        actor: Option<usize>,
        target: Target,
        scopes: Option<u8>,
    ) -> Expected {
        let who = proof.map_or(who, |proof| self.proofs[proof].whose.app());
        let held = self.tokens[token].clone();
        let mut request = Request::of(held.subject, who, target, scopes);
        request.parent = Some(token);
        request.actors.clone_from(&held.actors);
        request.bounds.push(held.expires);
        let mut wrong = BTreeSet::new();
        if !self.is_good(token) || !self.is_addressed(token, who) {
            wrong.insert("invalid_request");
        }
        if held.target != Target::Itself {
            // Nobody is on a chain twice.
            if held.actors.contains(&who) || held.subject == Subject::App(who) {
                wrong.insert("invalid_request");
            }
            request.actors.insert(0, who);
            // What is for a resource is no proof.
            if target == Target::Itself {
                wrong.insert("invalid_target");
            }
        }
        if self.depth(token) >= PATH {
            wrong.insert("invalid_request");
        }
        request.wrong.extend(wrong);
        if let Some(actor) = actor {
            self.judge_actor(actor, token, &mut request);
        }
        let mut late = self.beside(proof, who, Some(held.session), &mut request);
        self.narrow(&mut request, self.sessions[held.session].bounded);
        self.spend(proof, &request);
        let stopped = |token: usize| self.is_stopped(token, LATE_SECS);
        if stopped(token) || actor.is_some_and(stopped) {
            late.insert("invalid_request");
        }
        self.decide(request, &late, |_| held.session)
    }

    /// A token of ours says who acts where it is another than the subject's, of the same session, and
    /// whose who shows it.
    fn judge_actor(&self, actor: usize, subject: usize, request: &mut Request) {
        let (shown, held) = (&self.tokens[actor], &self.tokens[subject]);
        let belongs = actor != subject && shown.session == held.session;
        if !belongs || shown.holder != request.holder || !self.is_good(actor) {
            request.wrong.insert("invalid_request");
        }
        request.bounds.push(shown.expires);
    }

    /// The client's proof beside a subject's token: its secret, or its platform's token. Answers with what
    /// is found out only when it is claimed. A job whose platform gives it one token needs it for its
    /// further hops: in the session that it opened it proves the client again.
    fn beside(
        &self,
        proof: Option<usize>,
        who: App,
        session: Option<usize>,
        request: &mut Request,
    ) -> BTreeSet<&'static str> {
        let Some(proof) = proof else {
            if self.is_nobody(who) {
                request.wrong.insert("invalid_client");
            }
            return BTreeSet::new();
        };
        self.judge_proof(proof, "invalid_client", &mut request.wrong);
        request.rules.insert(self.proofs[proof].whose.rule());
        request.bounds.push(self.proofs[proof].expires);
        let own = session.is_some() && self.proofs[proof].session == session;
        let spent = self.proofs[proof].spent && !own;
        if spent { ["invalid_client"].into() } else { BTreeSet::new() }
    }

    /// A proof is spent before the session is asked, and stays spent if that refuses.
    fn spend(&mut self, proof: Option<usize>, request: &Request) {
        if let Some(proof) = proof.filter(|_| request.wrong.is_empty()) {
            let proof = &mut self.proofs[proof];
            proof.spent = proof.whose.is_single_use();
        }
    }

    /// Scopes: those asked for, or what every hop above had there, or the resource's own; never beyond
    /// either, nor beyond what the task is for.
    pub(super) fn narrow(&self, request: &mut Request, bounded: bool) {
        let target = request.target;
        let above = request.parent.into_iter().flat_map(|parent| self.path(parent));
        let had = above.filter(|hop| hop.target == target && target != Target::Itself);
        let ceiling = had.map(|hop| hop.scopes.clone()).reduce(|all, hop| &all & &hop);
        let asked = match (request.scopes, &ceiling) {
            (Some(bits), _) => target.asked(bits),
            (None, Some(ceiling)) => ceiling.clone(),
            (None, None) => target.usual(),
        };
        let beyond = ceiling.is_some_and(|ceiling| !asked.is_subset(&ceiling));
        if beyond || !asked.is_subset(&target.defined()) {
            request.wrong.insert("invalid_scope");
        }
        if asked.is_empty() && !target.defined().is_empty() {
            request.wrong.insert("invalid_scope");
        }
        if bounded && !matches!(target, Target::Itself | Target::Files) {
            request.wrong.insert("invalid_target");
        }
        request.granted = asked;
    }

    /// Issues what is asked for, if nothing is wrong with it.
    pub(super) fn decide(
        &mut self,
        request: Request,
        late: &BTreeSet<&'static str>,
        session: impl FnOnce(&mut Self) -> usize,
    ) -> Expected {
        if !request.wrong.is_empty() || !late.is_empty() {
            return Expected::Refused(&request.wrong | late);
        }
        let session = session(self);
        self.sessions[session].active = self.now;
        let ends = request.bounds.iter().copied().min().unwrap_or(i64::MAX);
        let token = Token {
            session,
            parent: request.parent,
            subject: request.subject,
            holder: request.holder,
            actors: request.actors,
            target: request.target,
            scopes: request.granted,
            expires: ends.min(self.now + self.lifetimes.of(request.target)),
            rules: request.rules,
            decided: self.measures,
            revoked: false,
        };
        self.tokens.push(token.clone());
        Expected::Issued(Box::new(token), None)
    }
}

impl Request {
    pub(super) fn of(subject: Subject, holder: App, target: Target, scopes: Option<u8>) -> Self {
        Self {
            subject,
            holder,
            actors: Vec::new(),
            parent: None,
            rules: BTreeSet::new(),
            target,
            scopes,
            granted: BTreeSet::new(),
            bounds: Vec::new(),
            wrong: BTreeSet::new(),
        }
    }
}

/// The end of the hour in which a session ends by itself. What begins, begins with an hour.
fn hour_end(ends: i64) -> i64 {
    (ends / 3_600 + 1) * 3_600
}
