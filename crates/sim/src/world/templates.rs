//! The invariant that what runs keeps running: no pod template changes unless its Workspace changed, or its upgrade was
//! asked for.
//!
//! Caches are late, so a template may change long after the edit that it follows. Therefore changes are counted: a
//! Workspace's templates never change more often than the Workspace.

use std::collections::BTreeMap;

use kaito_api::labels::WORKSPACE_CONTROLLER;
use plan::{Kind, ObjectRef};
use serde_json::{Value, json};

use crate::api_server::{ApiServer, shown};
use crate::json;

/// Templates of all Workspaces, by UID.
#[derive(Clone, Debug, Default)]
pub struct Templates(BTreeMap<String, Template>);

/// The template of one Workspace's workload.
#[derive(Clone, Debug, Default)]
struct Template {
    /// Generation and annotations of the Workspace.
    said: Value,
    /// Changes of that.
    edits: u32,
    /// UID of the workload.
    workload: String,
    /// Its template, as the controller wrote it last.
    ours: Value,
    /// Changes of the template by the controller, while the workload existed.
    rolls: u32,
}

impl Templates {
    /// Records what the server has after these writes of these actors.
    ///
    /// # Errors
    /// When a template changed without a reason.
    pub fn record(&mut self, api: &ApiServer, writes: &[(&str, &ObjectRef)]) -> Result<(), String> {
        for (actor, key) in writes {
            let Some(object) = api.get(key) else { continue };
            match key.kind {
                Kind::Workspace => self.record_workspace(object),
                Kind::Deployment | Kind::StatefulSet => {
                    self.record_workload(key, object, *actor == WORKSPACE_CONTROLLER)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn record_workspace(&mut self, object: &Value) {
        let metadata = |field: &str| json::at(object, &["metadata", field]).cloned();
        let said = json!([metadata("generation"), metadata("annotations")]);
        let uid = json::text(object, &["metadata", "uid"]).to_owned();
        let template = self.0.entry(uid).or_insert_with(|| Template {
            said: said.clone(),
            ..Template::default()
        });
        if template.said != said {
            template.edits += 1;
            template.said = said;
        }
    }

    fn record_workload(&mut self, key: &ObjectRef, object: &Value, is_ours: bool) -> Result<(), String> {
        let owners = json::list(object, &["metadata", "ownerReferences"]).iter();
        let mut owned = owners.filter_map(|owner| self.0.get_key_value(json::text(owner, &["uid"])));
        let Some(workspace) = owned.next().map(|(uid, _)| uid.clone()) else {
            return Ok(());
        };
        let template = self.0.entry(workspace).or_default();
        let uid = json::text(object, &["metadata", "uid"]);
        let now = json::at(object, &["spec", "template"])
            .cloned()
            .unwrap_or_default();
        if template.workload != uid {
            (template.workload, template.ours) = (uid.to_owned(), now);
        } else if is_ours && template.ours != now {
            template.rolls += 1;
            if template.rolls > template.edits {
                return Err(format!("{} was rolled without a request", shown(key)));
            }
            template.ours = now;
        }
        Ok(())
    }
}
