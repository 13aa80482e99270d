//! How often an exchange asks its host, counted in process: the core is the same on every target, so
//! the calls of the port are.

use serde::Serialize;
use writ_core::http::Request;
use writ_tests::faults::Call;
use writ_tests::memory::Memory;
use writ_tests::world::{BEGINNING, World};
use writ_tests::zones::Places;

use crate::zone::{self, Size};

/// The calls of one exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Calls {
    /// Batches committed to a partition.
    pub(crate) commits: usize,
    /// Strong reads of a partition.
    pub(crate) reads: usize,
    /// Looks for a published copy, near and possibly old.
    pub(crate) copies: usize,
    /// Copies that were published.
    pub(crate) published: usize,
    /// Documents fetched from elsewhere.
    pub(crate) fetches: usize,
}

/// The calls of an exchange on a host that has seen the zone, and on one that remembers nothing but
/// finds every published copy: what each request is to a Spin component, and the first to any other.
///
/// # Panics
///
/// Where an exchange comes to nothing.
#[must_use]
pub(crate) fn counted() -> (Calls, Calls) {
    let places = Places::in_process();
    let world = World::with(zone::zone(Size::BASE, &places), places);
    let exchange = |world: &World, person| {
        world.host.faults.clear();
        let answer = world.send(request(person), BEGINNING);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        Calls::of(&world.host)
    };
    exchange(&world, 0);
    (exchange(&world, 1), exchange(&world.sibling(), 2))
}

impl Calls {
    fn of(host: &Memory) -> Self {
        let made = |call| host.faults.made(call);
        Self {
            commits: made(Call::Commit),
            reads: made(Call::Read),
            copies: made(Call::Published),
            published: made(Call::Publish),
            fetches: made(Call::Fetch),
        }
    }
}

fn request(person: usize) -> Request {
    let form = "application/x-www-form-urlencoded".to_owned();
    Request {
        method: "POST".to_owned(),
        path: "/oauth/token".to_owned(),
        headers: vec![("content-type".to_owned(), form)],
        body: zone::form(person, BEGINNING).into_bytes(),
        ..Request::default()
    }
}
