//! Directories and files inside our pods, and the ports they listen on.
//!
//! A running model keeps its pods through an upgrade of this program, and its Service does not. So the ports that a
//! Service or NetworkPolicy names stay as they are.

/// Model weights.
pub(crate) const WEIGHTS: &str = "/workspace/weights";
/// The same where an image is mounted there: our images have their payload in `/data`. A mount of this directory alone, by
/// `subPath`, would be simpler, but containerd before 2.2 mounts the whole image then, without an error.
pub(crate) const WEIGHTS_OF_IMAGE: &str = "/workspace/weights/data";
/// Mount of the user's ConfigMap.
pub const CONFIG: &str = "/mnt/config";
/// Adapters, one directory each.
pub(crate) const ADAPTERS: &str = "/mnt/adapter";
/// Adapters on volumes whose strength is written into a copy.
pub(crate) const ADAPTER_SOURCES: &str = "/mnt/adapter-source";
/// The data set.
pub(crate) const DATA: &str = "/mnt/data";
/// The tuned adapter.
pub const TUNING_RESULTS: &str = "/mnt/results";
/// File that the tuning writes last, beside its result.
pub(crate) const TUNING_DONE: &str = "/mnt/results/fine_tuning_completed.txt";
/// State of the push, which two containers share.
pub(crate) const PUSH: &str = "/mnt/push";
/// File with the outcome of the last push.
pub(crate) const PUSH_OUTCOME: &str = "/mnt/push/outcome.json";
/// Registry credentials for pulling, one Docker config file a Secret.
pub(crate) const PULL_SECRETS: &str = "/secrets/pull";
/// Registry credentials for pushing.
pub(crate) const PUSH_SECRET: &str = "/secrets/push";
/// The token for the model hub.
pub(crate) const HUB_SECRET: &str = "/secrets/hub";
/// API keys, one a line.
pub(crate) const API_KEYS: &str = "/secrets/api-keys";
/// Key of the Secret with them.
pub(crate) const API_KEYS_KEY: &str = "keys";
/// Certificate of the API and its private key.
pub(crate) const TLS: &str = "/secrets/tls";
/// Authorities of the installation.
pub(crate) const CA: &str = "/etc/kaito/ca";
/// File with them.
pub(crate) const CA_FILE: &str = "ca.crt";
/// Home directory: an empty volume, because the image's file system belongs to root.
pub(crate) const HOME: &str = "/home/kaito";
/// Shared memory.
pub(crate) const SHM: &str = "/dev/shm";

/// Port of every server, and of the metrics of a tuning.
pub(crate) const HTTP_PORT: i32 = 5000;
/// Port of an engine behind the front.
pub(crate) const ENGINE_PORT: i32 = 5001;
/// Port of the front's loopback at which its end is requested.
pub(crate) const DRAIN_PORT: i32 = 5002;
/// Port of Ray's head node.
pub(crate) const RAY_PORT: i32 = 6379;
/// Port of PyTorch's rendezvous.
pub(crate) const TORCH_PORT: i32 = 29500;
