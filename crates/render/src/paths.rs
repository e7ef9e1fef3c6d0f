//! Directories and files inside our pods, and the ports they listen on.

/// Where weights are, or are downloaded to.
pub const WEIGHTS: &str = "/workspace/weights";
/// Where the user's ConfigMap is mounted.
pub const CONFIG: &str = "/mnt/config";
/// Key of an inference ConfigMap.
pub const INFERENCE_CONFIG_KEY: &str = "inference_config.yaml";
/// Key of a tuning ConfigMap.
pub const TRAINING_CONFIG_KEY: &str = "training_config.yaml";
/// Adapters, each in a directory of its name.
pub const ADAPTERS: &str = "/mnt/adapter";
/// The data set.
pub const DATA: &str = "/mnt/data";
/// Where the tuned adapter goes.
pub const RESULTS: &str = "/mnt/results";
/// What the tuning writes last, beside its result.
pub const TUNING_DONE: &str = "/mnt/results/fine_tuning_completed.txt";
/// Registry credentials to pull with, one Docker config file a Secret.
pub const PULL_SECRETS: &str = "/secrets/pull";
/// Registry credentials to push with.
pub const PUSH_SECRET: &str = "/secrets/push";
/// The token for the model hub.
pub const HUB_SECRET: &str = "/secrets/hub";
/// Home directory: an empty volume, because the image's file system belongs to root.
pub const HOME: &str = "/home/kaito";
/// Shared memory.
pub const SHM: &str = "/dev/shm";

/// Port of every server and of the tuning's metrics.
pub const HTTP_PORT: i32 = 5000;
/// Port at which Ray's head listens.
pub const RAY_PORT: i32 = 6379;
/// Port of PyTorch's rendezvous.
pub const TORCH_PORT: i32 = 29500;
