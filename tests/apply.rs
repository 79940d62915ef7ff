//! Declared configuration: `admin apply` and `admin config`, and what Query CONFIG shows.

use crate::harness::{Answer, Broker, windlass};
use serde_json::{Value, json};
use std::fs;
use windlass_proto::v1::query::What;
use windlass_proto::v1::{Query, resource};

const FILE: &str = r#"
[queue.mail.policy]
max_attempts = 5

[kind.send_email]
backoff = { base_ms = 1000 }

[limit."pause:queue/bills"]
concurrency = 0
why = "audit"
"#;

fn admin(broker: &Broker, arguments: &[&str]) -> Answer {
    windlass(&[&["admin"], arguments, &["--addr", broker.addr()]].concat())
}

fn applied(broker: &Broker, arguments: &[&str]) -> Value {
    admin(broker, &[arguments, &["--output", "json"]].concat()).ok().json()
}

#[test]
fn a_file_is_applied_compared_and_pruned() {
    let broker = Broker::start();
    let file = broker.home().join("windlass.toml");
    let path = file.to_str().unwrap();
    fs::write(&file, FILE).unwrap();
    let names = ["queue/mail", "kind/send_email", "limit/pause:queue/bills"];
    let planned = applied(&broker, &["apply", path, "--dry-run"]);
    assert_eq!((&planned["added"], &planned["dry_run"]), (&json!(names), &json!(true)));
    assert_eq!(admin(&broker, &["config"]).ok().out.trim(), "", "a dry run stores nothing");
    assert_eq!(applied(&broker, &["apply", path])["added"], json!(names));
    assert!(broker.peer().queue("bills").paused);
    let again = applied(&broker, &["apply", path]);
    assert_eq!((&again["changed"], &again["same"]), (&json!([]), &json!(3)), "what is so already stays");

    // What is printed can be applied, and changes nothing.
    let printed = admin(&broker, &["config"]).ok().out;
    fs::write(&file, &printed).unwrap();
    assert_eq!(applied(&broker, &["apply", path])["same"], 3, "{printed}");

    fs::write(&file, "[queue.mail.policy]\nmax_attempts = 6\n").unwrap();
    let shown = admin(&broker, &["apply", path, "--prune", "--dry-run"]).ok().out;
    assert!(shown.contains("~ queue/mail\n    queue.mail.policy.max_attempts: 5 -> 6\n"), "{shown}");
    assert!(shown.contains("- kind/send_email\n- limit/pause:queue/bills\n"), "{shown}");
    let asked = admin(&broker, &["apply", path, "--prune"]);
    assert!(asked.code == 9 && asked.err.contains("About to remove 2 resources"), "{asked:?}");
    let pruned = applied(&broker, &["apply", path, "--prune", "--yes"]);
    assert_eq!(
        (&pruned["changed"], pruned["removed"].as_array().unwrap().len()),
        (&json!(["queue/mail"]), 2)
    );
    let configs = broker.peer().rows(Query { what: What::Config.into(), ..Query::default() }).configs;
    let [mail] = &configs[..] else { panic!("{configs:?}") };
    let resource = mail.resource.clone().unwrap();
    assert_eq!((resource.name.as_str(), mail.version, mail.changed_at_ms > 0), ("queue/mail", 2, true));
    assert!(matches!(resource.what, Some(resource::What::Queue(_))));
    assert!(!broker.peer().queue("bills").paused);
}

#[test]
fn a_file_that_makes_no_sense_is_refused() {
    let broker = Broker::start();
    let file = broker.home().join("windlass.toml");
    let path = file.to_str().unwrap();
    assert_eq!(admin(&broker, &["apply", path]).code, 2, "there is no such file");
    for (text, code, told) in [
        ("[queue.mail]\nmax_job = 3\n", 2, "max_jobs"),
        ("[queue.\"a b\"]\n", 1, "name"),
        ("[kind.k]\npriority = 10\n", 1, "10"),
    ] {
        fs::write(&file, text).unwrap();
        let refused = admin(&broker, &["apply", path]);
        assert!(refused.code == code && refused.err.contains(told), "{text}: {refused:?}");
    }
    assert_eq!(admin(&broker, &["config"]).ok().out.trim(), "");
}
