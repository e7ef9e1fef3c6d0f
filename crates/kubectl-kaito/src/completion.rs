//! `completion`: scripts for shells, and the answers to kubectl's own completion.

use clap::{Arg, Command, CommandFactory as _};
use instance_types::Cloud;
use preset_catalog::Catalog;

use crate::answer::Answer;
use crate::args::{Args, CompletionShell};

/// Script that kubectl looks for in the `PATH` as `kubectl_complete-kaito`.
const FOR_KUBECTL: &str = "#!/bin/sh\nexec kubectl-kaito __complete \"$@\"\n";
/// Directive of kubectl: no names of files.
const NO_FILES: &str = ":4\n";

/// Prints the script for a shell.
pub(crate) fn script(shell: CompletionShell) -> Answer {
    let shell = match shell {
        CompletionShell::Bash => clap_complete::Shell::Bash,
        CompletionShell::Zsh => clap_complete::Shell::Zsh,
        CompletionShell::Fish => clap_complete::Shell::Fish,
        CompletionShell::Kubectl => return Answer::fine(FOR_KUBECTL.to_owned()),
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "kubectl-kaito", &mut text);
    Answer::fine(String::from_utf8_lossy(&text).into_owned())
}

/// Completes the last word of a command line, as kubectl asks.
pub(crate) fn answers(words: &[String]) -> Answer {
    let mut text: String = candidates(words).into_iter().map(|word| word + "\n").collect();
    text.push_str(NO_FILES);
    Answer::fine(text)
}

fn candidates(words: &[String]) -> Vec<String> {
    let (last, before) = words
        .split_last()
        .map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut command = Args::command();
    // Global flags belong to each command once the tree is built.
    command.build();
    let mut command = &command;
    for word in before {
        if let Some(found) = command.find_subcommand(word) {
            command = found;
        }
    }
    let mut found = match before.last().and_then(|flag| flag_named(command, flag)) {
        Some(flag) => values(flag, before),
        None if last.starts_with('-') => flags(command),
        None => [subcommands(command), presets(command)].concat(),
    };
    found.retain(|word| word.starts_with(last));
    found.sort();
    found
}

/// The flag of this spelling, if it takes a value.
fn flag_named<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let mut all = command
        .get_arguments()
        .filter(|arg| arg.get_action().takes_values());
    all.find(|arg| {
        let long = arg.get_long().is_some_and(|long| word == format!("--{long}"));
        long || arg.get_short().is_some_and(|short| word == format!("-{short}"))
    })
}

/// Names of the built-in presets, for a command that takes one.
fn presets(command: &Command) -> Vec<String> {
    let takes_one = command
        .get_positionals()
        .any(|arg| arg.get_id() == "preset" || command.get_name() == "show" && arg.get_id() == "name");
    let catalog = takes_one.then(Catalog::embedded).and_then(Result::ok);
    catalog.map_or_else(Vec::new, |catalog| {
        catalog.iter().map(|preset| preset.name.clone()).collect()
    })
}

fn values(flag: &Arg, before: &[String]) -> Vec<String> {
    if flag.get_long() == Some("instance-type") {
        let mut pairs = before.windows(2);
        let cloud = pairs.find(|pair| pair[0] == "--cloud");
        let cloud = cloud
            .and_then(|pair| pair[1].parse().ok())
            .unwrap_or(Cloud::Azure);
        let catalog = instance_types::Catalog::embedded().ok();
        let names = catalog.iter().flat_map(|catalog| catalog.of(cloud));
        return names.map(|one| one.name.clone()).collect();
    }
    let all = flag.get_possible_values();
    all.iter().map(|value| value.get_name().to_owned()).collect()
}

fn flags(command: &Command) -> Vec<String> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    shown
        .filter_map(|arg| Some(format!("--{}", arg.get_long()?)))
        .collect()
}

fn subcommands(command: &Command) -> Vec<String> {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.map(|command| command.get_name().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Vec<String> {
        candidates(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_last_word_is_completed() {
        assert_eq!(of(&["st"]), ["status"]);
        assert_eq!(of(&["presets", ""]), ["help", "list", "show"]);
        assert_eq!(of(&["top", "--by", ""]), ["model", "namespace", "workspace"]);
        assert_eq!(of(&["top", "--by", "n"]), ["namespace"]);
        assert_eq!(of(&["plan", "phi-4-mini-i"]), ["phi-4-mini-instruct"]);
        assert_eq!(of(&["presets", "show", "phi-4-mini-i"]), ["phi-4-mini-instruct"]);
        assert_eq!(
            of(&["plan", "phi-4", "--instance-type", "Standard_NC24ads"]),
            ["Standard_NC24ads_A100_v4"]
        );
        assert_eq!(of(&["status", "--wa"]), ["--watch"]);
        assert_eq!(of(&["status", "--registry-c"]), ["--registry-ca-file"]);
        assert!(of(&[]).contains(&"doctor".to_owned()) && !of(&[]).contains(&"__complete".to_owned()));
        assert!(answers(&[]).text.ends_with("\n:4\n"));
    }

    #[test]
    fn each_shell_has_a_script() {
        for (shell, part) in [
            (CompletionShell::Bash, "complete -F _kubectl__kaito"),
            (CompletionShell::Zsh, "#compdef kubectl-kaito"),
            (CompletionShell::Fish, "complete -c kubectl-kaito"),
            (CompletionShell::Kubectl, "exec kubectl-kaito __complete"),
        ] {
            let text = script(shell).text;
            assert!(text.contains(part), "{shell:?}: {text}");
        }
    }
}
