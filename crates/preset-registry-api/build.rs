//! Generates the gRPC code and its descriptor from the contract, without a protoc on the machine.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use protox::prost::Message as _;

const INCLUDE: &str = "../../proto";
const CONTRACT: &str = "../../proto/kaito/preset/v1/preset_registry.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={INCLUDE}");
    let descriptors = protox::compile([CONTRACT], [INCLUDE])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("preset_registry.bin"), descriptors.encode_to_vec())?;
    // Ordered maps, so that equal messages have equal bytes.
    tonic_prost_build::configure()
        .btree_map(".")
        .compile_fds(descriptors)?;
    Ok(())
}
