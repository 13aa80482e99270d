//! From a name to the addresses that may be connected to.

use std::io;
use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::Reach;

/// Resolves names and drops the addresses that are out of reach. The connection is made to what this
/// returns, without another look-up.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    pub(super) names: Names,
    pub(super) reach: Reach,
}

/// Where names come from.
#[derive(Clone, Debug)]
pub(super) enum Names {
    /// The system's resolver.
    System,
    /// Answers in turn, the last one over and over, and how often was asked.
    #[cfg(test)]
    Script(std::sync::Arc<(Vec<IpAddr>, std::sync::atomic::AtomicUsize)>),
}

impl Names {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        match self {
            Self::System => {
                let found = tokio::net::lookup_host((name, 0)).await?;
                Ok(found.map(|address| address.ip()).collect())
            }
            #[cfg(test)]
            Self::Script(script) => {
                let turn = script.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                Ok(script.0.get(turn).or(script.0.last()).copied().into_iter().collect())
            }
        }
    }
}

impl Resolver {
    pub(super) async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let found = self.names.addresses(name).await?;
        // Port 0 leaves the port to the URL.
        let allowed: Vec<_> = found
            .into_iter()
            .filter(|ip| self.reach.allows(*ip))
            .map(|ip| SocketAddr::new(ip, 0))
            .collect();
        if allowed.is_empty() {
            let which = match self.reach {
                Reach::Public => "public",
                Reach::Loopback => "loopback",
            };
            return Err(io::Error::other(format!("`{name}` has no {which} address")));
        }
        Ok(allowed)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses: Addrs = Box::new(resolver.lookup(name.as_str()).await?.into_iter());
            Ok(addresses)
        })
    }
}
