//! Refresh tokens, as they are meant: each is good once, its successor comes with what it got, a lost
//! answer may be asked for again, and any other use of a spent one ends all that came of the first token.

use std::collections::BTreeSet;

use super::acts::{App, Target};
use super::issue::Request;
use super::{Expected, LATE_SECS, MARGIN_SECS, Model, Subject, Token};

/// A refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// Whose successor it is, or comes before: those of one first token.
    pub family: usize,
    /// Its place among them; the first is 1.
    pub number: u64,
    /// When it is over, unused.
    pub expires: i64,
}

/// The refresh tokens of one first token.
#[derive(Clone, Debug)]
pub(super) struct Family {
    root: usize,
    last: u64,
    turned: i64,
}

impl Model {
    /// The refresh token that comes with the last token issued, which opened a person's session by a
    /// secret.
    pub(super) fn begin_family(&mut self) -> Option<Refresh> {
        let root = self.tokens.len() - 1;
        let token = &self.tokens[root];
        let person = matches!(token.subject, Subject::User(_));
        let outlasts = self.sessions[token.session].ends > token.expires;
        if !person || token.holder != App::Assistant || !outlasts {
            return None;
        }
        self.families.push(Family { root, last: 1, turned: self.now });
        Some(self.give(self.families.len() - 1))
    }

    /// The last refresh token of a family, which may have been given before.
    fn give(&mut self, family: usize) -> Refresh {
        let Family { root, last, turned } = self.families[family];
        let ends = self.sessions[self.tokens[root].session].ends;
        let expires = ends.min(turned + self.lifetimes.refresh_secs);
        let refresh = Refresh { family, number: last, expires };
        self.refreshes.push(refresh);
        refresh
    }

    /// The refresh token that an act means, of those that there are.
    pub fn refresh_token(&self, number: usize) -> Option<usize> {
        (!self.refreshes.is_empty()).then(|| number % self.refreshes.len())
    }

    /// Whose a refresh token is.
    pub fn refresher(&self, refresh: usize) -> App {
        self.tokens[self.root(refresh)].holder
    }

    /// What a refresh token is for.
    pub fn refreshed(&self, refresh: usize) -> Target {
        self.tokens[self.root(refresh)].target
    }

    fn root(&self, refresh: usize) -> usize {
        self.families[self.refreshes[refresh].family].root
    }

    pub(super) fn refresh(&mut self, refresh: usize, by: App, scopes: Option<u8>) -> Expected {
        let Refresh { family, number, expires } = self.refreshes[refresh];
        let root = self.root(refresh);
        let first: Token = self.tokens[root].clone();
        let mut request = Request::of(first.subject, first.holder, first.target, scopes);
        request.actors.clone_from(&first.actors);
        request.parent = Some(root);
        request.bounds.push(self.sessions[first.session].ends);
        if self.is_nobody(by) {
            request.wrong.insert("invalid_client");
        }
        if by != first.holder || self.now >= expires || self.is_dead(root) {
            request.wrong.insert("invalid_grant");
        }
        self.narrow(&mut request, self.sessions[first.session].bounded);
        let mut late = BTreeSet::new();
        if self.is_stopped(root, LATE_SECS) {
            late.insert("invalid_grant");
        }
        let Family { last, turned, .. } = self.families[family];
        if request.wrong.is_empty() && late.is_empty() {
            let again = number + 1 == last && self.now - turned <= self.lifetimes.grace_secs;
            if number == last {
                self.families[family].last += 1;
                self.families[family].turned = self.now;
            } else if !again {
                self.tokens[root].revoked = true;
                late.insert("invalid_grant");
            }
        }
        match self.decide(request, &late, |_| first.session) {
            Expected::Issued(token, _) => {
                let given = self.give(family);
                Expected::Issued(token, Some(given))
            }
            refused => refused,
        }
    }

    /// A refresh token is given back, and with it all that came of the first token.
    pub(super) fn give_back(&mut self, refresh: usize, by: App) -> Expected {
        let root = self.root(refresh);
        let ends = self.sessions[self.tokens[root].session].ends;
        self.revoke_hop(root, ends, by)
    }

    /// A hop is revoked by a token whose effects end at `ends`.
    pub(super) fn revoke_hop(&mut self, token: usize, ends: i64, by: App) -> Expected {
        if self.is_nobody(by) {
            return Expected::Refused(["invalid_client"].into());
        }
        let now = self.now;
        let token = &mut self.tokens[token];
        let held = token.holder == by;
        // A token that is over for a little while is revoked all the same: clocks differ, and what was
        // refreshed may outlive the first token.
        if held && now < ends + MARGIN_SECS {
            token.revoked = true;
        }
        if now >= ends {
            return Expected::DoneOr("invalid_request");
        }
        if held { Expected::Done } else { Expected::Refused(["invalid_request"].into()) }
    }

    /// When refresh tokens are over, or are not given again.
    pub(super) fn refresh_ends(&self) -> impl Iterator<Item = i64> {
        let unused = self.refreshes.iter().map(|refresh| refresh.expires);
        let grace = self.lifetimes.grace_secs;
        unused.chain(self.families.iter().map(move |family| family.turned + grace))
    }
}
