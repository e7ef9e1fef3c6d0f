//! Clients that may reach the Service of a Workspace.
//!
//! A model server asks for no password by default. So a load balancer is created only for a user who says that it is
//! public, or whose clients are named.

use std::net::IpAddr;

use kaito_api::conditions::WorkspaceReason;
use kaito_api::labels::{ENABLE_LB, PUBLIC};
use render::Exposure;

use crate::context::PlanContext;
use crate::problem::Problem;

/// Returns the exposure that the annotations ask for, and a note if a load balancer is withheld.
pub(crate) fn of(context: &PlanContext<'_>) -> (Exposure, Option<Problem>) {
    let workspace = context.workspace();
    let is_true = |text: &str| text.eq_ignore_ascii_case("true");
    if !workspace.annotation(ENABLE_LB).is_some_and(is_true) {
        return (Exposure::Cluster, None);
    }
    match workspace.annotation(PUBLIC).map(str::trim) {
        Some(text) if is_true(text) => (Exposure::Public { from: Vec::new() }, None),
        Some(text) => match blocks(text) {
            Ok(from) => (Exposure::Public { from }, None),
            Err(wrong) => withheld(&format!(
                "annotation {PUBLIC} contains {wrong:?}; expected true, or CIDR blocks separated by commas"
            )),
        },
        None => withheld(&format!(
            "annotation {ENABLE_LB} asks for a load balancer, and {PUBLIC} does not say who may reach the model"
        )),
    }
}

fn withheld(cause: &str) -> (Exposure, Option<Problem>) {
    let note = Problem::new(WorkspaceReason::LoadBalancerNotCreated, cause);
    (Exposure::Cluster, Some(note))
}

/// Parses CIDR blocks. The error is the part that is none.
fn blocks(text: &str) -> Result<Vec<String>, String> {
    let block = |part: &str| {
        let part = part.trim();
        let parsed = part.split_once('/').and_then(|(address, bits)| {
            let address: IpAddr = address.parse().ok()?;
            let bits: u8 = bits.parse().ok()?;
            (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some(())
        });
        parsed.map(|()| part.to_owned()).ok_or_else(|| part.to_owned())
    };
    text.split(',').map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_checked() {
        let of = |text| blocks(text).unwrap_or_else(|wrong| vec![format!("wrong: {wrong}")]);
        assert_eq!(of("10.0.0.0/8, 2001:db8::/32"), ["10.0.0.0/8", "2001:db8::/32"]);
        assert_eq!(of("10.0.0.0/33"), ["wrong: 10.0.0.0/33"]);
        assert_eq!(of("10.0.0.1"), ["wrong: 10.0.0.1"]);
        assert_eq!(of("10.0.0.0/8,"), ["wrong: "]);
        assert_eq!(of(""), ["wrong: "]);
        assert_eq!(of("false"), ["wrong: false"]);
    }
}
