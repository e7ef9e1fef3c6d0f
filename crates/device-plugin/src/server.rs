//! Serves the kubelet, and registers at it whenever it starts.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};

use crate::api::device_plugin_server::{DevicePlugin, DevicePluginServer};
use crate::api::registration_client::RegistrationClient;
use crate::api::{
    AllocateRequest, AllocateResponse, ContainerAllocateResponse, DevicePluginOptions, Empty,
    ListAndWatchResponse, RegisterRequest,
};
use crate::{Args, Gpus};

/// The version of the API.
const VERSION: &str = "v1beta1";

/// The name of our socket.
const SOCKET: &str = "kaito-gpus.sock";

/// The pause between two looks at files.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs until it is killed.
///
/// # Errors
/// When the socket cannot be made, or the kubelet refuses the registration.
pub async fn run(args: Args) -> Result<()> {
    let kubelet = args.directory.join("kubelet.sock");
    let mut registered = None;
    let mut server: Option<tokio::task::JoinHandle<_>> = None;
    loop {
        // A kubelet that starts makes a new socket, and removes those of all plugins.
        let instance = std::fs::metadata(&kubelet).ok().map(|metadata| metadata.ino());
        if instance.is_some() && instance != registered {
            if let Some(server) = server.take() {
                server.abort();
            }
            server = Some(tokio::spawn(serve(
                listen(&args.directory)?,
                args.gpus_file.clone(),
            )));
            // The socket is there before the kubelet answers.
            if register(&kubelet, &args.resource).await.is_ok() {
                registered = instance;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn listen(directory: &Path) -> Result<UnixListener> {
    let path = directory.join(SOCKET);
    // The socket of an earlier plugin that was killed.
    let _ = std::fs::remove_file(&path);
    UnixListener::bind(&path).with_context(|| format!("failed to listen on {}", path.display()))
}

async fn serve(listener: UnixListener, gpus_file: PathBuf) -> Result<(), tonic::transport::Error> {
    Server::builder()
        .add_service(DevicePluginServer::new(Plugin { gpus_file }))
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await
}

async fn register(kubelet: &Path, resource: &str) -> Result<()> {
    let endpoint = Endpoint::try_from(format!("unix://{}", kubelet.display()))?;
    let request = RegisterRequest {
        version: VERSION.to_owned(),
        endpoint: SOCKET.to_owned(),
        resource_name: resource.to_owned(),
        options: Some(DevicePluginOptions::default()),
    };
    let mut client = RegistrationClient::new(endpoint.connect().await?);
    client.register(request).await?;
    Ok(())
}

/// The service that the kubelet calls.
#[derive(Debug)]
struct Plugin {
    gpus_file: PathBuf,
}

#[tonic::async_trait]
impl DevicePlugin for Plugin {
    type ListAndWatchStream = ReceiverStream<Result<ListAndWatchResponse, Status>>;

    async fn get_device_plugin_options(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<DevicePluginOptions>, Status> {
        Ok(Response::new(DevicePluginOptions::default()))
    }

    async fn list_and_watch(&self, _: Request<Empty>) -> Result<Response<Self::ListAndWatchStream>, Status> {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(report(self.gpus_file.clone(), sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn allocate(
        &self,
        request: Request<AllocateRequest>,
    ) -> Result<Response<AllocateResponse>, Status> {
        let containers = request.into_inner().container_requests.into_iter();
        let container_responses = containers
            .map(|container| ContainerAllocateResponse {
                envs: [(
                    "NVIDIA_VISIBLE_DEVICES".to_owned(),
                    container.devices_ids.join(","),
                )]
                .into(),
            })
            .collect();
        Ok(Response::new(AllocateResponse { container_responses }))
    }
}

/// Sends the list of devices, and again after each change, until the kubelet closes the stream.
async fn report(gpus_file: PathBuf, sender: mpsc::Sender<Result<ListAndWatchResponse, Status>>) {
    let mut sent = None;
    while !sender.is_closed() {
        let gpus = Gpus::read(&gpus_file);
        if sent != Some(gpus) {
            let response = ListAndWatchResponse {
                devices: gpus.devices(),
            };
            if sender.send(Ok(response)).await.is_err() {
                return;
            }
            sent = Some(gpus);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
