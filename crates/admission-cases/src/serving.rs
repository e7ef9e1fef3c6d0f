//! Annotations about serving and tuning: the front, keys, certificates, adapters, the push, resources and upgrades.

use crate::case::Cases;
use crate::case::Expect::{Accepted, Refused};
use crate::workspaces::*;

pub(crate) fn annotations() -> Cases {
    vec![
        (annotated(inference(), "front", "disabled"), Accepted),
        (
            annotated(inference(), "front", "false"),
            Refused("must be enabled or disabled"),
        ),
        (annotated(inference(), "adapter-mode", "request"), Accepted),
        (
            annotated(inference(), "adapter-mode", "mix"),
            Refused("must be merge or request"),
        ),
        (annotated(inference(), "api-keys-secret", "team.keys"), Accepted),
        (
            annotated(inference(), "api-keys-secret", "Team_keys"),
            Refused("must be the name of a Secret"),
        ),
        (
            annotated(inference(), "tls-secret", "a..b"),
            Refused("must be the name of a Secret"),
        ),
        (
            annotated(
                inference(),
                "cors-origins",
                "https://chat.example.com, http://localhost:3000",
            ),
            Accepted,
        ),
        (annotated(inference(), "cors-origins", "none"), Accepted),
        (
            annotated(inference(), "cors-origins", "chat.example.com"),
            Refused("must be origins such as https://chat.example.com"),
        ),
        (annotated(inference(), "stall-seconds", "120"), Accepted),
        (
            annotated(inference(), "stall-seconds", "2m"),
            Refused("must be a number of seconds from 1"),
        ),
        (annotated(tuning(), "push-retry-seconds", "599999"), Accepted),
        (
            annotated(tuning(), "push-retry-seconds", "600000"),
            Refused("must be a number of seconds from 60"),
        ),
        (
            annotated(
                inference(),
                "weights-image",
                "registry.example.com:5000/weights/phi-4:v1",
            ),
            Accepted,
        ),
        (
            annotated(inference(), "weights-image", "https://registry.example.com/phi-4"),
            Refused("must be an image, such as"),
        ),
        (
            annotated(
                unlicensed("llama-3.1-8b-instruct"),
                "weights-image",
                "registry.example.com/llama:v1",
            ),
            Accepted,
        ),
        (
            annotated(unlicensed("llama-3.1-8b-instruct"), "weights-image", " "),
            Refused("preset llama-3.1-8b-instruct is gated at its model hub"),
        ),
        (
            annotated(inference(), "weights-storage-class", "local-nvme.v1"),
            Accepted,
        ),
        (
            annotated(inference(), "weights-storage-class", "Local NVMe"),
            Refused("must be the name of a storage class, or none"),
        ),
        (
            annotated(
                annotated(inference(), "weights-image", "registry.example.com/phi-4:v1"),
                "weights-storage-class",
                "local-nvme",
            ),
            Refused("has no effect beside kaito.sh/weights-image"),
        ),
        (annotated(inference(), "cpu", "1.5"), Accepted),
        (
            annotated(inference(), "cpu", "0"),
            Refused("must be a number of processors"),
        ),
        (annotated(inference(), "memory", "16Gi"), Accepted),
        (
            annotated(inference(), "memory", "16GiB"),
            Refused("must be an amount of memory"),
        ),
        (annotated(inference(), "upgrades", "manual"), Accepted),
        (
            annotated(inference(), "upgrades", "automatic"),
            Refused("must be manual"),
        ),
    ]
}
