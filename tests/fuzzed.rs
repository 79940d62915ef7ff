//! All that fuzzers have kept: inputs that reach what others do not, and inputs that something broke on.

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

/// What a fuzzer calls with whatever it makes up.
type Target = fn(&[u8]);

/// Bytes of all inputs together.
const CORPUS_BYTES_MAX: u64 = 300_000;

#[test]
fn nothing_breaks_on_what_fuzzers_have_found() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let targets: [(&str, Target); 5] = [
        ("frame", targets::frame),
        ("message", targets::message),
        ("stored", targets::stored),
        ("filter", targets::filter),
        ("body", targets::body),
    ];
    let mut all = 0;
    for (name, target) in targets {
        let inputs = std::fs::read_dir(corpus.join(name)).expect("every target has inputs");
        let inputs: Vec<_> = inputs.map(|input| input.expect("it is there").path()).collect();
        assert!(inputs.len() > 10, "{name} has {} inputs", inputs.len());
        for input in inputs {
            let bytes = std::fs::read(&input).expect("it is read");
            all += bytes.len() as u64;
            println!("{}", input.display());
            target(&bytes);
        }
    }
    assert!(all <= CORPUS_BYTES_MAX, "the inputs have {all} bytes together; minimise them");
}
