//! What schedules run on: two instances of one deployment, over a store that is put back as it was
//! before each.

use writ_core::http::Request;

use super::invariants::{Role, check};
use super::{Racer, Ran, Random, Trouble, run};
use crate::client::Answer;
use crate::forms::{ASSISTANT, FILES_API, post};
use crate::memory::Memory;
use crate::planted::Bug;
use crate::store::Sessions;
use crate::target::get;
use crate::world::{BEGINNING, World, block_on, moment};

/// A deployment of the zone `plain`, compiled once.
pub struct Scene {
    /// The deployment.
    pub world: World,
    /// Its instances.
    pub instances: [Memory; 2],
    saved: Sessions,
}

/// Who runs, and what each is after.
#[derive(Default)]
pub struct Cast {
    /// The requests.
    pub requests: Vec<(Request, &'static str)>,
    /// What each is after.
    pub roles: Vec<Role>,
}

impl Cast {
    /// Adds a racer that shows its proof in `slot`, where it has one.
    pub fn add(&mut self, role: Role, slot: &'static str, request: Request) {
        self.requests.push((request, slot));
        self.roles.push(role);
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::of(World::new("plain"))
    }
}

impl Scene {
    /// Two instances of a world's deployment.
    #[must_use]
    pub fn of(world: World) -> Self {
        let instances = [world.host.sibling(), world.host.sibling()];
        Self { world, instances, saved: Sessions::default() }
    }

    /// Takes the sessions that there are now for those that every schedule begins with.
    pub fn save(&mut self) {
        self.saved = self.world.host.store.sessions();
    }

    /// Puts the sessions back, and has both instances read the zone at `now`.
    pub fn restore(&self, now: i64) {
        self.world.host.store.restore(&self.saved);
        for host in &self.instances {
            assert_eq!(self.send(host, get("/readyz"), now).status, 200);
        }
    }

    /// Has an instance answer a request, alone.
    pub fn send(&self, host: &Memory, request: Request, now: i64) -> Answer {
        let deployment = &self.world.deployment;
        let answer = block_on(writ_core::handle(host, deployment, moment(now), request)).into();
        host.take_events();
        answer
    }

    /// Runs a cast to its end and holds what came of it against the invariants.
    ///
    /// # Errors
    ///
    /// What does not hold.
    pub fn run(
        &self,
        cast: &Cast,
        now: i64,
        random: &mut Random,
        bug: Option<Bug>,
    ) -> Result<Ran, String> {
        // Half of the schedules are without faults, in the others one call in eight or in three fails.
        let faults_in = random.one_of(&[0, 0, 8, 3]);
        let trouble = Trouble { faults_in, leaps: random.one_of(&[0, 0, 3]), bug };
        // As seen by the clocks of all: the zone as it was just read, one that is to be read again, one
        // that is too old to go on with.
        let now = now + random.one_of(&[0, 0, 2, 5]);
        let racers: Vec<Racer<'_>> = cast
            .requests
            .iter()
            .map(|(request, slot)| Racer {
                request: request.clone(),
                host: &self.instances[random.below(2)],
                slot,
            })
            .collect();
        let random = Random::of(random.number());
        let ran = run(&self.world.deployment, &racers, now, random, trouble);
        self.instances.iter().for_each(|host| drop(host.take_events()));
        check(&cast.roles, &ran, &self.world.host.store)?;
        Ok(ran)
    }

    /// Whether the owner of the files is told that a token is alive.
    pub fn is_active(&self, token: &str, now: i64) -> bool {
        let request = post("/oauth/introspect", FILES_API, &[("token", token)]);
        let answer = self.send(&self.instances[0], request, now);
        assert_eq!(answer.status, 200);
        answer.json().is_some_and(|body| body["active"] == true)
    }

    /// A token that the assistant has by its secret.
    pub fn open(&self, fields: &[(&str, &str)], now: i64) -> String {
        let fields = [&[("grant_type", "client_credentials")], fields].concat();
        self.token(post("/oauth/token", ASSISTANT, &fields), now)
    }

    /// The token that a request gets.
    pub fn token(&self, request: Request, now: i64) -> String {
        let answer = self.send(&self.instances[0], request, now);
        let body = answer.json().unwrap_or_default();
        body["access_token"].as_str().unwrap_or_else(|| panic!("no token: {body}")).to_owned()
    }
}

/// When the schedules begin.
pub const START: i64 = BEGINNING;

/// An exchange of a token of ours by the assistant.
#[must_use]
pub fn exchange(token: &str, target: (&str, &str)) -> Request {
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        target,
    ];
    post("/oauth/token", ASSISTANT, &fields)
}
