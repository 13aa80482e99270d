//! `writ demo`.

use std::future::Future;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use writ_core::deployment::Deployment;
use writ_core::publish;

use super::{Failure, Format, open};
use crate::demo::print::Print;
use crate::demo::tape::{Recorder, Tape, tape};
use crate::demo::{self, Cast, DemoError, Stage};
use crate::events::Events;
use crate::host::{Instance, Native};
use crate::server;
use crate::store::{Store, StoreOptions};
use crate::wrapping::{self, Absent};

/// See it work: every kind of caller, on this machine alone
///
/// Runs the service on a store in a temporary folder, beside issuers on loopback that sign as
/// GitHub, Vercel, Fly.io, AWS, Google Cloud and Okta would, with the zone of examples/zone. Then it
/// plays a story in steps: workloads and agents get their tokens, and what must be refused is
/// refused. Each step shows the request as `curl` commands, the decision, and the token.
///
/// Afterwards it stays up, so that the commands can be pasted, until Ctrl-C. Nothing is left behind,
/// and nothing outside of this machine is asked.
///
/// Exits with 0 where every step went as told, and with 1 otherwise.
#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Exit after the last step
    #[arg(long)]
    once: bool,

    /// Loopback address and port of the service; by default port 8787, or a free one
    ///
    /// Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,

    /// How to print the steps; as JSON they are one object a line
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(command: &Demo) -> Result<ExitCode, Failure> {
    open::runtime()?.block_on(async {
        let stop = stop()?;
        let folder = tempfile::Builder::new().prefix("writ-demo-").tempdir()?;
        let (recorder, tape) = tape();
        let instance = instance(folder.path(), recorder)?;
        let ended = perform(command, folder.path(), &instance, tape, stop).await;
        instance.store().close().await.map_err(open::unavailable)?;
        folder.close()?;
        ended
    })
}

/// Plays it all. When this returns, nothing is being answered any more.
async fn perform(
    command: &Demo,
    data: &Path,
    instance: &Arc<Instance>,
    tape: Tape,
    stop: impl Future<Output = ()>,
) -> Result<ExitCode, Failure> {
    let listener = listen(command.listen).await?;
    let issuers = free_or_any(ISSUERS_PORT).await?;
    let at = |address: SocketAddr| format!("http://{address}");
    let (origin, base) = (at(listener.local_addr()?), at(issuers.local_addr()?));
    let cast = tokio::task::spawn_blocking(move || Cast::assemble(origin, base)).await??;
    let cast = Arc::new(cast);
    let host = Native::new(Arc::clone(instance));
    publish::activate(&host, &cast.bundle, &open::draw()?).await.map_err(open::unavailable)?;
    let platforms = tokio::spawn(demo::issuer::serve(issuers, Arc::clone(&cast)));
    let (close, closed) = oneshot::channel::<()>();
    let service = tokio::spawn(server::serve(
        listener,
        Arc::clone(instance),
        Arc::new(Deployment {
            zone: cast.bundle.zone.clone(),
            issuer: cast.bundle.issuer.clone(),
            operator: None,
        }),
        async { drop(closed.await) },
    ));
    let mut print = Print::to_stdout(command.format == Format::Json);
    print.intro(&cast, data, !command.once);
    let mut verdict = None;
    let performance = async {
        let mut stage = Stage::open(cast, tape, print).await?;
        verdict = Some(stage.play().await?);
        if !command.once {
            stage.stay().await;
        }
        Ok(())
    };
    let ended: Result<(), DemoError> = tokio::select! {
        ended = performance => ended,
        () = stop => Ok(()),
    };
    drop(close);
    let _ = service.await;
    platforms.abort();
    ended?;
    Ok(exit_code(verdict))
}

/// What the process ends with; there is no verdict where it was interrupted before the last step.
fn exit_code(verdict: Option<bool>) -> ExitCode {
    match verdict {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => ExitCode::from(INTERRUPTED),
    }
}

/// Ready when somebody wants this to end.
fn stop() -> Result<impl Future<Output = ()>, Failure> {
    let (mut terminate, mut interrupt, mut hangup) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// A store of its own, sealed with a key of its own, whatever the environment says.
fn instance(data: &Path, events: Recorder) -> Result<Arc<Instance>, Failure> {
    let store = Store::open(&StoreOptions { path: data.join("writ.db"), max_bytes: None })?;
    let wrapping = wrapping::load(data, None, Absent::Create)?;
    Ok(Instance::new(store, wrapping, Events::new(events)?))
}

/// Listens for the service.
async fn listen(wanted: Option<SocketAddr>) -> Result<TcpListener, Failure> {
    let Some(wanted) = wanted else { return free_or_any(PORT).await };
    if ![IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()].contains(&wanted.ip()) {
        let why = "anybody can have a token here, so it listens on 127.0.0.1 or [::1] alone";
        return Err(Failure(format!("{wanted} cannot be listened on: {why}")));
    }
    TcpListener::bind(wanted).await.map_err(|error| {
        Failure(format!("{wanted} cannot be listened on ({error}): name another with `--listen`"))
    })
}

/// Listens on a port of 127.0.0.1, or on another one where it is taken.
async fn free_or_any(port: u16) -> Result<TcpListener, Failure> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?)
        }
        bound => Ok(bound?),
    }
}

/// Where the service answers, as everywhere in the guides.
const PORT: u16 = 8787;
/// Where the issuers answer.
const ISSUERS_PORT: u16 = 8788;
/// What shells expect of a command that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_story_that_went_as_told_ends_well() {
        assert_eq!(exit_code(Some(true)), ExitCode::SUCCESS);
        assert_eq!(exit_code(Some(false)), ExitCode::FAILURE);
        assert_ne!(exit_code(None), ExitCode::SUCCESS);
    }

    #[tokio::test]
    async fn only_this_machine_is_let_in() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            let refused = listen(Some(address.parse().unwrap())).await.unwrap_err();
            assert!(refused.0.contains("127.0.0.1"), "{}", refused.0);
        }
        assert!(listen(Some("127.0.0.1:0".parse().unwrap())).await.is_ok());
    }
}
