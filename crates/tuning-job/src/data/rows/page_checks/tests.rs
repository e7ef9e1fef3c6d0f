//! Tests of each limit.

use super::*;

const MIB: u64 = 1 << 20;

fn chunk(codec: Codec) -> Chunk {
    Chunk {
        column: "text".to_owned(),
        start: 4,
        length: 1 << 40,
        uncompressed: 1 << 40,
        codec,
        value_bytes: 4,
    }
}

fn header(part: Part, compressed: u64, uncompressed: u64) -> Header {
    Header {
        part,
        compressed,
        uncompressed,
    }
}

const V2: Part = Part::DataV2 {
    levels: 10,
    compressed: true,
};
const V2_PLAIN: Part = Part::DataV2 {
    levels: 10,
    compressed: false,
};

/// Memory of the largest possible page, and the refusal of one that has a byte more.
#[test]
fn each_bound_is_exact() {
    let dictionary = |values| Part::Dictionary { values };
    let value = size_of::<ByteArray>() as u64;
    for (codec, part, sizes, held, (too_much, said)) in [
        (
            Codec::None,
            Part::Data,
            (100, 100),
            100,
            (header(Part::Data, 100, 101), "become"),
        ),
        (
            Codec::Snappy,
            Part::Data,
            (10, 220),
            230,
            (header(Part::Data, 10, 221), "become"),
        ),
        (
            Codec::Lz4,
            Part::Data,
            (10, 2550),
            2560,
            (header(Part::Data, 10, 2551), "become"),
        ),
        (
            Codec::Lz4Hadoop,
            Part::Data,
            (10, 2550),
            2560,
            (header(Part::Data, 10, 2551), "become"),
        ),
        (
            Codec::Gzip,
            Part::Data,
            (10, 10_320),
            10_330,
            (header(Part::Data, 10, 10_321), "become"),
        ),
        (
            Codec::Zstd,
            Part::Data,
            (4, 131_072),
            131_076,
            (header(Part::Data, 4, 131_073), "become"),
        ),
        (
            Codec::Snappy,
            Part::Data,
            (0, 0),
            0,
            (header(Part::Data, 0, 1), "become"),
        ),
        (Codec::Snappy, V2, (20, 230), 250, (header(V2, 20, 231), "become")),
        (Codec::Snappy, V2, (10, 10), 20, (header(V2, 9, 20), "become")),
        (Codec::Snappy, V2, (10, 10), 20, (header(V2, 20, 9), "become")),
        (
            Codec::Snappy,
            V2_PLAIN,
            (20, 20),
            20,
            (header(V2_PLAIN, 20, 21), "become"),
        ),
        (
            Codec::Zstd,
            Part::Data,
            (MIB, 128 * MIB),
            129 * MIB,
            (header(Part::Data, MIB, 128 * MIB + 1), "supported"),
        ),
        (
            Codec::Zstd,
            Part::Data,
            (128 * MIB, MIB),
            129 * MIB,
            (header(Part::Data, 128 * MIB + 1, MIB), "supported"),
        ),
        (
            Codec::None,
            dictionary(25),
            (100, 100),
            100 + 25 * value,
            (header(dictionary(26), 100, 100), "values"),
        ),
        (
            Codec::None,
            dictionary(0),
            (0, 0),
            0,
            (header(dictionary(1), 3, 3), "values"),
        ),
        (
            Codec::None,
            Part::Index,
            (100, u64::MAX),
            0,
            (header(Part::Index, (1 << 40) + 1, 1), "left"),
        ),
    ] {
        let chunk = chunk(codec);
        let good = header(part, sizes.0, sizes.1);
        assert_eq!(chunk.held(&good, 1 << 40), Ok(held), "{codec:?} {good:?}");
        let (problem, remedy) = chunk.held(&too_much, 1 << 40).unwrap_err();
        assert!(problem.contains(said), "{codec:?} {too_much:?}: {problem}");
        assert_eq!(remedy == LARGE, said == "supported");
    }
}

#[test]
fn a_page_fits_its_column() {
    let mut chunk = chunk(Codec::Zstd);
    let page = header(Part::Data, 100, 1000);
    assert!(chunk.held(&page, 100).is_ok());
    assert!(chunk.held(&page, 99).unwrap_err().0.contains("99 are left"));
    chunk.uncompressed = 1000;
    assert!(chunk.held(&page, 100).is_ok());
    chunk.uncompressed = 999;
    assert!(chunk.held(&page, 100).unwrap_err().0.contains("whole column 999"));
}

#[test]
fn lz4_frames_are_recognized() {
    for (magic, is) in [
        (0x184d_2204, true),
        (0x184c_2102, true),
        (0x184d_2a50, true),
        (0x184d_2a5f, true),
        (0x184d_2a60, false),
        (0x184d_2205, false),
        (0, false),
    ] {
        assert_eq!(is_lz4_frame(magic), is, "{magic:x}");
    }
}
