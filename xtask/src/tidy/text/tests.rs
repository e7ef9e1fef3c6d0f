//! Sources, taken apart.

use super::{Kind, SourceText};

fn pieces(text: &str) -> Vec<(Kind, usize, String)> {
    let source = SourceText::of(text);
    let pieces = source.pieces.into_iter();
    pieces.map(|piece| (piece.kind, piece.line, piece.text)).collect()
}

#[test]
fn docs_comments_and_literals_are_told_apart() {
    let text = "//! Module.\n/// Item.\nfn f() {\n    // why\n    g(\"a \\\" // b\");\n}\n";
    assert_eq!(
        pieces(text),
        [
            (Kind::Doc, 1, " Module.".to_owned()),
            (Kind::Doc, 2, " Item.".to_owned()),
            (Kind::Comment, 4, " why".to_owned()),
            (Kind::Literal, 5, "a \\\" // b".to_owned()),
        ]
    );
}

#[test]
fn raw_strings_characters_and_lifetimes() {
    let text = "fn f<'a>(x: &'a str) { g('\"', '\\'', '\\u{1F}', r#\"a \"b\"\n\"#, b\"c\"); } // end\n";
    assert_eq!(
        pieces(text),
        [
            (Kind::Literal, 1, "a \"b\"\n".to_owned()),
            (Kind::Literal, 2, "c".to_owned()),
            (Kind::Comment, 2, " end".to_owned()),
        ]
    );
    let code = SourceText::of(text).code;
    assert_eq!(
        code,
        "fn f<'a>(x: &'a str) { g(' ', ' ', ' ', r\"\"\n, b\"\"); } \n"
    );
}

#[test]
fn code_ends_where_inline_tests_begin() {
    let source = SourceText::of("fn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n");
    assert_eq!(source.product_code(), "fn f() {}");
    assert!(source.is_in_tests(4) && !source.is_in_tests(1));
    assert_eq!(SourceText::of("#[cfg(test)]\nmod tests;\n").tests_from, None);
}
