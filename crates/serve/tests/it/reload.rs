//! Files that change as people, tools and kubelets change them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use serve::{Reload, Reloaded};
use tokio::sync::mpsc;

/// Replaces the contents of a volume as a kubelet does: a new directory, then one rename of `..data`.
fn project(volume: &Path, version: &str, text: &str) {
    let directory = volume.join(format!("..{version}"));
    let old = fs::canonicalize(volume.join("..data")).ok();
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("token"), text).unwrap();
    symlink(format!("..{version}"), volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    if let Some(old) = old {
        fs::remove_dir_all(old).unwrap();
    }
}

/// Parses numbers only.
fn open(file: &Path) -> (anyhow::Result<Reloaded<u32>>, mpsc::UnboundedReceiver<Reload>) {
    let (sender, reloads) = mpsc::unbounded_channel();
    let parse = |contents: &[Vec<u8>]| Ok::<_, anyhow::Error>(std::str::from_utf8(&contents[0])?.parse()?);
    let opened = Reloaded::open(vec![file.to_owned()], parse, move |reload| {
        let _ = sender.send(reload);
    });
    (opened, reloads)
}

async fn next(reloads: &mut mpsc::UnboundedReceiver<Reload>) -> Reload {
    // Far below the interval of polling.
    tokio::time::timeout(Duration::from_secs(30), reloads.recv())
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn a_projected_volume_is_followed_through_links() {
    let root = tempfile::tempdir().unwrap();
    let volume = root.path().join("volume");
    fs::create_dir(&volume).unwrap();
    project(&volume, "1", "1");
    symlink("..data/token", volume.join("token")).unwrap();
    // A user's own link to the volume, and the path of the kubelet's link itself.
    symlink(volume.join("token"), root.path().join("link")).unwrap();
    for file in [
        volume.join("token"),
        root.path().join("link"),
        volume.join("..data/token"),
    ] {
        let (opened, mut reloads) = open(&file);
        let opened = opened.unwrap();
        let first = *opened.current();
        for value in first + 1..first + 3 {
            project(&volume, &value.to_string(), &value.to_string());
            assert_eq!(next(&mut reloads).await, Reload::Loaded, "{}", file.display());
            assert_eq!(*opened.current(), value);
        }
    }
}

#[tokio::test]
async fn bad_contents_keep_the_previous_value() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("number");
    assert!(open(&file).0.is_err());
    fs::write(&file, "1").unwrap();
    let (opened, mut reloads) = open(&file);
    let opened = opened.unwrap();
    fs::write(&file, "one").unwrap();
    assert_eq!(next(&mut reloads).await, Reload::Failed);
    fs::remove_file(&file).unwrap();
    assert_eq!(next(&mut reloads).await, Reload::Failed);
    assert_eq!(*opened.current(), 1);
    fs::write(directory.path().join("new"), "2").unwrap();
    fs::rename(directory.path().join("new"), &file).unwrap();
    assert_eq!(next(&mut reloads).await, Reload::Loaded);
    assert_eq!(*opened.current(), 2);
}
