//! The start and the end of the program. `server` does the work.

use serve::{Admin, Checks, Readiness, StopSignals};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::publish::Publisher;
use crate::server::PresetServer;

/// Runs the program until SIGTERM or SIGINT.
///
/// # Errors
/// The hub, a certificate or the way to the API server cannot be used, an address cannot be bound, or a server fails.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let _guard = telemetry::init(&args.telemetry, "preset-registry")?;
    // Probes and metrics are served until the last RPC has ended.
    let (stop, stopped) = (CancellationToken::new(), CancellationToken::new());
    let signals = StopSignals::listen()?;
    let (metrics, readiness) = (Metrics::new(), Readiness::new());
    let gate = readiness.gate("grpc");
    let encode = metrics.clone();
    let admin = Admin::new(readiness, Checks::new(), move || encode.encode());
    let server = PresetServer::prepare(args.server_options(), &metrics).await?;
    let publisher = publisher(&args, &server, &metrics).await?;
    let grpc_listener = serve::bind(args.grpc_bind_address).await?;
    let admin_listeners = args.admin.bind().await?;
    let grpc = async {
        server.serve(grpc_listener, &gate, stop.clone()).await?;
        stopped.cancel();
        Ok(())
    };
    tokio::try_join!(
        grpc,
        admin.serve(admin_listeners, stopped.clone()),
        stop_on(signals, &stop, &stopped),
        publish(publisher, &stopped),
    )?;
    Ok(())
}

/// The publisher of the catalog, if one is configured.
async fn publisher(
    args: &Args,
    server: &PresetServer,
    metrics: &Metrics,
) -> anyhow::Result<Option<Publisher>> {
    let Some(options) = args.publish_options() else {
        return Ok(None);
    };
    operator_runtime::install_tls_provider();
    let client =
        operator_runtime::connect(&args.client, "preset-registry", env!("CARGO_PKG_VERSION")).await?;
    Ok(Some(server.publisher(options, client, metrics)))
}

/// Publishes until the program ends.
async fn publish(publisher: Option<Publisher>, stopped: &CancellationToken) -> anyhow::Result<()> {
    let Some(publisher) = publisher else {
        return Ok(());
    };
    tokio::select! {
        () = publisher.follow() => Ok(()),
        () = stopped.cancelled() => Ok(()),
    }
}

/// Cancels `stop` at the first signal. Returns then, or when the server ends without one.
async fn stop_on(
    signals: StopSignals,
    stop: &CancellationToken,
    stopped: &CancellationToken,
) -> anyhow::Result<()> {
    tokio::select! {
        signal = signals.first() => tracing::info!(signal, "stopping"),
        () = stopped.cancelled() => return Ok(()),
    }
    stop.cancel();
    Ok(())
}
