//! A model hub: the files of one model at the addresses where Hugging Face has them.

use std::path::Path;

use serde_json::json;

use super::web::Files;

/// The commit that the preset of this model is pinned to.
fn commit(id: &str) -> &'static str {
    let preset = preset_catalog::Catalog::embedded().unwrap().find(id).unwrap();
    preset.revision.as_deref().unwrap()
}

/// The files of the model in `model`, below `/hub`.
pub(crate) fn files(id: &str, model: &Path, scratch: &Path) -> Files {
    let mut files = Files::new();
    let mut siblings = Vec::new();
    for entry in std::fs::read_dir(model).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        files.insert(format!("/hub/{id}/resolve/{}/{name}", commit(id)), path.clone());
        siblings.push(json!({"rfilename": name}));
    }
    let about = scratch.join("about.json");
    let info = json!({"id": id, "sha": commit(id), "gated": false, "siblings": siblings});
    std::fs::write(&about, info.to_string()).unwrap();
    files.insert(format!("/hub/api/models/{id}/revision/{}", commit(id)), about);
    files
}
