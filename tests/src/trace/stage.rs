//! What traces are played on: the core in process, or a target that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use writ_core::active::Snapshot;
use writ_core::deployment::Deployment;
use writ_core::host::Range;
use writ_core::http::Request;
use writ_core::operator::Step;
use writ_core::principals;
use writ_core::publish;
use writ_core::session::partition;

use super::user;
use crate::client::Answer;
use crate::memory::Memory;
use crate::model::acts::{Measure, Whom};
use crate::operator;
use crate::planted::{Bug, Planted};
use crate::running::Running;
use crate::store::Sessions;
use crate::target::clock;
use crate::world::{BEGINNING, World, block_on, moment};

/// A deployment on which traces are played one after the other. Each begins with nobody disabled, and with
/// nothing that an earlier one left.
pub struct Stage {
    service: Service,
    pub(super) beginning: i64,
    pub(super) number: usize,
    pub(super) disabled: BTreeSet<Whom>,
    /// The zone's idle limit.
    pub(super) idle: Option<i64>,
    /// How many acts were played, and what came of them.
    pub played: BTreeMap<&'static str, usize>,
}

/// What plays.
enum Service {
    /// Two instances of the core in process, on one store; time is a value.
    InProcess(Box<InProcess>),
    /// A target that runs; time is time.
    Running(Box<Running>),
}

struct InProcess {
    world: World,
    instances: [Memory; 2],
    bug: Option<Bug>,
}

impl Stage {
    /// The core in process, and what is wrong with its hosts. The zone is compiled once.
    #[must_use]
    pub fn new(bug: Option<Bug>) -> Self {
        Self::of(World::new("plain"), bug)
    }

    /// As [`Stage::new`], where a session is over after so many seconds without a hop.
    #[must_use]
    pub fn idle(secs: i64, bug: Option<Bug>) -> Self {
        Self { idle: Some(secs), ..Self::of(World::idle(secs), bug) }
    }

    fn of(world: World, bug: Option<Bug>) -> Self {
        let instances = [world.host.sibling(), world.host.sibling()];
        Self::with(Service::InProcess(Box::new(InProcess { world, instances, bug })))
    }

    /// A target that runs with the zone `plain`.
    #[must_use]
    pub fn running(running: Running) -> Self {
        Self::with(Service::Running(Box::new(running)))
    }

    fn with(service: Service) -> Self {
        let (disabled, played) = (BTreeSet::new(), BTreeMap::new());
        Self { service, beginning: BEGINNING, number: 0, disabled, idle: None, played }
    }

    /// Leaves nothing of the trace before.
    pub(super) fn clear(&mut self) {
        self.number += 1;
        match &self.service {
            Service::InProcess(core) => {
                self.beginning += BETWEEN_SECS;
                core.world.host.store.restore(&Sessions::default());
                let moment = moment(self.beginning);
                let changed = publish::change(
                    &*core.world.host,
                    &core.world.deployment.zone,
                    &moment,
                    "clear",
                    |snapshot: &mut Snapshot| {
                        snapshot.disabled.clear();
                        snapshot.cut_offs.clear();
                        Ok(Some(Vec::new()))
                    },
                );
                block_on(changed).expect("a zone that changes");
            }
            Service::Running(running) => {
                for whom in &self.disabled {
                    let step = measure_step(Measure::Enable, *whom);
                    let request = operator::request(&running.told, &step, clock());
                    assert_eq!(running.send(&request).status, 200);
                }
                if !self.disabled.is_empty() {
                    sleep(KNOWN);
                }
                self.beginning = clock();
            }
        }
    }

    /// What the deployment was told of itself.
    pub(super) fn told(&self) -> &Deployment {
        match &self.service {
            Service::InProcess(core) => &core.world.deployment,
            Service::Running(running) => &running.told,
        }
    }

    pub(super) fn sign(&self, description: Value, now: i64) -> String {
        match &self.service {
            Service::InProcess(core) => core.world.sign(description, now),
            Service::Running(running) => running.sign(description, now),
        }
    }

    /// Sends a request to the instances in turn.
    pub(super) fn send(&self, turn: usize, request: Request, now: i64) -> Answer {
        match &self.service {
            Service::InProcess(core) => {
                let host = &core.instances[turn % 2];
                let planted = Planted { host, bug: core.bug, slot: "any", turns: None };
                let (told, moment) = (&core.world.deployment, moment(now));
                let answer = block_on(writ_core::handle(&planted, told, moment, request)).into();
                host.take_events();
                answer
            }
            Service::Running(running) => running.send_to(turn % running.instances.len(), &request),
        }
    }

    /// The instance whose turn it is forgets everything; a target that runs starts anew.
    pub(super) fn restart(&mut self, turn: usize) {
        match &mut self.service {
            Service::InProcess(core) => core.instances[turn % 2] = core.world.host.sibling(),
            Service::Running(running) => running.restart(),
        }
    }

    /// Whether the store has the record of a hop, as far as that can be seen.
    pub(super) fn has(&self, session: &str, hop: &str) -> bool {
        match &self.service {
            Service::InProcess(core) => {
                let place = partition(&core.world.deployment.zone, session);
                let found = core.world.host.store.read(&place, Range::of(hop));
                found.iter().any(|record| record.key == hop)
            }
            Service::Running(_) => true,
        }
    }

    pub(super) const fn is_running(&self) -> bool {
        matches!(self.service, Service::Running(_))
    }
}

/// Longer than anything lives.
const BETWEEN_SECS: i64 = 100_000;
/// After so long an instance looks whether its zone changed before it answers.
pub(super) const KNOWN: Duration = Duration::from_millis(2_200);
/// No wait of a trace takes longer on a target that runs.
pub(super) const WAIT_SECS: i64 = 2;

pub(super) fn measure_step(measure: Measure, whom: Whom) -> Step {
    let measure = match measure {
        Measure::Disable => principals::Measure::Disable,
        Measure::Enable => principals::Measure::Enable,
        Measure::CutOff => principals::Measure::CutOff,
    };
    let whom = match whom {
        Whom::User(person) => principals::Whom::User(user(person)),
        Whom::App(app) => principals::Whom::Application(app.id().to_owned()),
        Whom::Rule(rule) => principals::Whom::Rule(rule.id().to_owned()),
    };
    Step::measure(measure, &whom)
}
