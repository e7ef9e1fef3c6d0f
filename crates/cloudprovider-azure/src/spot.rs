//! Marks of spot Nodes of AKS.

use cloudprovider::SpotMarks;

/// Labels of spot pools, conditions of AKS's node-problem-detector, and the taint of Azure's cloud controller.
///
/// `VMEventScheduled` also announces restarts and maintenance, after which the node continues.
pub(crate) const MARKS: SpotMarks = SpotMarks {
    labels: &[
        ("kubernetes.azure.com/scalesetpriority", "spot"),
        ("karpenter.sh/capacity-type", "spot"),
    ],
    notices: &[
        ("PreemptionScheduled", ""),
        ("PreemptScheduled", ""),
        ("VMEventScheduled", "Preempt Scheduled"),
    ],
    taints: &[("cloudprovider.azure.microsoft.com/draining", "spot-eviction")],
};
