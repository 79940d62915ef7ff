//! `windlass admin queue set` and its like: some fields of one resource, the others as they are.

use super::super::super::failure::{Failure, Outcome};
use super::super::{Desk, absent, done};
use super::{File, differences};
use clap::Args;
use serde_json::json;
use toml::{Table, Value};
use windlass_client::proto::{Put, Resource};

/// Fields and their values.
#[derive(Args)]
pub(in crate::cli::admin) struct SetArgs {
    /// Like `policy.max_attempts=5`; the fields are those that `windlass admin config` prints
    #[arg(required = true, value_name = "FIELD=VALUE", value_parser = assignment)]
    settings: Vec<(String, String)>,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// For those who ask later
    #[arg(long, default_value = "")]
    reason: String,
}

/// Sets fields of the resource of this sort and name, which is made if it is not there.
pub(in crate::cli::admin) async fn set(desk: &Desk, sort: &str, name: &str, args: &SetArgs) -> Outcome {
    let full = format!("{sort}/{name}");
    let stored = desk.admin.config().await?.into_iter();
    let stored = stored.filter(|view| view.resource.as_ref().is_some_and(|resource| resource.name == full));
    let stored = stored.last().unwrap_or_default();
    let file: File = stored.resource.clone().into_iter().collect();
    let changed = assigned(&file, sort, name, &args.settings).map_err(Failure::usage)?;
    let resource = changed.resources().into_iter().next().ok_or_else(|| absent(sort, name))?;
    let lines = differences(stored.resource.as_ref(), Some(&resource));
    let resource = Resource { if_version: stored.version, ..resource };
    let put =
        Put { set: vec![resource], dry_run: args.dry_run, reason: args.reason.clone(), ..Put::default() };
    let answer = desk.admin.put(put).await?;
    let version = answer.results.first().map_or(0, |one| one.version);
    let text = if lines.is_empty() { format!("{full} is so already") } else { lines.join("\n") };
    let value = json!({"name": full, "version": version, "changed": lines.len(), "dry_run": args.dry_run});
    desk.done(&value, &text)?;
    done()
}

/// Removes a resource.
pub(in crate::cli::admin) async fn remove(desk: &Desk, sort: &str, name: &str, reason: &str) -> Outcome {
    let full = format!("{sort}/{name}");
    let is_there = desk
        .admin
        .config()
        .await?
        .iter()
        .any(|view| view.resource.as_ref().is_some_and(|resource| resource.name == full));
    if !is_there {
        return Err(absent(sort, name));
    }
    desk.confirm(&format!("About to remove {full} on {}.", desk.place()), 1)?;
    let put = Put { remove: vec![full.clone()], reason: reason.to_owned(), ..Put::default() };
    desk.admin.put(put).await?;
    desk.done(&json!({"name": full, "removed": true}), &format!("{full} is removed"))?;
    done()
}

/// The file with these fields set.
fn assigned(file: &File, sort: &str, name: &str, fields: &[(String, String)]) -> Result<File, String> {
    let mut table = Table::try_from(file).map_err(|error| error.to_string())?;
    for (field, value) in fields {
        let mut path = vec![sort, name];
        path.extend(field.split('.'));
        assign(&mut table, &path, read(value))?;
    }
    File::parse(&toml::to_string(&table).map_err(|error| error.to_string())?)
}

fn assign(table: &mut Table, path: &[&str], value: Option<Value>) -> Result<(), String> {
    match (path, value) {
        ([last], Some(value)) => drop(table.insert((*last).to_owned(), value)),
        ([last], None) => drop(table.remove(*last)),
        ([first, rest @ ..], value) => {
            let inner = table.entry(*first).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(inner) = inner else { return Err(format!("{first} has no fields")) };
            assign(inner, rest, value)?;
        }
        ([], _) => {}
    }
    Ok(())
}

/// A value as TOML, or else a text; nothing for nothing.
fn read(text: &str) -> Option<Value> {
    let parsed: Option<Table> = format!("value = {text}").parse().ok();
    let value = parsed.and_then(|mut table| table.remove("value"));
    (!text.is_empty()).then(|| value.unwrap_or_else(|| Value::String(text.to_owned())))
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(field, _)| !field.is_empty());
    pair.map(|(field, value)| (field.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("{text:?} is no setting; write it like policy.max_attempts=5"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_set_and_taken_back_beside_the_others() {
        let pair = |field: &str, value: &str| (field.to_owned(), value.to_owned());
        let file = File::parse("[queue.mail]\ndispatch = \"random\"\n").unwrap();
        let fields = [pair("policy.max_attempts", "5"), pair("policy.ordering", "serial")];
        let set = assigned(&file, "queue", "mail", &fields).unwrap();
        let text = "[queue.mail]\ndispatch = \"random\"\n\n[queue.mail.policy]\nmax_attempts = 5\nordering = \"serial\"\n";
        assert_eq!(set.print(), text);
        let back = assigned(&set, "queue", "mail", &[pair("policy", ""), pair("dispatch", "")]).unwrap();
        assert_eq!(back.print(), "[queue.mail]\n");
        let wrong = assigned(&set, "queue", "mail", &[pair("policy.max_attemps", "5")]).unwrap_err();
        assert!(wrong.contains("max_attempts"), "{wrong}");
        assert!(assigned(&set, "queue", "mail", &[pair("dispatch.x", "5")]).is_err());
    }
}
