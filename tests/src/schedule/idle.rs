//! Exchanges that meet the moment in which their session was idle for too long.

use writ_core::session::HOP;

use super::invariants::Role;
use super::scene::{Cast, START, Scene, exchange};
use super::{Ran, Random, Scenario};
use crate::forms::{ASSISTANT, post};
use crate::planted::Bug;
use crate::world::World;

/// A session that is idle.
pub struct Idle {
    token: String,
}

/// The zone's limit.
const LIMIT: i64 = 100;

impl Scenario for Idle {
    fn scene() -> Scene {
        Scene::of(World::idle(LIMIT))
    }

    fn begin(scene: &mut Scene) -> Self {
        let token = scene.open(&[("audience", "assistant")], START);
        scene.save();
        Self { token }
    }

    fn play(&self, scene: &Scene, seed: u64, bug: Option<Bug>) -> Result<Ran, String> {
        let mut random = Random::of(seed);
        let early = random.one_of(&[1, 2, 3, 3, 4, 4, 6, 7]);
        let now = START + LIMIT - early;
        scene.restore(now);
        let mut cast = Cast::default();
        for _ in 0..1 + random.below(2) {
            let target = ("resource", "https://files.example/api");
            cast.add(Role::Exchange, "", exchange(&self.token, target));
        }
        let first = cast.roles.len();
        for _ in 0..2 + random.below(2) {
            let ask = post("/oauth/introspect", ASSISTANT, &[("token", &self.token)]);
            cast.add(Role::Change, "", ask);
        }
        let ran = scene.run(&cast, now, &mut random, bug)?;
        let told = |who: &usize| {
            let body = ran.answers[*who].json().unwrap_or_default();
            ran.answers[*who].status == 200 && body["active"] == false
        };
        let over = (first..cast.roles.len()).filter(told).map(|who| ran.answered[who]).min();
        let hop = ran.written.iter().rfind(|written| {
            written.keys.iter().any(|key| key.starts_with(HOP))
                && over.is_some_and(|over| written.step > over)
        });
        match hop {
            None => Ok(ran),
            Some(hop) => Err(format!("a hop came at step {} after the session was over", hop.step)),
        }
    }
}
