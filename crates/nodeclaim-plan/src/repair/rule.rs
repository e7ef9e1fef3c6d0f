//! Rules of repair: signs by which a Node counts as unhealthy, and the time that each may last.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;

/// Word of the rule about GPUs.
const GPUS_LOST: &str = "gpus-lost";
/// Beginning of a rule about a taint.
const TAINT: &str = "taint/";
/// Shortest time that a sign may last.
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);

/// A sign that a Node is unhealthy, and the time after which the Node is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairRule {
    pub(crate) sign: Sign,
    pub(crate) after: SignedDuration,
}

/// A sign that a Node is unhealthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// A condition of the Node has this status.
    Condition { type_: String, status: String },
    /// The Node has a taint of this key, with this value if it is given.
    Taint { key: String, value: Option<String> },
    /// The Node offers fewer GPUs than it once had.
    GpusLost,
}

/// All rules. The first whose sign a Node shows is applied.
///
/// ```
/// use nodeclaim_plan::RepairRules;
///
/// let rules: RepairRules = "Ready=Unknown:10m,gpus-lost:15m,taint/example.com/broken:1h".parse()?;
/// assert_eq!(rules.to_string(), "Ready=Unknown:10m,gpus-lost:15m,taint/example.com/broken:1h");
/// assert!("Ready=Maybe:10m".parse::<RepairRules>().is_err());
/// # Ok::<(), nodeclaim_plan::RepairRuleError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairRules(pub(crate) Vec<RepairRule>);

impl RepairRules {
    /// Rules of a cluster on AKS: silent kubelets, lost GPUs, and the lasting problems that AKS's node-problem-detector
    /// reports.
    pub const DEFAULT: &str = "Ready=False:10m,Ready=Unknown:10m,gpus-lost:10m,GPUMissing=True:10m,NVLinkStatusInactive=True:10m,\
        XIDErrors=True:10m,UnhealthyNvidiaDevicePlugin=True:30m,KernelDeadlock=True:10m,ReadonlyFilesystem=True:10m,\
        FilesystemCorruptionProblem=True:10m,ContainerRuntimeProblem=True:10m,KubeletProblem=True:10m";

    /// Returns the rules.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &RepairRule> {
        self.0.iter()
    }
}

/// Text of a rule that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected TYPE=True|False|Unknown:TIME, taint/KEY[=VALUE]:TIME or gpus-lost:TIME with a time of 1s or more, such as 10m, not {0:?}"
)]
pub struct RepairRuleError(String);

impl FromStr for RepairRules {
    type Err = RepairRuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(rule).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for RepairRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, rule) in self.0.iter().enumerate() {
            let gap = if i == 0 { "" } else { "," };
            write!(f, "{gap}{}:{:#}", rule.sign, rule.after)?;
        }
        Ok(())
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Condition { type_, status } => write!(f, "{type_}={status}"),
            Self::Taint { key, value: None } => write!(f, "{TAINT}{key}"),
            Self::Taint {
                key,
                value: Some(value),
            } => write!(f, "{TAINT}{key}={value}"),
            Self::GpusLost => f.write_str(GPUS_LOST),
        }
    }
}

fn rule(text: &str) -> Result<RepairRule, RepairRuleError> {
    let error = || RepairRuleError(text.to_owned());
    let (sign, after) = text.rsplit_once(':').ok_or_else(error)?;
    let after = after.parse::<SignedDuration>().ok();
    Ok(RepairRule {
        sign: sign_of(sign).ok_or_else(error)?,
        after: after.filter(|after| *after >= SHORTEST).ok_or_else(error)?,
    })
}

fn sign_of(text: &str) -> Option<Sign> {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    if text == GPUS_LOST {
        return Some(Sign::GpusLost);
    }
    if let Some(taint) = text.strip_prefix(TAINT) {
        let (key, value) = taint.split_once('=').map_or((taint, None), |(k, v)| (k, Some(v)));
        return Some(Sign::Taint {
            key: some(key)?,
            value: value.map(str::to_owned),
        });
    }
    let (type_, status) = text.split_once('=')?;
    let is_status = ["True", "False", "Unknown"].contains(&status);
    // A kubelet that reports is no sign of a problem.
    let is_healthy = type_ == "Ready" && status == "True";
    Some(Sign::Condition {
        type_: some(type_)?,
        status: some(status).filter(|_| is_status && !is_healthy)?,
    })
}
