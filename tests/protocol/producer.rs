//! The producer of docs/PROTOCOL.md's appendix, run as it stands there.

use crate::harness::{Broker, eventually};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn the_appendix_enqueues_a_job_with_nothing_but_a_standard_library() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PROTOCOL.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, code) = page.split_once("```python\n").unwrap();
    let (code, _) = code.split_once("```").unwrap();
    assert!(code.lines().filter(|line| !line.trim().is_empty()).count() <= 45, "it is meant to be short");

    let broker = Broker::start();
    let file = broker.home().join("producer.py");
    fs::write(&file, code).unwrap();
    let mut producer = Command::new("python3");
    producer.arg(&file).arg(broker.addr());
    let mut producer = crate::harness::Program::start(&mut producer, broker.home(), "producer");
    let code = eventually("the producer ends", || producer.exit_code());
    assert_eq!((code, producer.stderr().as_str()), (0, ""));

    let work = broker.peer().fetch("default");
    assert_eq!(
        (work.kind.as_str(), &work.payload[..]),
        ("send_email", &b"{\"to\": \"a@b.org\", \"subject\": \"Hi\", \"body\": \"Ho\"}"[..])
    );
    assert_eq!(producer.stdout().trim(), crate::harness::hex(&work.id));

    let mut refused = Command::new("python3");
    let spoiled = fs::read_to_string(&file).unwrap().replace("b\"send_email\"", "b\"send email\"");
    fs::write(&file, spoiled).unwrap();
    refused.arg(&file).arg(broker.addr());
    let mut refused = crate::harness::Program::start(&mut refused, broker.home(), "refused");
    assert_ne!(refused.wait(), 0);
    assert!(refused.stderr().starts_with("refused: "), "{}", refused.stderr());
}
