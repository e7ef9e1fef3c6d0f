//! Layers as they should be, and what is refused.

use std::os::unix::fs::PermissionsExt as _;

use oci_image::{Limits, Unpacker};
use tar::EntryType;

use super::*;

#[track_caller]
fn refused(layers: &[&[Raw]], why: &str) {
    let error = unpack(Some("data"), layers).unwrap_err();
    assert!(error.contains(why), "{error}");
}

#[test]
fn only_the_payload_is_unpacked() {
    let layer = [
        file("etc/passwd", "root"),
        raw("dev/null", EntryType::Char, "", b""),
        link("bin", "/usr/bin"),
        dir("data/"),
        file("./data/a", "1"),
        file("/data/sub/b", "2"),
        file("database/c", "3"),
        link("data/c", "sub/b"),
        raw("data/d", EntryType::Link, "data/a", b""),
    ];
    assert_eq!(
        unpack(Some("data"), &[&layer]).unwrap(),
        ["a = 1", "c -> sub/b", "d = 1", "sub/", "sub/b = 2"]
    );
    let whole = unpack(None, &[&layer[3..7]]).unwrap();
    assert_eq!(
        whole,
        [
            "data/",
            "data/a = 1",
            "data/sub/",
            "data/sub/b = 2",
            "database/",
            "database/c = 3"
        ]
    );
}

#[test]
fn upper_layers_replace_and_hide() {
    let lower = [
        file("data/a", "1"),
        file("data/sub/b", "2"),
        file("data/sub/c", "3"),
        file("data/x/y", "4"),
    ];
    let check = |upper: &[Raw], expected: &[&str]| {
        assert_eq!(unpack(Some("data"), &[&lower, upper]).unwrap(), expected);
    };
    check(
        &[file("data/a", "new")],
        &["a = new", "sub/", "sub/b = 2", "sub/c = 3", "x/", "x/y = 4"],
    );
    check(&[file("data/.wh.sub", "")], &["a = 1", "x/", "x/y = 4"]);
    // The marker means lower layers, wherever in its own layer it stands.
    check(
        &[file("data/sub/new", "5"), file("data/sub/.wh..wh..opq", "")],
        &["a = 1", "sub/", "sub/new = 5", "x/", "x/y = 4"],
    );
    check(&[file("data/new", "5"), file(".wh.data", "")], &["new = 5"]);
    check(&[file(".wh..wh..opq", "")], &[]);
    check(
        &[file("other/.wh.data", ""), file(".wh.a", "")],
        &["a = 1", "sub/", "sub/b = 2", "sub/c = 3", "x/", "x/y = 4"],
    );
    check(
        &[file("data/sub", "file now"), dir("data/a")],
        &["a/", "sub = file now", "x/", "x/y = 4"],
    );
}

#[test]
fn what_leads_out_is_refused() {
    refused(&[&[file("data/../../x", "")]], "must not leave its directory");
    refused(&[&[file("../x", "")]], "must not leave its directory");
    refused(&[&[link("data/l", "/etc")]], "absolute target");
    refused(&[&[link("data/l", "../../etc")]], "lead out");
    refused(&[&[link("data/l", "a/../../..")]], "lead out");
    refused(&[&[link("data", "elsewhere")]], "must be a directory");
    refused(&[&[link("data/l", "sub"), file("data/l/x", "")]], "below a link");
    refused(
        &[&[file("data/f", ""), file("data/f/x", "")]],
        "below a link or a file",
    );
    refused(
        &[&[raw("data/h", EntryType::Link, "etc/shadow", b"")]],
        "missing file",
    );
    refused(
        &[&[raw("data/h", EntryType::Link, "../../etc/shadow", b"")]],
        "must not leave its directory",
    );
    refused(
        &[&[
            dir("data/d"),
            link("data/l", "d"),
            raw("data/h", EntryType::Link, "data/l/x", b""),
        ]],
        "missing file",
    );
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo] {
        refused(&[&[raw("data/x", kind, "", b"")]], "neither a file");
    }
    refused(&[&[raw("data/s", EntryType::GNUSparse, "", b"")]], "sparse");
    refused(&[&[file("data/.wh...", "")]], "hides nothing");
}

