//! The start and the end of the program. `server` does the work.

use serve::{Admin, Checks, Gate, Readiness, StopSignals};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::authority::Authority;
use crate::publish::Publisher;
use crate::server::{PresetServer, ServerOptions};

/// Runs the program until SIGTERM or SIGINT.
///
/// # Errors
/// A file of instance types has a problem. The hub, a certificate or the way to the API server cannot be used, an address cannot
/// be bound, or a server fails.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let _guard = telemetry::init(&args.telemetry, "preset-registry")?;
    args.check_access()?;
    if args.access.insecure {
        tracing::warn!("serving without encryption and without a check of callers");
    }
    // Probes and metrics are served until the last RPC has ended.
    let (stop, stopped) = (CancellationToken::new(), CancellationToken::new());
    let signals = StopSignals::listen()?;
    let (metrics, readiness) = (Metrics::new(), Readiness::new());
    metrics.build_info("preset-registry", env!("CARGO_PKG_VERSION"));
    let gate = readiness.gate("grpc");
    let encode = metrics.clone();
    let options = ServerOptions {
        instance_types: args.instance_types.load()?,
        ..args.server_options()
    };
    let mut server = PresetServer::prepare(options, &metrics).await?;
    let api = ApiServer::connect(&args).await?;
    let publisher = args.publish_options().zip(api.client.clone());
    let publisher = publisher.map(|(options, client)| server.publisher(options, client, &metrics));
    if let (Some(options), Some(client)) = (args.token_options(), api.client.clone()) {
        server.require_tokens(options, client);
    }
    let mut authority = match args.authority_options().zip(api.client) {
        Some((options, client)) => Some(Authority::new(options, client, &metrics)?),
        None => None,
    };
    let liveness = Checks::new();
    if let Some(authority) = &authority {
        server.encrypt(authority);
        authority.add_check(&liveness);
    }
    let certificate = readiness.gate("certificate");
    certificate.set(true, "");
    let grpc_listener = serve::bind(args.grpc_bind_address).await?;
    let admin_listeners = args.admin.bind().await?;
    let admin = Admin::new(readiness, liveness, move || encode.encode());
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
        renew(authority.as_mut(), &certificate, &stopped),
    )?;
    Ok(())
}

/// The way to the API server, if a flag needs it.
struct ApiServer {
    client: Option<kube::Client>,
}

impl ApiServer {
    async fn connect(args: &Args) -> anyhow::Result<Self> {
        let needed = args.publish_options().is_some()
            || args.token_options().is_some()
            || args.authority_options().is_some();
        if !needed {
            return Ok(Self { client: None });
        }
        operator_runtime::install_tls_provider();
        let client =
            operator_runtime::connect(&args.client, "preset-registry", env!("CARGO_PKG_VERSION")).await?;
        Ok(Self { client: Some(client) })
    }
}

/// Publishes the authority of own certificates and renews them until the program ends, and withdraws it then.
async fn renew(
    authority: Option<&mut Authority>,
    gate: &Gate,
    stopped: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(authority) = authority else {
        return Ok(());
    };
    tokio::select! {
        () = authority.follow(gate) => {}
        () = stopped.cancelled() => {}
    }
    authority.withdraw().await;
    Ok(())
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
