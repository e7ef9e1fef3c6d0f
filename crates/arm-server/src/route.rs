//! Paths of ARM, in any letter case.

use crate::faults::Verb;

/// Resource that a path names. Names keep their letter case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Thing {
    Cluster,
    Pools,
    Pool(String),
    Abort(String),
    Operation(String),
    OperationResult(String),
    /// Sizes of the compute provider.
    Skus,
    /// Quotas of a region, by the compute provider.
    Usages(String),
}

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) subscription: String,
    /// Resource group and cluster, absent on operations.
    pub(crate) cluster: Option<(String, String)>,
    pub(crate) thing: Thing,
}

/// The resource provider, lower case.
const PROVIDER: &str = "microsoft.containerservice";
/// The provider of sizes and quotas.
const COMPUTE: &str = "microsoft.compute";

impl Route {
    /// Parses a path; `None` if it is unknown.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let is = |at: usize, word: &str| parts.get(at).is_some_and(|part| part.eq_ignore_ascii_case(word));
        let owned = |at: usize| {
            parts
                .get(at)
                .map(|part| (*part).to_owned())
                .filter(|part| !part.is_empty())
        };
        if !is(0, "subscriptions") {
            return None;
        }
        let subscription = owned(1)?;
        if is(2, "providers") && is(3, PROVIDER) && is(4, "locations") && parts.len() == 8 {
            let id = owned(7)?.to_ascii_lowercase();
            let thing = match () {
                () if is(6, "operations") => Thing::Operation(id),
                () if is(6, "operationresults") => Thing::OperationResult(id),
                () => return None,
            };
            return Some(Self {
                subscription,
                cluster: None,
                thing,
            });
        }
        if is(2, "providers") && is(3, COMPUTE) {
            let thing = match parts.len() {
                5 if is(4, "skus") => Thing::Skus,
                7 if is(4, "locations") && is(6, "usages") => Thing::Usages(owned(5)?),
                _ => return None,
            };
            return Some(Self {
                subscription,
                cluster: None,
                thing,
            });
        }
        let cluster =
            is(2, "resourceGroups") && is(4, "providers") && is(5, PROVIDER) && is(6, "managedClusters");
        if !cluster {
            return None;
        }
        let cluster = Some((owned(3)?, owned(7)?));
        let thing = match parts.len() {
            8 => Thing::Cluster,
            9 if is(8, "agentPools") => Thing::Pools,
            10 if is(8, "agentPools") => Thing::Pool(owned(9)?),
            11 if is(8, "agentPools") && is(10, "abort") => Thing::Abort(owned(9)?),
            _ => return None,
        };
        Some(Self {
            subscription,
            cluster,
            thing,
        })
    }

    /// Kind of a request with this method; `None` if the resource has no such method.
    pub(crate) fn verb(&self, method: &str) -> Option<Verb> {
        match (&self.thing, method) {
            (Thing::Cluster, "GET") => Some(Verb::Cluster),
            (Thing::Pools, "GET") => Some(Verb::List),
            (Thing::Pool(_), "GET") => Some(Verb::Get),
            (Thing::Pool(_), "PUT") => Some(Verb::Put),
            (Thing::Pool(_), "DELETE") => Some(Verb::Delete),
            (Thing::Abort(_), "POST") => Some(Verb::Abort),
            (Thing::Operation(_) | Thing::OperationResult(_), "GET") => Some(Verb::Operation),
            (Thing::Skus, "GET") => Some(Verb::Skus),
            (Thing::Usages(_), "GET") => Some(Verb::Usages),
            _ => None,
        }
    }

    /// Pool that it names.
    pub(crate) fn pool(&self) -> Option<&str> {
        match &self.thing {
            Thing::Pool(name) | Thing::Abort(name) => Some(name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letter_case_is_ignored_and_names_are_kept() {
        let path = "/SUBSCRIPTIONS/S/resourcegroups/RG/Providers/microsoft.containerservice/ManagedClusters/C/AGENTPOOLS/p";
        let route = Route::parse(path).unwrap();
        assert_eq!(route.cluster, Some(("RG".into(), "C".into())));
        assert_eq!(route.thing, Thing::Pool("p".into()));
        assert_eq!(route.verb("PUT"), Some(Verb::Put));
        assert_eq!(route.verb("PATCH"), None);
    }

    #[test]
    fn sizes_and_quotas_are_of_the_compute_provider() {
        let of = |below: &str| Route::parse(&format!("/subscriptions/s/providers/Microsoft.Compute/{below}"));
        assert_eq!(of("skus").unwrap().verb("GET"), Some(Verb::Skus));
        assert_eq!(of("skus").unwrap().verb("PUT"), None);
        assert_eq!(
            of("locations/eastus/usages").unwrap().thing,
            Thing::Usages("eastus".into())
        );
        assert_eq!((of("locations//usages"), of("virtualMachines")), (None, None));
    }

    #[test]
    fn operations_have_no_cluster() {
        let base = "/subscriptions/s/providers/Microsoft.ContainerService/locations/eastus";
        let route = Route::parse(&format!("{base}/operationresults/ABC")).unwrap();
        assert_eq!(route.thing, Thing::OperationResult("abc".into()));
        assert_eq!(Route::parse(&format!("{base}/somethings/abc")), None);
        for other in [
            "/",
            "",
            "/subscriptions/s",
            "/subscriptions//resourceGroups/a/providers/x/managedClusters/c",
        ] {
            assert_eq!(Route::parse(other), None, "{other}");
        }
    }
}
