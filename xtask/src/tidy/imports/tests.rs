//! Arrows and cycles of small crates.

use super::paths::named;
use super::{Module, Modules, cycles, place};
use crate::tidy::text::tokens;

fn modules(files: &[(&str, &str)]) -> Modules {
    let read = |(file, text): &(&str, &str)| {
        (
            place(std::path::Path::new(file)),
            Module::of((*file).to_owned(), text),
        )
    };
    Modules(files.iter().map(read).collect())
}

fn arrows(files: &[(&str, &str)]) -> Vec<String> {
    let arrows = modules(files).arrows();
    let each = arrows
        .iter()
        .flat_map(|(from, to)| to.keys().map(move |to| format!("{from} → {to}")));
    each.collect()
}

fn cycles(files: &[(&str, &str)]) -> Vec<String> {
    let found = cycles::of(&modules(files).arrows());
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn use_declarations_are_read_as_trees() {
    let code = "pub use a::{self, b::{C, D as E}, *};\nfn f() { crate::g::h(x.y::<T>()) }";
    let found: Vec<_> = named(&tokens(code))
        .into_iter()
        .map(|named| {
            (
                named.segments.join("::"),
                named.alias.unwrap_or_default(),
                named.is_reexport,
            )
        })
        .collect();
    let expected = [
        ("a", "a", true),
        ("a::b::C", "C", true),
        ("a::b::D", "E", true),
        ("a::*", "*", true),
        ("crate::g::h", "", false),
    ];
    assert_eq!(
        found,
        expected.map(|(path, alias, passed)| (path.to_owned(), alias.to_owned(), passed))
    );
}

#[test]
fn names_are_followed_through_reexports() {
    let files = [
        ("lib.rs", "mod a;\nmod b;\npub use a::A;\n"),
        ("a.rs", "pub struct A;\n"),
        ("b.rs", "use crate::A;\nfn f(_: A) {}\n"),
    ];
    assert_eq!(arrows(&files), ["b.rs → a.rs"]);
}

#[test]
fn a_parent_and_a_child_that_use_each_other_are_a_cycle() {
    let files = [
        ("lib.rs", "mod a;\n"),
        ("a.rs", "mod b;\npub struct A;\nfn f() { b::g(A) }\n"),
        ("a/b.rs", "use super::A;\npub fn g(_: A) {}\n"),
    ];
    assert_eq!(
        cycles(&files),
        ["2 files import each other: a.rs:3 → a/b.rs:1 → a.rs"]
    );
}

#[test]
fn tests_and_external_paths_are_no_arrows() {
    let files = [
        ("lib.rs", "mod a;\npub struct S;\nfn f() { a::g() }\n"),
        (
            "a.rs",
            "use std::fmt::Debug;\npub fn g() {}\n#[cfg(test)]\nmod tests {\n    use crate::S;\n}\n",
        ),
    ];
    assert_eq!(arrows(&files), ["lib.rs → a.rs"]);
    assert_eq!(cycles(&files), Vec::<String>::new());
}
