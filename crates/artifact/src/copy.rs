//! `copy`: the files of an adapter on a volume to a directory, where its strength can be written.

use std::path::Path;

use crate::args::Copy;
use crate::error::{Error, Result};

/// Copies the files at the top of a directory. Directories hold earlier states of a training, and names that begin with
/// two dots are the kubelet's.
///
/// # Errors
/// A file cannot be copied, or the strength cannot be written.
pub(crate) fn run(args: &Copy) -> Result<String> {
    std::fs::create_dir_all(&args.to).map_err(Error::local("create", &args.to))?;
    let mut files = 0;
    for entry in std::fs::read_dir(&args.from).map_err(Error::local("list", &args.from))? {
        let entry = entry.map_err(Error::local("list", &args.from))?;
        let (path, name) = (entry.path(), entry.file_name());
        if !path.is_file() || name.to_string_lossy().starts_with("..") {
            continue;
        }
        copy(&path, &args.to.join(name))?;
        files += 1;
    }
    if let Some(strength) = args.lora_strength {
        strength.apply(&args.to)?;
    }
    Ok(format!("copied {files} files to {}", args.to.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    // A container that is restarted finds the files of its first run, which may be read-only.
    if to.exists() {
        std::fs::remove_file(to).map_err(Error::local("remove", to))?;
    }
    let mut source = std::fs::File::open(from).map_err(Error::local("read", from))?;
    let mut target = std::fs::File::create_new(to).map_err(Error::local("create", to))?;
    std::io::copy(&mut source, &mut target)
        .map(drop)
        .map_err(Error::local("write", to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_copied_and_the_strength_is_written_once() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let put = |name: &str, text: &str| std::fs::write(from.path().join(name), text).unwrap();
        put("adapter_config.json", r#"{"lora_alpha":16}"#);
        put("adapter_model.safetensors", "weights");
        std::fs::create_dir(from.path().join("checkpoint-10")).unwrap();
        let args = Copy {
            from: from.path().to_owned(),
            to: to.path().to_owned(),
            lora_strength: Some("0.25".parse().unwrap()),
        };
        for _ in 0..2 {
            run(&args).unwrap();
            let read = |name: &str| std::fs::read_to_string(to.path().join(name)).unwrap();
            assert_eq!(read("adapter_config.json"), r#"{"lora_alpha":4}"#);
            assert_eq!(read("adapter_model.safetensors"), "weights");
            assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 2);
        }
    }
}
