//! What traces are played on: the core in process, or a target that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use writ_core::active::Snapshot;
use writ_core::deployment::Deployment;
use writ_core::http::Request;
use writ_core::operator::Step;
use writ_core::principals;
use writ_core::publish;

use crate::client::Answer;
use crate::memory::Memory;
use crate::model::acts::{Measure, Whom};
use crate::model::lifetimes::Lifetimes;
use crate::operator;
use crate::planted::{Bug, Planted};
use crate::running::{Running, target};
use crate::server::Server;
use crate::store::Sessions;
use crate::target::clock;
use crate::world::{BEGINNING, World, block_on, moment};
use crate::zones::{Places, Zone};

/// A deployment on which traces are played one after the other. Each begins with nobody disabled, and with
/// nothing that an earlier one left. Several stages may be of one target that runs: no person and no task
/// of a trace is another trace's.
pub struct Stage {
    service: Service,
    pub(super) beginning: i64,
    /// The trace's number, of all in this process.
    pub(super) number: usize,
    pub(super) disabled: BTreeSet<Whom>,
    /// What the model takes the zone to say of time.
    pub lifetimes: Lifetimes,
    /// For how long a trace waits at most, all in all, where time is time.
    pub(super) waits_secs: i64,
    /// How many acts were played, and what came of them.
    pub played: BTreeMap<&'static str, usize>,
}

/// What plays.
enum Service {
    /// Two instances of the core in process, on one store; time is a value.
    InProcess(Box<InProcess>),
    /// A target that runs; time is time.
    Running(Arc<Running>),
}

struct InProcess {
    world: World,
    instances: [Memory; 2],
    bug: Option<Bug>,
}

impl Stage {
    /// The core in process, and what is wrong with its hosts. The zone is compiled once.
    #[must_use]
    pub fn new(lifetimes: Lifetimes, bug: Option<Bug>) -> Self {
        let places = Places::in_process();
        let world = World::with(zone(&lifetimes, &places), places);
        let instances = [world.host.sibling(), world.host.sibling()];
        let core = InProcess { world, instances, bug };
        Self::with(Service::InProcess(Box::new(core)), lifetimes, 0)
    }

    /// A target that runs with the zone [`Lifetimes::BRIEF`], where no trace waits for longer than this.
    #[must_use]
    pub fn running(running: Arc<Running>, waits_secs: i64) -> Self {
        Self::with(Service::Running(running), Lifetimes::BRIEF, waits_secs)
    }

    fn with(service: Service, lifetimes: Lifetimes, waits_secs: i64) -> Self {
        let (disabled, played) = (BTreeSet::new(), BTreeMap::new());
        let (beginning, number) = (BEGINNING, next_number());
        Self { service, beginning, number, disabled, lifetimes, waits_secs, played }
    }

    /// Leaves nothing of the trace before.
    pub(super) fn clear(&mut self) {
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
                    let step = self.measure(Measure::Enable, *whom);
                    let request = operator::request(&running.told, &step, clock());
                    assert_eq!(running.send(&request).status, 200);
                }
                if !self.disabled.is_empty() {
                    sleep(KNOWN);
                }
                self.beginning = clock();
            }
        }
        self.number = next_number();
    }

    /// A person of this trace.
    pub(super) fn person(&self, person: u8) -> String {
        format!("p{}-{person}", self.number)
    }

    /// The person's identifier here.
    pub(super) fn user(&self, person: u8) -> String {
        format!("user:idp:{}", self.person(person))
    }

    /// The operator's request for a measure.
    pub(super) fn measure(&self, measure: Measure, whom: Whom) -> Step {
        let measure = match measure {
            Measure::Disable => principals::Measure::Disable,
            Measure::Enable => principals::Measure::Enable,
            Measure::CutOff => principals::Measure::CutOff,
        };
        let whom = match whom {
            Whom::User(person) => principals::Whom::User(self.user(person)),
            Whom::App(app) => principals::Whom::Application(app.id().to_owned()),
            Whom::Rule(rule) => principals::Whom::Rule(rule.id().to_owned()),
        };
        Step::measure(measure, &whom)
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
            Service::Running(running) => {
                let alone = Arc::get_mut(running).expect("traces that restart are played alone");
                alone.restart();
            }
        }
    }

    pub(super) const fn is_running(&self) -> bool {
        matches!(self.service, Service::Running(_))
    }
}

/// The target that `WRIT_TARGET` names, or the native one: two instances with the zone
/// [`Lifetimes::BRIEF`].
#[must_use]
pub fn brief() -> Running {
    let server = Server::start();
    let places = Places::running(&server);
    let zone = zone(&Lifetimes::BRIEF, &places);
    Running::of(&target(), zone, places, server, &[("WRIT_INSTANCES", "2")])
}

/// The zone `plain` with these lifetimes.
fn zone(lifetimes: &Lifetimes, places: &Places) -> Zone {
    let Lifetimes { session_secs, idle_secs, token_secs, quick_secs, refresh_secs, .. } = lifetimes;
    let idle = idle_secs.map(|secs| format!("idle_secs = {secs}\n")).unwrap_or_default();
    Zone::load("plain", places)
        .with("session_secs = 3600\n", &format!("session_secs = {session_secs}\n{idle}"))
        .with("token_secs = 30\n", &format!("token_secs = {quick_secs}\n"))
        .with("token_secs = 300\n", &format!("token_secs = {token_secs}\n"))
        .with("refresh_secs = 600\n", &format!("refresh_secs = {refresh_secs}\n"))
}

fn next_number() -> usize {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// Longer than anything lives.
const BETWEEN_SECS: i64 = 100_000;
/// After so long an instance looks whether its zone changed before it answers.
pub(super) const KNOWN: Duration = Duration::from_millis(2_200);
