//! Warnings about quota and restrictions of the subscription, at the creation of a Workspace. Nothing is rejected: the cloud
//! decides, and the controller computes the exact number of nodes.
//!
//! `params` is the ConfigMap that gpu-provisioner publishes (`kaito_api::capacity`). Users cannot read it. They learn the sentence
//! about the instance types that the Workspace names. The installer adds the variable `defaultCapacityTypes`.

use crate::policy::{ANNOTATIONS, Policy, Rule, Variable, WORKSPACE_CHANGES, rule, variable};

/// Warnings that read the published capacity.
pub const CAPACITY_NOTES: Policy = Policy {
    name: "capacity-notes",
    reason: "Invalid",
    conditions: WORKSPACE_CHANGES,
    fail_closed: false,
    variables: VARIABLES,
    rules: RULES,
};

const VARIABLES: &[Variable] = &[
    variable("data", "has(params.data) ? params.data : {}"),
    ANNOTATIONS,
    variable(
        "rungs",
        "has(object.resource) && has(object.resource.instanceType) \
         ? object.resource.instanceType.split(',').map(t, t.trim()).filter(t, t != '') : []",
    ),
    variable(
        "isTemplate",
        "has(object.inference) && has(object.inference.template)",
    ),
    // For a preset the number of nodes is computed by the controller. At least one is needed.
    variable(
        "nodes",
        "variables.isTemplate && has(object.resource) && has(object.resource.count) ? object.resource.count : 1",
    ),
    variable(
        "askedTypes",
        "'kaito.sh/capacity-types' in variables.annotations \
         ? variables.annotations['kaito.sh/capacity-types'].trim() : ''",
    ),
    variable(
        "capacityTypes",
        "(variables.askedTypes != '' ? variables.askedTypes \
         : (variables.defaultCapacityTypes != '' ? variables.defaultCapacityTypes : 'on-demand')) \
         .split(',').map(c, c.trim())",
    ),
    variable("isReserved", "'reserved' in variables.capacityTypes"),
    variable("onDemand", "'on-demand' in variables.capacityTypes"),
    variable("spot", "'spot' in variables.capacityTypes"),
    // Facts that were not confirmed for two hours are ignored. An update has no time to compare with.
    variable(
        "age",
        "oldObject == null && has(object.metadata.creationTimestamp) && 'read-at' in variables.data \
         ? timestamp(string(object.metadata.creationTimestamp)) - timestamp(variables.data['read-at']) : duration('2h')",
    ),
    variable(
        "minutes",
        "variables.age < duration('0s') ? 0 : variables.age.getMinutes()",
    ),
    // Processors of a node, those left on demand, those left for spot nodes, and the family.
    variable(
        "facts",
        "variables.rungs.map(t, ('instance-type.' + t.lowerAscii()) in variables.data \
         ? variables.data['instance-type.' + t.lowerAscii()].split('|') : ['1', '-', '-', ''])",
    ),
    // Nodes that there is room for; many if a quota is not known.
    variable(
        "room",
        "variables.facts.map(f, variables.onDemand && f[1] == '-' || variables.spot && f[2] == '-' ? 1000000 \
         : (variables.onDemand ? int(f[1]) / int(f[0]) : 0) + (variables.spot ? int(f[2]) / int(f[0]) : 0))",
    ),
    variable(
        "left",
        "variables.facts.map(f, variables.onDemand && variables.spot ? f[1] + ' left, and ' + f[2] + ' for spot nodes,' \
         : (variables.spot ? f[2] : f[1]) + ' left')",
    ),
    variable(
        "shut",
        "variables.rungs.filter(t, ('restricted.' + t.lowerAscii()) in variables.data)",
    ),
    variable(
        "short",
        "variables.rungs.filter(t, !(t in variables.shut) \
         && variables.room[variables.rungs.indexOf(t)] < variables.nodes)",
    ),
    variable(
        "problems",
        "variables.shut.map(t, t + ': the subscription may not use it in ' + variables.data['region'] + ' (' \
            + variables.data['restricted.' + t.lowerAscii()] + ')') \
         + variables.short.map(t, t + ': ' \
            + string(int(variables.facts[variables.rungs.indexOf(t)][0]) * variables.nodes) \
            + (variables.spot && !variables.onDemand ? ' spot vCPUs' \
               : ' vCPUs of ' + variables.facts[variables.rungs.indexOf(t)][3]) \
            + ' asked' + (variables.isTemplate ? '' : ' for each node') + ', ' \
            + variables.left[variables.rungs.indexOf(t)] + ' in ' + variables.data['region'])",
    ),
];

const RULES: &[Rule] = &[rule(
    "resource.instanceType",
    "oldObject != null || !variables.makesNodes || variables.isReserved || variables.age >= duration('2h') \
     || variables.problems.size() == 0",
    "variables.problems.join('; ') + ' (read ' + string(variables.minutes) \
     + (variables.minutes == 1 ? ' minute' : ' minutes') + ' ago)'",
)];
