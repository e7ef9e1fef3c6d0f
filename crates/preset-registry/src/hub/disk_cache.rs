//! Models of the hub on disk, by name and commit. A commit never changes, so it is read from the hub once.
//!
//! A lost directory costs time only. A failed write is logged and has no other effect.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hub_metadata::{HubId, Revision, Sources};

/// Most models on disk. The oldest ones are removed first.
const MAX_MODELS: usize = 500;
/// Most bytes of one file: two configuration files and some fields.
const MAX_BYTES: u64 = 4 << 20;

/// A directory of models, or nothing.
#[derive(Debug, Clone)]
pub(crate) struct DiskCache {
    directory: Option<PathBuf>,
}

impl DiskCache {
    pub(crate) const fn new(directory: Option<PathBuf>) -> Self {
        Self { directory }
    }

    /// Loads a model at a commit.
    pub(crate) fn load(&self, id: &HubId, revision: &Revision) -> Option<Sources> {
        let file = self.folder(id)?.join(file_name(revision));
        let sources = read(&file).ok()?;
        let is_it = sources.id.eq_ignore_ascii_case(id.as_str()) && sources.revision == revision.as_str();
        is_it.then_some(sources)
    }

    /// Loads the latest commit of a model.
    pub(crate) fn latest(&self, id: &HubId) -> Option<Sources> {
        let (_, file) = files(&self.folder(id)?).into_iter().max()?;
        read(&file)
            .ok()
            .filter(|sources| sources.id.eq_ignore_ascii_case(id.as_str()))
    }

    /// Saves a model and removes its earlier commits.
    pub(crate) fn save(&self, sources: &Sources) {
        if let Err(error) = self.try_save(sources) {
            tracing::warn!(id = sources.id, %error, "failed to save model on disk");
        }
    }

    fn try_save(&self, sources: &Sources) -> io::Result<()> {
        let (Ok(id), Ok(revision)) = (HubId::parse(&sources.id), Revision::parse(&sources.revision)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let (Some(root), Some(folder)) = (&self.directory, self.folder(&id)) else {
            return Ok(());
        };
        fs::create_dir_all(&folder)?;
        let file = folder.join(file_name(&revision));
        let unfinished = folder.join(format!(".{}.{}", revision.as_str(), std::process::id()));
        let mut out = fs::File::create(&unfinished)?;
        out.write_all(&serde_json::to_vec(sources)?)?;
        out.sync_all()?;
        fs::rename(&unfinished, &file)?;
        for (_, old) in files(&folder).into_iter().filter(|(_, old)| *old != file) {
            fs::remove_file(old)?;
        }
        make_room(root);
        Ok(())
    }

    fn folder(&self, id: &HubId) -> Option<PathBuf> {
        // The hub ignores letter case, and so do some file systems.
        let name = id.as_str().to_lowercase();
        let (owner, repository) = name.split_once('/')?;
        Some(self.directory.as_ref()?.join(owner).join(repository))
    }
}

fn file_name(revision: &Revision) -> String {
    format!("{}.json", revision.as_str())
}

fn read(file: &Path) -> io::Result<Sources> {
    let mut text = Vec::new();
    fs::File::open(file)?.take(MAX_BYTES).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// The complete files of a folder, with the time of writing.
fn files(folder: &Path) -> Vec<(SystemTime, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let finished = entries.filter(|entry| {
        entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "json")
    });
    finished
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect()
}

fn make_room(root: &Path) {
    let folders = |of: &Path| {
        let entries: Vec<_> = fs::read_dir(of).into_iter().flatten().flatten().collect();
        entries
            .into_iter()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
    };
    let mut kept: Vec<_> = folders(root)
        .flat_map(|owner| folders(&owner))
        .flat_map(|model| files(&model))
        .collect();
    kept.sort();
    let surplus = kept.len().saturating_sub(MAX_MODELS);
    for (_, file) in kept.into_iter().take(surplus) {
        // Another replica may have removed it.
        let _ = fs::remove_file(&file);
        let _ = file.parent().map(fs::remove_dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(id: &str, digit: char) -> Sources {
        Sources {
            id: id.to_owned(),
            revision: digit.to_string().repeat(40),
            license: "mit".to_owned(),
            gated: false,
            mistral: false,
            config: "{}".to_owned(),
            generation_config: None,
            weights_bytes: 1,
        }
    }

    fn parts(sources: &Sources) -> (HubId, Revision) {
        (
            HubId::parse(&sources.id).unwrap(),
            Revision::parse(&sources.revision).unwrap(),
        )
    }

    #[test]
    fn one_commit_of_a_model_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let cache = DiskCache::new(Some(directory.path().join("cache")));
        let (one, two) = (sources("Acme/Model", '1'), sources("Acme/Model", '2'));
        let (id, revision) = parts(&one);
        assert_eq!((cache.load(&id, &revision), cache.latest(&id)), (None, None));
        cache.save(&one);
        let lower = HubId::parse("acme/model").unwrap();
        assert_eq!(cache.load(&lower, &revision), Some(one));
        cache.save(&two);
        assert_eq!(cache.load(&id, &revision), None);
        assert_eq!(cache.latest(&id), Some(two));
    }

    #[test]
    fn what_is_broken_or_of_another_model_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let cache = DiskCache::new(Some(directory.path().to_owned()));
        let one = sources("acme/model", '1');
        let (id, revision) = parts(&one);
        cache.save(&one);
        let file = directory.path().join("acme/model").join(file_name(&revision));
        fs::write(&file, serde_json::to_vec(&sources("acme/other", '1')).unwrap()).unwrap();
        assert_eq!((cache.load(&id, &revision), cache.latest(&id)), (None, None));
        fs::write(&file, "{").unwrap();
        assert_eq!(cache.load(&id, &revision), None);
    }

    #[test]
    fn the_number_of_models_is_limited() {
        let directory = tempfile::tempdir().unwrap();
        let cache = DiskCache::new(Some(directory.path().to_owned()));
        for index in 0..MAX_MODELS + 3 {
            cache.save(&sources(&format!("acme/m{index}"), '1'));
        }
        let left = fs::read_dir(directory.path().join("acme")).unwrap().count();
        assert_eq!(left, MAX_MODELS);
    }

    #[test]
    fn without_a_directory_nothing_is_kept() {
        let cache = DiskCache::new(None);
        let one = sources("acme/model", '1');
        cache.save(&one);
        assert_eq!(cache.latest(&parts(&one).0), None);
    }
}
