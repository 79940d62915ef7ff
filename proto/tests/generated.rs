//! Keeps `src/v1.rs` equal to what prost makes of `v1/*.proto`, so that nobody needs protoc.
//!
//! `WINDLASS_REGENERATE=1 cargo test -p windlass-proto --test generated` writes the file anew.

use prost_build::Module;
use protox::prost_reflect::prost_types::{FileDescriptorProto, FileDescriptorSet};
use std::path::Path;

/// The file that imports all others.
const ENTRY: &str = "v1/windlass.proto";

const HEADER: &str = "// Generated from v1/*.proto by tests/generated.rs; change those, not this.\n";

#[test]
fn the_generated_code_is_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = root.join("src/v1.rs");
    let fresh = generate(root);
    if std::env::var_os("WINDLASS_REGENERATE").is_some() {
        std::fs::write(&committed, &fresh).unwrap();
    }
    let stands = std::fs::read_to_string(&committed).unwrap();
    assert!(
        stands == fresh,
        "src/v1.rs is stale: run WINDLASS_REGENERATE=1 cargo test -p windlass-proto --test generated"
    );
}

/// Compiles the schema in memory; protox needs no protoc, and nothing touches the source tree.
fn generate(root: &Path) -> String {
    let descriptors = protox::compile([ENTRY], [root]).expect("the schema compiles");
    let modules = prost_build::Config::new()
        .bytes(["."])
        .btree_map(["."])
        .generate(requests(descriptors))
        .expect("the schema compiles");
    let code: Vec<String> = modules.into_values().collect();
    assert_eq!(code.len(), 1, "all files share one package, hence one module");
    format!("{HEADER}{}", code[0])
}

fn requests(descriptors: FileDescriptorSet) -> Vec<(Module, FileDescriptorProto)> {
    descriptors
        .file
        .into_iter()
        .map(|file| (Module::from_protobuf_package_name(file.package()), file))
        .collect()
}
