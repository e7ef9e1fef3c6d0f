//! Prints the family, the size and the memory needs of a model directory: `cargo run --example describe -- DIR`.

use std::path::PathBuf;

use model::{CacheFormat, Spec, TensorStore};

#[expect(clippy::print_stdout, reason = "the result of the program")]
fn main() -> anyhow::Result<()> {
    let dir: PathBuf = std::env::args_os().nth(1).unwrap_or_default().into();
    let (spec, store) = (Spec::open(&dir)?, TensorStore::open(&dir)?);
    println!(
        "family       {:?}, {} layers, hidden size {}",
        spec.family,
        spec.layers.len(),
        spec.hidden_size
    );
    println!("parameters   {:.1} M", spec.num_parameters() as f64 / 1e6);
    println!("weights      {:.0} MB on disk", store.bytes() as f64 / 1e6);
    println!(
        "context      {} tokens, {} bytes of cache each in bfloat16",
        spec.max_position_embeddings,
        CacheFormat::Bf16.bytes_per_position(&spec)
    );
    Ok(())
}
