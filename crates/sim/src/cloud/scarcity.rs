//! Instance types of which no machine is free.

use cloudprovider::{ErrorClass, LaunchSpec, ProviderError};

use super::Cloud;
use super::faults::error;

impl Cloud {
    /// Refuses the launch of a scarce type at once.
    pub(super) fn check_scarcity(&self, spec: &LaunchSpec) -> Result<(), ProviderError> {
        if self.scarce.contains(&spec.instance_type.to_lowercase()) {
            let message = format!("no capacity for {}", spec.instance_type);
            return Err(error(ErrorClass::Capacity, "AllocationFailed", &message));
        }
        Ok(())
    }
}
