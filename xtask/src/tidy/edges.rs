//! The allowed edges between our crates. A new edge is a new line here, to be seen in review.

/// Our crates that one of our crates may use.
#[derive(Debug)]
pub(super) struct Allowed {
    pub(super) package: &'static str,
    /// In its library, programs and build script.
    pub(super) uses: &'static [&'static str],
    /// In its tests only.
    pub(super) tests_use: &'static [&'static str],
}

const fn allow(package: &'static str, uses: &'static [&'static str]) -> Allowed {
    Allowed {
        package,
        uses,
        tests_use: &[],
    }
}

/// The table. Upper lines know nothing of lower ones.
pub(super) const TABLE: &[Allowed] = &[
    // vocabulary
    allow("kaito-api", &[]),
    allow("instance-types", &[]),
    allow("preset-catalog", &["instance-types"]),
    allow("hub-metadata", &["preset-catalog"]),
    allow("cloudprovider", &[]),
    // decisions
    allow("plan", &["kaito-api"]),
    allow("plan-check", &["kaito-api", "plan"]),
    Allowed {
        package: "render",
        uses: &["instance-types", "kaito-api", "plan", "preset-catalog"],
        tests_use: &["plan-check"],
    },
    Allowed {
        package: "workspace-plan",
        uses: &["instance-types", "kaito-api", "plan", "preset-catalog", "render"],
        tests_use: &["plan-check"],
    },
    Allowed {
        package: "nodeclaim-plan",
        uses: &["cloudprovider", "instance-types", "kaito-api", "plan"],
        tests_use: &["plan-check"],
    },
    Allowed {
        package: "admission",
        uses: &["instance-types", "preset-catalog"],
        tests_use: &["kaito-api"],
    },
    Allowed {
        package: "lint",
        uses: &["admission", "instance-types", "kaito-api", "preset-catalog"],
        tests_use: &["admission-cases"],
    },
    allow(
        "sim",
        &[
            "cloudprovider",
            "instance-types",
            "kaito-api",
            "nodeclaim-plan",
            "plan",
            "plan-check",
            "preset-catalog",
            "render",
            "workspace-plan",
        ],
    ),
    // shells
    allow("egress", &[]),
    allow("hub-files", &["egress", "hub-metadata"]),
    allow("serve", &[]),
    allow("telemetry", &[]),
    allow("preset-registry-api", &["instance-types", "preset-catalog"]),
    Allowed {
        package: "operator-runtime",
        uses: &["instance-types", "plan", "serve", "telemetry"],
        tests_use: &["kaito-api"],
    },
    Allowed {
        package: "cloudprovider-azure",
        uses: &["cloudprovider", "kaito-api"],
        tests_use: &["arm-server"],
    },
    // programs
    Allowed {
        package: "workspace-controller",
        uses: &[
            "admission",
            "instance-types",
            "kaito-api",
            "operator-runtime",
            "plan",
            "preset-catalog",
            "preset-registry-api",
            "render",
            "serve",
            "telemetry",
            "workspace-plan",
        ],
        tests_use: &["preset-registry"],
    },
    allow(
        "gpu-provisioner",
        &[
            "cloudprovider",
            "cloudprovider-azure",
            "kaito-api",
            "nodeclaim-plan",
            "operator-runtime",
            "plan",
            "serve",
            "telemetry",
        ],
    ),
    allow(
        "preset-registry",
        &[
            "admission",
            "egress",
            "hub-metadata",
            "instance-types",
            "kaito-api",
            "operator-runtime",
            "preset-catalog",
            "preset-registry-api",
            "serve",
            "telemetry",
        ],
    ),
    Allowed {
        package: "kubectl-kaito",
        uses: &[
            "admission",
            "instance-types",
            "kaito-api",
            "lint",
            "preset-catalog",
            "preset-registry-api",
        ],
        tests_use: &["preset-registry", "serve", "telemetry"],
    },
    // data plane
    allow("oci-image", &[]),
    Allowed {
        package: "artifact",
        uses: &["egress", "hub-files", "oci-image", "serve"],
        tests_use: &["testkit"],
    },
    allow("amx", &[]),
    allow("kernels", &["amx"]),
    Allowed {
        package: "gguf",
        uses: &[],
        tests_use: &["model"],
    },
    allow("model", &["kernels"]),
    Allowed {
        package: "inference-server",
        uses: &["egress", "hub-files", "model", "serve", "telemetry"],
        tests_use: &["gguf"],
    },
    allow("tuning-job", &["kernels", "model", "serve", "telemetry"]),
    // test support and chores
    allow("arm-server", &["instance-types", "kaito-api", "local-cluster"]),
    allow("device-plugin", &[]),
    allow("local-cluster", &["oci-image"]),
    allow("testkit", &["kaito-api", "local-cluster"]),
    allow("admission-cases", &[]),
    allow(
        "installation",
        &[
            "arm-server",
            "gguf",
            "kaito-api",
            "local-cluster",
            "preset-catalog",
            "testkit",
        ],
    ),
    allow(
        "benches",
        &[
            "gguf",
            "installation",
            "kaito-api",
            "local-cluster",
            "model",
            "preset-catalog",
            "preset-registry-api",
            "testkit",
            "tuning-job",
        ],
    ),
    Allowed {
        package: "integration-tests",
        uses: &[],
        tests_use: &[
            "admission",
            "admission-cases",
            "arm-server",
            "artifact",
            "gguf",
            "inference-server",
            "installation",
            "instance-types",
            "kaito-api",
            "lint",
            "local-cluster",
            "model",
            "plan",
            "plan-check",
            "preset-catalog",
            "preset-registry-api",
            "render",
            "sim",
            "testkit",
            "tuning-job",
            "workspace-plan",
        ],
    },
    allow(
        "xtask",
        &[
            "admission",
            "instance-types",
            "kaito-api",
            "local-cluster",
            "oci-image",
            "preset-catalog",
        ],
    ),
];

/// Crates that decide: values in, values out. Nothing in them waits or uses the network.
pub(crate) const PURE: &[&str] = &[
    "kaito-api",
    "instance-types",
    "preset-catalog",
    "hub-metadata",
    "plan",
    "plan-check",
    "render",
    "workspace-plan",
    "nodeclaim-plan",
    "admission",
    "lint",
    "cloudprovider",
    "sim",
];

/// Packages that a pure crate must not reach, even indirectly.
pub(super) const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "tonic",
    "reqwest",
    "kube-client",
    "opentelemetry",
    "azure_core",
];