#[test]
fn limits_hold() {
    let run = |limits: Limits, entries: &[Raw]| {
        let scratch = tempfile::tempdir().unwrap();
        Unpacker::new(scratch.path(), Some("data"), limits)
            .apply(&archive(entries)[..])
            .map_err(|error| error.to_string())
    };
    let entries = [file("data/a", "12345"), file("data/b", "12345")];
    run(
        Limits {
            entries: 2,
            bytes: 10,
        },
        &entries,
    )
    .unwrap();
    assert!(
        run(
            Limits {
                entries: 1,
                bytes: 10
            },
            &entries
        )
        .unwrap_err()
        .contains("more entries")
    );
    assert!(
        run(Limits { entries: 2, bytes: 9 }, &entries)
            .unwrap_err()
            .contains("more bytes")
    );
    // Directories that are only implied count too.
    let deep = [file("data/a/b/c/d", "")];
    assert!(
        run(
            Limits {
                entries: 3,
                bytes: 10
            },
            &deep
        )
        .unwrap_err()
        .contains("more entries")
    );
}

#[test]
fn an_announced_size_is_no_reason_to_allocate_or_to_believe() {
    let mut huge = archive(&[file("data/a", "abc")]);
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&huge[..512]);
    header.set_size(1 << 40);
    header.set_cksum();
    huge[..512].copy_from_slice(header.as_bytes());
    let scratch = tempfile::tempdir().unwrap();
    let limits = Limits {
        entries: 10,
        bytes: 1 << 41,
    };
    let error = Unpacker::new(scratch.path(), None, limits)
        .apply(&huge[..])
        .unwrap_err();
    assert!(error.to_string().contains("ends inside a file"), "{error}");

    let long_name = archive(&[raw(
        "././@LongLink",
        EntryType::GNULongName,
        "",
        &vec![b'a'; 2 << 20],
    )]);
    let error = Unpacker::new(scratch.path(), None, LIMITS)
        .apply(&long_name[..])
        .unwrap_err();
    assert!(
        error.to_string().contains("extended header of 2097152 bytes"),
        "{error}"
    );
}

#[test]
fn long_names_and_executables_survive() {
    let name = format!("data/{}/file", "d".repeat(150));
    let scratch = tempfile::tempdir().unwrap();
    let mut unpacker = Unpacker::new(scratch.path(), Some("data"), LIMITS);
    unpacker.apply(&well_formed(&[(&name, b"abc")])[..]).unwrap();
    assert_eq!(unpacker.files(), 1);
    let path = scratch.path().join("d".repeat(150)).join("file");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o755);
}

#[test]
fn extended_headers_give_names_and_sizes() {
    let record = |key: &str, value: &str| {
        let body = format!(" {key}={value}\n");
        // Two digits of length are right for all records here.
        format!("{}{body}", body.len() + 2)
    };
    let pax = record("path", "data/renamed") + &record("size", "3");
    let mut entries = archive(&[raw("pax", EntryType::XHeader, "", pax.as_bytes())]);
    entries.truncate(entries.len() - 1024);
    let mut body = archive(&[file("x", "abc")]);
    body[124..136].copy_from_slice(b"00000000000\0");
    let sum: u32 = (0..512)
        .map(|at| {
            if (148..156).contains(&at) {
                32
            } else {
                u32::from(body[at])
            }
        })
        .sum();
    body[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    entries.extend(body);
    let scratch = tempfile::tempdir().unwrap();
    Unpacker::new(scratch.path(), Some("data"), LIMITS)
        .apply(&entries[..])
        .unwrap();
    assert_eq!(listing(scratch.path()), ["renamed = abc"]);
}
