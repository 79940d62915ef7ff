//! `windlass admin apply` and `config`: declared configuration, compared and stored; and printed.

mod file;
mod set;

pub(super) use self::set::{SetArgs, remove, set};

use self::file::File;
use super::super::failure::{Failure, Outcome};
use super::super::output::{self, Form};
use super::{Desk, done};
use clap::Args;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use windlass_client::proto::{ConfigView, Put, Resource};

/// What is declared, and how far it goes.
#[derive(Args)]
pub(super) struct ApplyArgs {
    /// A TOML file like `windlass admin config` prints; `-` for stdin
    file: String,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove what the file does not declare, pauses included
    #[arg(long)]
    prune: bool,
    /// For those who ask later
    #[arg(long, default_value = "")]
    reason: String,
}

/// What applying comes to.
#[derive(Default)]
struct Plan {
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
    same: usize,
    /// The same for people.
    lines: Vec<String>,
}

/// Prints all resources as a file that `apply` takes.
pub(super) async fn print(desk: &Desk) -> Outcome {
    let resources = desk.admin.config().await?.into_iter().filter_map(|view| view.resource);
    let file: File = resources.collect();
    let value = serde_json::to_value(&file).expect("a file of ours is JSON");
    match desk.form() {
        Form::Json | Form::Jsonl | Form::Csv => desk.object(&value)?,
        Form::Table => output::line(file.print().trim_end()),
        Form::Name => file.resources().iter().for_each(|resource| output::line(&resource.name)),
    }
    done()
}

/// Runs the command.
pub(super) async fn run(desk: &Desk, apply: &ApplyArgs) -> Outcome {
    let file = read(&apply.file).and_then(|text| File::parse(&text));
    let set = file.map_err(|message| Failure::usage(format!("{}: {message}", apply.file)))?.resources();
    let stored: BTreeMap<String, ConfigView> = desk
        .admin
        .config()
        .await?
        .into_iter()
        .map(|view| (view.resource.as_ref().map(|resource| resource.name.clone()).unwrap_or_default(), view))
        .collect();
    // Whoever changes something meanwhile is not overwritten.
    let version = |name: &str| stored.get(name).map_or(0, |view| view.version);
    let set: Vec<Resource> = set
        .into_iter()
        .map(|resource| Resource { if_version: version(&resource.name), ..resource })
        .collect();
    let put = Put { set, prune: apply.prune, reason: apply.reason.clone(), ..Put::default() };
    // The broker tells what differs: a resource that would be the same keeps its version.
    let answer = desk.admin.put(Put { dry_run: true, ..put.clone() }).await?;
    let versions: Vec<u64> = answer.results.iter().map(|one| one.version).collect();
    let plan = plan(&put, &versions, &stored);
    let is_idle = plan.added.is_empty() && plan.changed.is_empty() && plan.removed.is_empty();
    if desk.form() == Form::Table {
        plan.lines.iter().for_each(|line| output::line(line));
    }
    if !is_idle && !apply.dry_run {
        let count = plan.removed.len() as u64;
        if count > 0 {
            desk.confirm(
                &format!("About to remove {} on {}.", output::count(count, "resource"), desk.place()),
                count,
            )?;
        }
        desk.admin.put(put).await?;
    }
    let value = json!({
        "added": plan.added,
        "changed": plan.changed,
        "removed": plan.removed,
        "same": plan.same,
        "dry_run": apply.dry_run,
    });
    let counts = [plan.added.len(), plan.changed.len(), plan.removed.len()];
    let text =
        format!("{} added, {} changed, {} removed, {} the same", counts[0], counts[1], counts[2], plan.same);
    let text = if apply.dry_run { format!("{text}; nothing was stored") } else { text };
    desk.done(&value, &text)?;
    done()
}

fn read(file: &str) -> Result<String, String> {
    let mut text = String::new();
    let read = match file {
        "-" => std::io::stdin().lock().read_to_string(&mut text).map(drop),
        file => std::fs::read_to_string(file).map(|read| text = read),
    };
    read.map(|()| text).map_err(|error| error.to_string())
}

/// What differs between what is declared and what is stored.
fn plan(put: &Put, versions: &[u64], stored: &BTreeMap<String, ConfigView>) -> Plan {
    let mut plan = Plan::default();
    for (resource, version) in put.set.iter().zip(versions) {
        let name = resource.name.clone();
        match stored.get(&name) {
            None => {
                plan.lines.push(format!("+ {name}"));
                plan.lines.extend(differences(None, Some(resource)));
                plan.added.push(name);
            }
            Some(view) if view.version == *version => plan.same += 1,
            Some(view) => {
                plan.lines.push(format!("~ {name}"));
                plan.lines.extend(differences(view.resource.as_ref(), Some(resource)));
                plan.changed.push(name);
            }
        }
    }
    let declared: BTreeSet<&str> = put.set.iter().map(|resource| resource.name.as_str()).collect();
    let removed = stored.keys().filter(|name| put.prune && !declared.contains(name.as_str()));
    for name in removed {
        plan.lines.push(format!("- {name}"));
        plan.removed.push(name.clone());
    }
    plan
}

/// The fields that differ, a line each.
fn differences(before: Option<&Resource>, after: Option<&Resource>) -> Vec<String> {
    let fields = |resource: Option<&Resource>| {
        let file: File = resource.cloned().into_iter().collect();
        let mut fields = BTreeMap::new();
        flatten(String::new(), &serde_json::to_value(file).expect("a file of ours is JSON"), &mut fields);
        fields
    };
    let (before, after) = (fields(before), fields(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let lines = names.into_iter().filter(|name| before.get(*name) != after.get(*name)).map(|name| {
        let show = |fields: &BTreeMap<String, Value>| fields.get(name).map_or("-".into(), Value::to_string);
        format!("    {name}: {} -> {}", show(&before), show(&after))
    });
    lines.collect()
}

fn flatten(path: String, value: &Value, fields: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(path, value, fields);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            fields.insert(path, value.clone());
        }
    }
}
