//! Golden transcripts of the scenarios in `scenarios/`; `UPDATE_GOLDEN=1` writes them again.

use std::path::{Path, PathBuf};

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "txt"))
        .collect();
    all.sort();
    all
}

#[test]
fn transcripts_are_as_committed() {
    let mut wrong = Vec::new();
    for path in scenarios() {
        let transcript = sim::scenario::play(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        let golden = path.with_extension("golden");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &transcript).unwrap();
        }
        let wanted = std::fs::read_to_string(&golden).unwrap_or_default();
        if let Some((number, (got, want))) = transcript
            .lines()
            .zip(wanted.lines())
            .enumerate()
            .find(|(_, (got, want))| got != want)
        {
            wrong.push(format!(
                "{}:{}:\n  got  {got}\n  want {want}",
                golden.display(),
                number + 1
            ));
        } else if transcript != wanted {
            wrong.push(format!(
                "{}: one transcript is longer than the other",
                golden.display()
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nUPDATE_GOLDEN=1 writes them again",
        wrong.join("\n")
    );
}
