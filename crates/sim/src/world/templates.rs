//! The invariant that what runs keeps running.
//!
//! A pod template changes only after its Workspace or the ConfigMap that it names changed, or after a request to upgrade.
//! An automatic upgrade is such a reason: it begins within the window, and while no other is under way. A template that
//! was never ready may change at any time. The placement of pods may follow Nodes that exclude them.
//!
//! Caches are late, so a template may change long after the edit that it follows. Therefore changes are counted: a
//! Workspace's templates never change more often than the Workspace.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kaito_api::labels::{AUTOMATIC_UPGRADE, NEVER_READY, REVISION, WORKSPACE_CONTROLLER, WORKSPACE_UID};
use plan::{Kind, ObjectRef};
use serde_json::{Value, json};
use workspace_plan::Upgrades;

use crate::api_server::{ApiServer, is_deleting, shown};
use crate::json;
use crate::kubelet::schedule;

/// Templates of all Workspaces, by UID, and the data of ConfigMaps.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    templates: BTreeMap<String, Template>,
    /// Marks of automatic upgrades that were seen: UID of the Workspace, and time.
    marks: BTreeSet<(String, Timestamp)>,
    /// Data of the users' ConfigMaps.
    configs: BTreeMap<ObjectRef, Value>,
}

/// The template of one Workspace's workload.
#[derive(Clone, Debug, Default)]
struct Template {
    /// Generation and annotations of the Workspace.
    said: Value,
    /// The ConfigMap that it names.
    config: Option<ObjectRef>,
    /// Changes of both.
    edits: u32,
    /// UID of the workload.
    workload: String,
    /// Its template, as the controller wrote it last.
    ours: Value,
    /// Number of the revision that it was written from.
    number: String,
    /// Changes of the template by the controller, while the workload existed.
    rolls: u32,
    /// Labels and taints of its Nodes, as they were once.
    nodes: BTreeSet<String>,
}

impl Template {
    /// Returns true if only the placement differs, and a Node that excluded the pods admits them now.
    fn follows_nodes(&self, now: &Value) -> bool {
        let unplaced = |template: &Value| {
            let mut template = template.clone();
            for field in ["affinity", "tolerations"] {
                json::set(&mut template, &["spec", field], Value::Null);
            }
            template
        };
        let excluded = |node: &Value| !schedule::admits(&self.ours, node) && schedule::admits(now, node);
        let mut nodes = self
            .nodes
            .iter()
            .filter_map(|node| serde_json::from_str(node).ok());
        unplaced(&self.ours) == unplaced(now) && nodes.any(|node: Value| excluded(&node))
    }
}

