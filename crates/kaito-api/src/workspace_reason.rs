//! The closed set of reasons a Workspace condition can have, each with its remedy.

use crate::conditions::reasons;

reasons! {
    /// Reason of a Workspace condition. Upstream's word is used where it has one.
    WorkspaceReason {
        /// Enough Machines are ready.
        MachinesReady = "installNodePluginsSuccess" => "",
        /// Not enough Machines are ready.
        MachinesNotReady = "MachineNotReady" => "",
        /// Enough NodeClaims are ready.
        NodeClaimsReady = "NodeClaimsReady" => "",
        /// Not enough NodeClaims are ready.
        NodeClaimsNotReady = "NodeClaimNotReady" => "",
        /// The provisioner of a NodeClaim's class cannot launch it.
        NodeClaimNotLaunched = "NodeClaimNotLaunched" => "Read the provisioner's reason in the message: check the instance type, the node class and its disk. It is tried again.",
        /// A NodeClaim was deleted before it had a node.
        NodeClaimLost = "NodeClaimLost" => "Read the provisioner's reason in the message and its log; another instance type or zone may have capacity.",
        /// Enough nodes are ready.
        NodesReady = "NodesReady" => "",
        /// Not enough nodes are ready.
        NodesNotReady = "NodeNotReady" => "",
        /// Nodes are ready but offer no GPU.
        NodePluginsNotReady = "NodePluginsNotReady" => "Check that the GPU device plugin runs on the node named in the message, and that it tolerates the taints sku=gpu and kaito.sh/workspace-uid.",
        /// All resources are there.
        ResourceReady = "workspaceResourceStatusSuccess" => "",
        /// The tuning has ended, and its nodes were given back.
        NodesGivenBack = "NodesGivenBack" => "",
        /// The user's own nodes are missing.
        ByoNodesMissing = "NodesMissing" => "Label enough ready nodes with resource.labelSelector, or switch the node provisioner on.",
        /// The model answers.
        InferenceReady = "WorkspaceInferenceStatusSuccess" => "",
        /// The model does not answer yet.
        InferencePending = "WorkspaceInferenceStatusPending" => "",
        /// The tuning Job has started.
        JobStarted = "WorkspaceTuningJobStatusStarted" => "",
        /// The tuning Job has not started.
        JobPending = "WorkspaceTuningJobStatusPending" => "",
        /// The tuning Job failed.
        JobFailed = "WorkspaceTuningJobStatusFailed" => "Read the Job's pod logs; delete the Workspace and create it again to retry.",
        /// The Workspace of the Machine era is ready.
        WorkspaceReady = "workspaceReady" => "",
        /// The Workspace serves, or its tuning succeeded.
        WorkspaceSucceeded = "workspaceSucceeded" => "",
        /// The Workspace is not ready yet.
        WorkspacePending = "workspacePending" => "",
        /// The tuning failed.
        WorkspaceFailed = "workspaceFailed" => "",
        /// The Workspace is being deleted.
        WorkspaceDeleted = "workspaceDeleted" => "",
        /// A tuning Workspace serves nothing.
        TuningHasNoInference = "TuningHasNoInference" => "",
        /// The spec cannot be carried out.
        InvalidSpec = "InvalidSpec" => "Correct what the message names.",
        /// The registry does not know the preset.
        PresetUnknown = "PresetUnknown" => "Use a preset of `kubectl kaito presets list`, or add one to the registry.",
        /// The preset is deprecated.
        PresetDeprecated = "PresetDeprecated" => "Choose another preset.",
        /// The preset does not support the request.
        PresetUnsuitable = "PresetUnsuitable" => "Choose a preset that supports it.",
        /// The preset is gated, and no Secret with a token is named.
        ModelAccessSecretMissing = "ModelAccessSecretMissing" => "Create the Workspace again with presetOptions.modelAccessSecret: a Secret whose key HF_TOKEN is a token of an account that accepted the license.",
        /// The registry does not answer and its answer is needed.
        PresetRegistryUnavailable = "PresetRegistryUnavailable" => "Check the preset-registry Deployment and Service; nothing that runs is affected.",
        /// The registry was asked about the preset and has not answered yet.
        PresetLookupPending = "PresetLookupPending" => "",
        /// The instance type is not in the tables.
        InstanceTypeUnknown = "InstanceTypeUnknown" => "Use an instance type of the tables, or the one suggested in the message.",
        /// No engine runs on the instance type.
        InstanceTypeUnsupported = "InstanceTypeUnsupported" => "Choose another instance type; `kubectl kaito plan` lists those that work.",
        /// The model does not fit the instance type.
        ModelDoesNotFit = "ModelDoesNotFit" => "Choose an instance type with more GPU memory, or a smaller context.",
        /// The engine has no kernels of this model for GPUs that old.
        GpuTooOld = "GPUTooOld" => "Choose an instance type with newer GPUs; `kubectl kaito plan` lists those that work.",
        /// The model needs a tool that the image of the engine lacks.
        EngineLacksToolkit = "EngineLacksToolkit" => "Choose another preset, or ask your administrator for a base image with the CUDA toolkit (chart value workspaceImages.base).",
        /// The instance type is retired and is not replaced.
        InstanceTypeRetired = "InstanceTypeRetired" => "Create the Workspace again with a current instance type; `kubectl kaito plan` lists those that work.",
        /// The instance type is retired, and another one is bought.
        InstanceTypeReplaced = "InstanceTypeReplaced" => "Name the instance type that is bought in your manifests.",
        /// An instance type of the ladder cannot be used for this Workspace, so the next one is.
        InstanceTypeSkipped = "InstanceTypeSkipped" => "Leave the instance type out of resource.instanceType, or change what the message names.",
        /// An instance type of the ladder cannot be had now, so the next one is asked for.
        InstanceTypeUnavailable = "InstanceTypeUnavailable" => "Nothing to do: the next instance type of resource.instanceType is asked for.",
        /// The quota of the subscription is too small for the nodes.
        QuotaTooSmall = "QuotaTooSmall" => "Ask the owner of the subscription for more quota of what the message names, or name other instance types.",
        /// The subscription may not use the instance type in the region or in the zones.
        InstanceTypeRestricted = "InstanceTypeRestricted" => "Name other instance types or zones, or ask the owner of the subscription to have the restriction lifted.",
        /// No instance type of the ladder can be had now.
        NoCapacity = "NoCapacity" => "Nothing to do: the types are asked for again, the first one first. More instance types, zones or capacity types in the Workspace raise the chance.",
        /// A spec edit is not applied to the running workload.
        UpdateBlocked = "UpdateBlocked" => "Delete the Workspace and create it again to apply the change.",
        /// The Workspace needs more nodes than one Workspace may have.
        TooManyNodes = "TooManyNodes" => "Lower resource.count or choose a larger instance type, or ask your administrator to raise the limit.",
        /// The nodes would exceed a ceiling of nodes or of their price.
        SpendingCeilingExceeded = "SpendingCeilingExceeded" => "Lower resource.count, delete what is not needed, or ask your administrator to raise the ceiling.",
        /// The instance type has no known price, and prices have a ceiling.
        PriceUnknown = "PriceUnknown" => "Choose an instance type with a known price, or ask your administrator to lift the ceiling.",
        /// An object of a needed name belongs to another owner.
        NameConflict = "NameConflict" => "Rename the Workspace, or delete the object named in the message.",
        /// This version of the operator would run the model differently.
        UpgradeAvailable = "UpgradeAvailable" => "Set the annotation kaito.sh/upgrade to a new value to apply it; the model restarts.",
        /// The model does not serve since its automatic upgrade.
        UpgradeFailed = "UpgradeFailed" => "Repair the model, or set the annotation kaito.sh/rollback-to to an earlier revision; no other model is upgraded until this one serves without that annotation.",
        /// The automatic upgrade of another model failed.
        UpgradesStopped = "UpgradesStopped" => "Ask your administrator for the Workspace with the reason UpgradeFailed; to upgrade this model anyway, set the annotation kaito.sh/upgrade to a new value.",
        /// The workload cannot return to the revision that was asked for.
        RollbackNotPossible = "RollbackNotPossible" => "Set the annotation kaito.sh/rollback-to to a revision that the message names, or remove it.",
        /// A load balancer was asked for without saying who may reach it.
        LoadBalancerNotCreated = "LoadBalancerNotCreated" => "Annotate the Workspace with kaito.sh/public: \"true\" for all clients, or with their CIDR blocks.",
        /// A container was killed for memory.
        ContainerOOMKilled = "ContainerOOMKilled" => "Choose an instance type with more memory, or a smaller context.",
        /// The engine ended because it lacks GPU memory.
        GpuMemoryTooSmall = "GPUMemoryTooSmall" => "Choose an instance type with more GPU memory, or a shorter context by annotation kaito.sh/max-context-tokens.",
        /// A container ended with an error.
        ContainerFailed = "ContainerFailed" => "Read the line of the container in the message, and the logs of the container.",
        /// An image cannot be pulled.
        ImagePullError = "ImagePullError" => "Check the image name and the pull secret.",
        /// The registry refuses the credentials for an image, or there are none.
        ImagePullUnauthorized = "ImagePullUnauthorized" => "Name a Secret with credentials for this registry in imagePullSecrets, and check that they may read the image.",
        /// The registry does not have an image.
        ImageNotFound = "ImageNotFound" => "Correct the name and the tag of the image, or push it to the registry.",
        /// The registry of an image cannot be reached from the node.
        ImageRegistryUnreachable = "ImageRegistryUnreachable" => "Check the node's DNS, firewall and proxy, and the registry's certificate.",
        /// The registry refuses a push of the result, as a check before the tuning found out.
        ImagePushRefused = "ImagePushRefused" => "Nothing was trained. Do what the message says, then delete the Workspace and create it again.",
        /// The tuning has ended, and the push of its result is repeated.
        ImagePushRetried = "ImagePushRetried" => "Repair what the message names; the push is repeated by itself, without another tuning.",
        /// The name of an image is invalid.
        ImageNameInvalid = "ImageNameInvalid" => "Correct the name of the image.",
        /// A container cannot be started.
        ContainerStartError = "ContainerStartError" => "Check the ConfigMaps, Secrets and volumes that the message names.",
        /// A ConfigMap that the pods need, or a key of it, does not exist.
        ConfigMapNotFound = "ConfigMapNotFound" => "Create the ConfigMap or the key that the message names in the Workspace's namespace; everything else follows by itself.",
        /// The ConfigMap that the Workspace names was not read yet.
        ConfigMapPending = "ConfigMapPending" => "",
        /// A key of the ConfigMap that the Workspace names is malformed, or has unknown settings.
        ConfigMapInvalid = "ConfigMapInvalid" => "Correct the ConfigMap that the message names; everything else follows by itself.",
        /// The ConfigMap sets a flag of the engine that a Workspace cannot set.
        EngineFlagRefused = "EngineFlagRefused" => "Remove the flag that the message names from the ConfigMap; everything else follows by itself.",
        /// The Workspaces of the namespace name more ConfigMaps than are read.
        TooManyConfigMaps = "TooManyConfigMaps" => "Name one ConfigMap in several Workspaces, or delete Workspaces that are not needed.",
        /// A Secret that the pods need, or a key of it, does not exist.
        SecretNotFound = "SecretNotFound" => "Create the Secret or the key that the message names in the Workspace's namespace; the pod is started by itself then.",
        /// A PersistentVolumeClaim that the pods need does not exist.
        VolumeClaimNotFound = "PersistentVolumeClaimNotFound" => "Create the PersistentVolumeClaim that the message names in the Workspace's namespace; the pod is started by itself then.",
        /// The storage class of the volumes with the weights does not exist.
        StorageClassNotFound = "StorageClassNotFound" => "Create the storage class that the message names, or set the annotation kaito.sh/weights-storage-class to another one or to none.",
        /// The storage class has not provided the volume with the weights.
        WeightsVolumePending = "WeightsVolumePending" => "Check the provisioner of the storage class that the message names; the pod is started by itself then.",
        /// The volume with the weights is on a node that is gone, and is replaced.
        WeightsVolumeLost = "WeightsVolumeLost" => "",
        /// The ServiceAccount of the pods does not exist.
        ServiceAccountNotFound = "ServiceAccountNotFound" => "Create the ServiceAccount that the message names in the Workspace's namespace; the pods are created by themselves then.",
        /// A volume cannot be attached to the node.
        VolumeAttachFailed = "VolumeAttachFailed" => "Free the volume that the message names, if another node holds it, and check the driver of its storage class.",
        /// A volume cannot be mounted on the node.
        VolumeMountFailed = "VolumeMountFailed" => "Check the volume that the message names, and its driver on the node.",
        /// The node cannot make the sandbox of the pod, mostly for its network.
        PodSandboxFailed = "PodSandboxFailed" => "Check the network plugin and the container runtime of the node; the kubelet tries again.",
        /// A container keeps crashing.
        ContainerCrashLoopBackOff = "ContainerCrashLoopBackOff" => "Read the logs of the container that the message names.",
        /// The node is short of disk.
        NodeDiskPressure = "NodeDiskPressure" => "Choose an instance type with a larger disk.",
        /// The node is short of memory.
        NodeMemoryPressure = "NodeMemoryPressure" => "Choose an instance type with more memory.",
        /// The pod was evicted.
        PodEvicted = "PodEvicted" => "See the message for the reason of the eviction.",
        /// A controller of Kubernetes cannot create the pods, and its message names no known part of the API server.
        PodsNotCreated = "PodsNotCreated" => "See the message of the API server about the pods of the object that the message names.",
        /// The model did not become ready in the time that its Deployment allows.
        ProgressDeadlineExceeded = "ProgressDeadlineExceeded" => "Read the logs and events of the pods; the model is still waited for.",
        /// The pod fits no node.
        Unschedulable = "Unschedulable" => "See the scheduler's message: labels, taints or resources of the nodes do not match.",
    }
}
