//! The story: who asks for what, and how it must end. Everybody in it is in `examples/zone`.

use super::stage::Stage;
use super::step::Step;

mod agents;
mod refusals;
mod workloads;

/// The steps, in order. Later ones use tokens of earlier ones.
pub(super) const STEPS: [fn(&Stage) -> Step; 14] = [
    workloads::github,
    workloads::vercel,
    workloads::fly,
    workloads::aws,
    workloads::gcp,
    agents::for_a_user,
    agents::asks_another,
    agents::second_hop,
    agents::personal_data,
    refusals::replayed_assertion,
    refusals::replayed_client_assertion,
    refusals::replayed_subject_token,
    refusals::replayed_actor_token,
    refusals::stolen,
];

impl Stage {
    /// Where a platform hands out a token for `audience`.
    fn token_at(&self, id: &str, audience: &str) -> String {
        format!("{}/{id}/token?audience={audience}", self.cast.issuers)
    }

    /// Where a platform hands out a token for Writ.
    fn token_for_us(&self, id: &str) -> String {
        self.token_at(id, &self.cast.origin)
    }

    /// Where an application's next assertion comes from.
    fn assertion(&self, id: &str) -> String {
        format!("{}/{id}/assertion", self.cast.issuers)
    }
}

const CLIENT_CREDENTIALS: &str = "client_credentials";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const BY_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
