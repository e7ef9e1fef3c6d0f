//! The nodes that should exist. Pure; the booter creates and deletes them.

use std::time::Duration;

use serde_json::Value;

use super::World;
use super::node_plan::{NodePlan, NodeTask};
use super::pool::Pool;
use crate::config::{BootMode, BootRule};
use crate::pattern;

impl World {
    /// Time at which the nodes of a pool boot whose operation ends at `ends_at`.
    pub(super) fn boot_time(&self, pool: &str, now: Duration, ends_at: Duration) -> Option<Duration> {
        let rule = self.boot_rule(pool);
        if rule.mode == BootMode::Never {
            return None;
        }
        let delay = Duration::from_millis(rule.delay_ms.unsigned_abs());
        let at = if rule.delay_ms < 0 {
            ends_at.saturating_sub(delay)
        } else {
            ends_at.saturating_add(delay)
        };
        Some(at.max(now))
    }

    fn boot_rule(&self, pool: &str) -> BootRule {
        let rules = &self.behavior.boot;
        rules
            .iter()
            .find(|rule| pattern::fits(&rule.pool, pool))
            .cloned()
            .unwrap_or_default()
    }

    /// Plans nodes for a pool up to its count, and removes those beyond it.
    pub(super) fn plan_nodes(&mut self, name: &str, now: Duration) {
        let Some(pool) = self.pools.get(name) else { return };
        let mode = self.boot_rule(name).mode;
        if mode == BootMode::Never {
            return;
        }
        let wanted: Vec<NodePlan> = (0..pool.count())
            .map(|index| self.node(pool, index, mode))
            .collect();
        let names: Vec<String> = wanted.iter().map(|plan| plan.name.clone()).collect();
        for plan in wanted {
            self.nodes.entry(plan.name.clone()).or_insert(plan);
        }
        let beyond = self
            .nodes
            .values_mut()
            .filter(|plan| plan.pool == name && !names.contains(&plan.name));
        beyond.for_each(|plan| plan.gone_at = plan.gone_at.or(Some(now)));
    }

    /// Removes the nodes of a pool that is gone, as the cloud controller does.
    pub(super) fn drop_nodes(&mut self, name: &str, now: Duration) {
        if self.behavior.leave_nodes {
            self.nodes.retain(|_, plan| plan.pool != name);
            return;
        }
        let at = now + Duration::from_millis(self.behavior.node_delete_ms);
        for plan in self.nodes.values_mut().filter(|plan| plan.pool == name) {
            plan.gone_at = plan.gone_at.or(Some(at));
        }
    }

    /// Tasks of the booter that are due. Each is returned once.
    pub(crate) fn node_tasks(&mut self, now: Duration) -> Vec<NodeTask> {
        let mut tasks = Vec::new();
        self.nodes.retain(|name, plan| {
            if plan.gone_at.is_some_and(|at| at <= now) {
                tasks.extend(plan.handed_out.then(|| NodeTask::Remove(name.clone())));
                return false;
            }
            if plan.evicted && plan.handed_out {
                plan.evicted = false;
                tasks.push(NodeTask::Announce(name.clone()));
            }
            if !plan.handed_out {
                plan.handed_out = true;
                tasks.push(NodeTask::Make(Box::new(plan.clone())));
            }
            true
        });
        tasks
    }

    /// Returns true if a node should still exist.
    pub(crate) fn wants_node(&self, name: &str) -> bool {
        self.nodes.contains_key(name)
    }

    /// Time at which the next node must be gone.
    pub(super) fn next_node_due(&self) -> Option<Duration> {
        self.nodes.values().filter_map(|plan| plan.gone_at).min()
    }

    fn node(&self, pool: &Pool, index: u64, mode: BootMode) -> NodePlan {
        let zones = super::offering::zones(&pool.properties);
        let at = usize::try_from(index).unwrap_or_default();
        let zone = match zones.get(at % zones.len().max(1)) {
            Some(zone) => format!("{}-{zone}", self.site.location),
            // AKS labels nodes of a pool without zones with a fault domain.
            None => "0".to_owned(),
        };
        let scale_set = format!("aks-{}-{}-vmss", pool.name, pool.number);
        let group = format!(
            "mc_{}_{}_{}",
            self.site.resource_group, self.site.cluster, self.site.location
        );
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let labels = pool.properties.get("nodeLabels").and_then(Value::as_object);
        let taints = pool.properties.get("nodeTaints").and_then(Value::as_array);
        NodePlan {
            name: format!("{scale_set}{:0>6}", base36(index)),
            provider_id: format!(
                "azure:///subscriptions/{}/resourceGroups/{}/providers/Microsoft.Compute/virtualMachineScaleSets/{scale_set}/\
                 virtualMachines/{index}",
                self.site.subscription,
                group.to_ascii_lowercase()
            ),
            pool: pool.name.clone(),
            cluster: group,
            location: self.site.location.clone(),
            vm_size: pool.vm_size().to_owned(),
            capacity: super::capacity::of(&self.types, pool.vm_size()),
            system: pool.properties.get("mode").and_then(Value::as_str) == Some("System"),
            labels: labels
                .into_iter()
                .flatten()
                .filter_map(|(k, v)| Some((k.clone(), text(v)?)))
                .collect(),
            taints: taints.into_iter().flatten().filter_map(text).collect(),
            mode,
            zone,
            evicted: false,
            gone_at: None,
            handed_out: false,
        }
    }
}

/// Number of an instance in a computer name: six digits, as scale sets write it.
fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    while number > 0 || digits.is_empty() {
        digits.extend(char::from_digit(
            u32::try_from(number % 36).unwrap_or_default(),
            36,
        ));
        number /= 36;
    }
    digits.into_iter().rev().collect()
}
