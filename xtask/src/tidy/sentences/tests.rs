//! Sentences that are found, and some that are not.

use super::read;

fn found(text: &str) -> Vec<(usize, &'static str)> {
    let (findings, _) = read(text, false);
    findings
        .into_iter()
        .map(|finding| (finding.line, finding.rule))
        .collect()
}

const OPENING: &str = "begins with a question word";

#[test]
fn docs_begin_with_a_noun_or_a_verb() {
    assert_eq!(found("/// Whether it is ready.\n"), [(1, OPENING)]);
    assert_eq!(found("//! How it works.\n"), [(1, OPENING)]);
    assert_eq!(
        found("/// Returns true if it is ready. When it\n/// is not, wait.\n"),
        []
    );
    assert_eq!(found("// Why not: it is slow.\n"), []);
}

#[test]
fn sentences_of_docs_are_short() {
    let long = "word ".repeat(13);
    assert_eq!(
        found(&format!("/// {long}\n/// {long}.\n")),
        [(1, "more than 25 words")]
    );
    assert_eq!(found(&format!("/// {long}.\n/// {long}.\n")), []);
    assert_eq!(found(&format!("/// {long}\n///\n/// {long}.\n")), []);
    assert_eq!(found(&format!("/// - {long}\n/// - {long}\n")), []);
    assert_eq!(found(&format!("/// ```\n/// {long}{long}\n/// ```\n")), []);
    assert_eq!(found(&format!("// {long}{long}\n")), []);
    let code = "`a b c d e f g h i j k l m n o p q r s t u v w x y z`";
    assert_eq!(found(&format!("/// Runs {code}.\n")), []);
}

#[test]
fn literary_turns_and_spellings() {
    assert_eq!(found("// The cache is told.\n"), [(1, "literary")]);
    assert_eq!(found("// It is left\n// to its fate.\n"), [(1, "literary")]);
    assert_eq!(found("/// Returns `told`.\n"), []);
    assert_eq!(
        found("// It can't be; a catalogue, cancelled.\n"),
        [(1, "spelling")]
    );
    assert_eq!(
        found("fn f() { g(\"somebody else has it\") }\n"),
        [(1, "literary")]
    );
}

#[test]
fn messages_say_what_is_required() {
    let message = |text: &str| found(&format!("fn f() {{ g(\"{text}\") }}\n"));
    assert_eq!(message("`x` is no object"), [(1, "`is no …`")]);
    assert_eq!(message("there is no pool"), []);
    assert_eq!(message("x is no longer there"), []);
    assert_eq!(message("told"), []);
}

#[test]
fn messages_of_tests_are_not_read() {
    let (findings, docs) = read("/// A.\nfn f() { g(\"is no object\") }\n", true);
    assert!(findings.is_empty());
    assert_eq!(docs, 1);
}