impl Templates {
    /// Records what the server has after these writes of these actors.
    ///
    /// # Errors
    /// When a template changed without a reason.
    pub fn record(
        &mut self,
        api: &ApiServer,
        upgrades: &Upgrades,
        writes: &[(&str, &ObjectRef)],
    ) -> Result<(), String> {
        for (actor, key) in writes {
            let Some(object) = api.get(key) else { continue };
            match key.kind {
                Kind::Workspace => self.record_workspace(key, object),
                Kind::ControllerRevision => self.record_revision(api, upgrades, object)?,
                Kind::ConfigMap => self.record_config_map(key, object),
                Kind::Node => self.record_node(object),
                Kind::Deployment | Kind::StatefulSet => {
                    self.record_workload(api, key, object, *actor == WORKSPACE_CONTROLLER)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn record_config_map(&mut self, key: &ObjectRef, object: &Value) {
        let data = object["data"].clone();
        if self.configs.insert((*key).clone(), data.clone()) != Some(data) {
            let named = |template: &&mut Template| template.config.as_ref() == Some(key);
            self.templates
                .values_mut()
                .filter(named)
                .for_each(|template| template.edits += 1);
        }
    }

    fn record_node(&mut self, node: &Value) {
        let uid = json::text(node, &["metadata", "labels", WORKSPACE_UID]);
        let Some(template) = self.templates.get_mut(uid) else {
            return;
        };
        // Taints of its condition come and go.
        let lasts = |taint: &&Value| !json::text(taint, &["key"]).starts_with("node.kubernetes.io/");
        let taints = json::list(node, &["spec", "taints"]).iter();
        let taints: Vec<&Value> = taints.filter(lasts).collect();
        let labels = json::at(node, &["metadata", "labels"]);
        let shape = json!({"metadata": {"labels": labels}, "spec": {"taints": taints}});
        template.nodes.insert(shape.to_string());
    }

    fn record_workspace(&mut self, key: &ObjectRef, object: &Value) {
        let metadata = |field: &str| json::at(object, &["metadata", field]).cloned();
        let said = json!([metadata("generation"), metadata("annotations")]);
        let uid = json::text(object, &["metadata", "uid"]).to_owned();
        let template = self.templates.entry(uid).or_insert_with(|| Template {
            said: said.clone(),
            ..Template::default()
        });
        let config = json::text(object, &["inference", "config"]);
        template.config = (!config.is_empty()).then(|| ObjectRef {
            kind: Kind::ConfigMap,
            namespace: key.namespace.clone(),
            name: config.to_owned(),
        });
        if template.said != said {
            template.edits += 1;
            template.said = said;
        }
    }

    fn record_revision(
        &mut self,
        api: &ApiServer,
        upgrades: &Upgrades,
        object: &Value,
    ) -> Result<(), String> {
        let Some((uid, began)) = mark(object) else {
            return Ok(());
        };
        if !self.marks.insert((uid.clone(), began)) {
            return Ok(());
        }
        self.templates.entry(uid.clone()).or_default().edits += 1;
        let is_open = matches!(upgrades, Upgrades::Automatic(settings) if settings.window.is_open(began));
        if !is_open {
            return Err(format!(
                "Workspace {uid} was upgraded at {began}, outside the window"
            ));
        }
        let live = api
            .list(Kind::Workspace)
            .filter(|(_, workspace)| !is_deleting(workspace));
        let live: Vec<&str> = live
            .map(|(_, workspace)| json::text(workspace, &["metadata", "uid"]))
            .collect();
        let revisions = api.list(Kind::ControllerRevision);
        let mut others = revisions.filter_map(|(_, revision)| mark(revision));
        let other = others.find(|(other, _)| *other != uid && live.contains(&other.as_str()));
        other.map_or(Ok(()), |(other, began)| {
            Err(format!(
                "Workspace {uid} was upgraded while {other} was, which began at {began}"
            ))
        })
    }

    fn record_workload(
        &mut self,
        api: &ApiServer,
        key: &ObjectRef,
        object: &Value,
        is_ours: bool,
    ) -> Result<(), String> {
        let owners = json::list(object, &["metadata", "ownerReferences"]).iter();
        let mut owned = owners.filter_map(|owner| self.templates.get_key_value(json::text(owner, &["uid"])));
        let Some(workspace) = owned.next().map(|(uid, _)| uid.clone()) else {
            return Ok(());
        };
        let template = self.templates.entry(workspace.clone()).or_default();
        let number = json::text(object, &["metadata", "annotations", REVISION]);
        let before = std::mem::replace(&mut template.number, number.to_owned());
        let uid = json::text(object, &["metadata", "uid"]);
        let now = json::at(object, &["spec", "template"])
            .cloned()
            .unwrap_or_default();
        if template.workload != uid {
            (template.workload, template.ours) = (uid.to_owned(), now);
        } else if is_ours && template.ours != now {
            let is_free = !is_ready(key, object) && was_never_ready(api, &workspace, &before)
                || template.follows_nodes(&now);
            template.edits += u32::from(is_free);
            template.rolls += 1;
            if template.rolls > template.edits {
                return Err(format!("{} was rolled without a request", shown(key)));
            }
            template.ours = now;
        }
        Ok(())
    }
}

/// Returns true if a server of the workload is ready. The pods of a StatefulSet are one server.
fn is_ready(key: &ObjectRef, workload: &Value) -> bool {
    let number = |path: &[&str]| json::number(workload, path).unwrap_or_default();
    let ready = number(&["status", "readyReplicas"]);
    match key.kind {
        Kind::StatefulSet => ready >= number(&["spec", "replicas"]).max(1),
        _ => ready > 0,
    }
}

/// Returns true if the revision of this number says that it was never ready.
fn was_never_ready(api: &ApiServer, workspace: &str, number: &str) -> bool {
    let revisions = api.list(Kind::ControllerRevision).map(|(_, revision)| revision);
    let mut marked = revisions
        .filter(|revision| !json::text(revision, &["metadata", "annotations", NEVER_READY]).is_empty());
    marked.any(|revision| {
        let owners = json::list(revision, &["metadata", "ownerReferences"]);
        let is_of = |owner: &Value| json::text(owner, &["uid"]) == workspace;
        owners.iter().any(is_of)
            && json::number(revision, &["revision"]).is_some_and(|own| own.to_string() == number)
    })
}

/// The Workspace of a revision, and the time at which its automatic upgrade began.
fn mark(revision: &Value) -> Option<(String, Timestamp)> {
    let owner = json::list(revision, &["metadata", "ownerReferences"]).first()?;
    let began = json::time(revision, &["metadata", "annotations", AUTOMATIC_UPGRADE])?;
    Some((json::text(owner, &["uid"]).to_owned(), began))
}
