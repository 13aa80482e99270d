//! `writ serve`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use writ_core::active;
use writ_core::bundle::Bundle;
use writ_core::deployment::{Deployment, ISSUER, OPERATOR_KEY, ZONE};
use writ_core::publish;
use writ_process::{log, moment};

use super::{DataArguments, Failure, open, shown};
use crate::host::{Instance, Native};
use crate::server;
use crate::store::SWEEP_ROWS;

/// Run the service
///
/// Compiles the zone, makes it the active one, creates a signing key where there is none, and
/// answers HTTP until SIGTERM or SIGINT. Put a proxy that speaks TLS in front.
///
/// Without `--zone`, it serves the zone that `--zone-name` and `--issuer` name, and answers 503 until
/// `writ publish` has brought it a bundle.
///
/// Events go to stdout and operational messages to stderr, one JSON object a line.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    /// Directory with `zone.toml` and `policies/*.cedar`
    #[arg(long, value_name = "DIR", required_unless_present = "zone_name")]
    zone: Option<PathBuf>,

    /// Without `--zone`: the name of the zone to serve
    #[arg(long, value_name = "NAME", env = ZONE, requires = "issuer")]
    zone_name: Option<String>,

    /// Without `--zone`: the zone's issuer, a bare origin
    #[arg(long, value_name = "URL", env = ISSUER)]
    issuer: Option<String>,

    /// The public key, a JWK, whose owner may change the zone over HTTP: what `writ operator new`
    /// prints. Without one, nobody may
    #[arg(long, value_name = "JWK", env = OPERATOR_KEY)]
    operator_key: Option<String>,

    #[command(flatten)]
    data: DataArguments,

    /// Address and port; port 0 takes a free one, which the first message on stderr names
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
}

pub(super) fn run(command: &Serve) -> Result<ExitCode, Failure> {
    let bundle = command.zone.as_deref().map(open::sound_zone).transpose()?;
    let deployment = deployment(command, bundle.as_ref())?;
    open::runtime()?.block_on(async {
        // Before anything is changed: a service that cannot listen must not be what activates a
        // bundle or a key for the one that does. Whoever connects already waits a moment.
        let listen = command.listen;
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            Failure(format!(
                "{listen} cannot be listened on ({error}): name another with `--listen`"
            ))
        })?;
        let instance = open::instance(&command.data, io::stdout())?;
        open::try_keys(&instance, &deployment.zone).await?;
        if let Some(bundle) = &bundle {
            let host = Native::new(Arc::clone(&instance));
            publish::activate(&host, bundle, &open::draw()?).await.map_err(open::unavailable)?;
        }
        let address = listener.local_addr()?;
        let host = Native::new(Arc::clone(&instance));
        let (snapshot, _) =
            active::snapshot(&host, &deployment.zone).await.map_err(open::unavailable)?;
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        log::info(
            &format!("listening on http://{address}"),
            &[
                ("zone", deployment.zone.clone().into()),
                ("issuer", deployment.issuer.clone().into()),
                ("bundle", snapshot.bundle.into()),
                ("seq", snapshot.seq.into()),
                ("data", shown(&command.data.directory).to_string().into()),
            ],
        );
        let sweeper = tokio::spawn(sweep(Arc::clone(&instance)));
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            log::info("stopping", &[]);
        };
        let finished =
            server::serve(listener, Arc::clone(&instance), Arc::new(deployment), stop).await;
        sweeper.abort();
        close(&instance, finished).await;
        Ok(ExitCode::SUCCESS)
    })
}

/// The zone to serve: that of the bundle, or the one named.
fn deployment(command: &Serve, bundle: Option<&Bundle>) -> Result<Deployment, Failure> {
    Deployment::read(|name| match (name, bundle) {
        (ZONE, Some(bundle)) => Some(bundle.zone.clone()),
        (ZONE, None) => command.zone_name.clone(),
        (ISSUER, Some(bundle)) => Some(bundle.issuer.clone()),
        (ISSUER, None) => command.issuer.clone(),
        (OPERATOR_KEY, _) => command.operator_key.clone(),
        _ => None,
    })
    .map_err(|wrong| Failure(wrong.join("; ")))
}

async fn close(instance: &Arc<Instance>, finished: bool) {
    if !finished {
        log::warn("some requests did not end in time", &[]);
    }
    if let Err(error) = instance.store().close().await {
        log::warn("the store did not close in time", &[("error", error.0.into())]);
    }
    // It blocks, and nothing else is left to run.
    instance.events().flush();
    log::info("stopped", &[]);
}

/// Deletes what expired long ago: a little at a time, and faster where there is much.
async fn sweep(instance: Arc<Instance>) {
    loop {
        let pause = match instance.store().sweep(moment::now()).await {
            Ok(rows) if rows >= SWEEP_ROWS => SWEEP_BUSY,
            Ok(_) => SWEEP_IDLE,
            Err(error) => {
                log::warn("expired records were not deleted", &[("error", error.0.into())]);
                SWEEP_IDLE
            }
        };
        sleep(pause).await;
    }
}

/// The pause between two sweeps where nothing is left to delete.
const SWEEP_IDLE: Duration = Duration::from_secs(10);
/// The pause where more is left: 20,000 rows a second at most, while batches go on in between.
const SWEEP_BUSY: Duration = Duration::from_millis(50);
