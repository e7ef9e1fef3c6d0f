//! Four-bit weights against the bytes of bitsandbytes (`tools/record_quantized.py`).

use std::path::Path;

use safetensors::SafeTensors;
use tuning_job::network::{QuantType, QuantizedWeights, Scales};

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

#[test]
fn bytes_match_bitsandbytes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/quantized.safetensors");
    let file = std::fs::read(path).unwrap();
    let all = SafeTensors::deserialize(&file).unwrap();
    let bytes = |name: String| all.tensor(&name).unwrap().data().to_vec();
    for name in ["whole", "odd"] {
        let weights = floats(&bytes(format!("{name}.weight")));
        for (kind, table) in [("nf4", QuantType::Nf4), ("fp4", QuantType::Fp4)] {
            let of = |part: &str| bytes(format!("{name}.{kind}.{part}"));
            let plain = QuantizedWeights::new(&weights, table, false);
            assert_eq!(plain.codes(), of("codes"), "{name} {kind}");
            assert_eq!(
                plain.scales(),
                &Scales::Plain(floats(&of("scales"))),
                "{name} {kind}"
            );
            let values = floats(&of("values"));
            let off = plain
                .dequantized()
                .iter()
                .zip(&values)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(off < 1e-6, "{name} {kind}: values are off by {off}");
            let double = QuantizedWeights::new(&weights, table, true);
            assert_eq!(double.codes(), of("codes"));
            let Scales::Double { codes, outer, offset } = double.scales() else {
                panic!("double quantisation was asked for");
            };
            assert_eq!(codes, &of("double.codes"), "{name} {kind}");
            let close = |a: f32, b: f32| (a - b).abs() <= 2e-7 * b.abs();
            assert!(
                outer
                    .iter()
                    .zip(floats(&of("double.scales")))
                    .all(|(a, b)| close(*a, b)),
                "{name} {kind}"
            );
            assert!(close(*offset, floats(&of("double.offset"))[0]), "{name} {kind}");
        }
    }
}
