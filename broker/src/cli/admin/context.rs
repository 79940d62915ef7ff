//! `windlass admin context`: names for brokers.

use super::super::contexts::{Context, Contexts};
use super::super::exit::Exit;
use super::super::failure::{Failure, Outcome};
use super::super::output::{self, Output, Question};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Subcommand)]
pub(super) enum Which {
    /// All of them
    List,
    /// Name a broker, or change what a name stands for
    Add {
        /// Its name
        name: String,
        /// Where it listens, like broker:7520
        #[arg(value_name = "WHERE")]
        at: String,
        /// The namespace of the jobs
        #[arg(long = "in", value_name = "NAMESPACE")]
        within: Option<String>,
        /// The authority of the broker's certificate, in PEM: speak TLS there
        #[arg(long = "ca", value_name = "FILE")]
        ca: Option<PathBuf>,
        /// The certificate to show there, in PEM
        #[arg(long = "cert", value_name = "FILE", requires_all = ["ca", "key"])]
        cert: Option<PathBuf>,
        /// Its key
        #[arg(long = "key", value_name = "FILE", requires = "cert")]
        key: Option<PathBuf>,
        /// The file with the token that the broker asks for
        #[arg(long = "token-in", value_name = "FILE")]
        token: Option<PathBuf>,
        /// Whoever is about to lose something has to type how much
        #[arg(long)]
        protected: bool,
    },
    /// Mean this broker from now on; `-` is the one before
    Use {
        /// Its name
        name: String,
    },
    /// One of them; the present one unless said otherwise
    Show {
        /// Its name
        name: Option<String>,
    },
    /// Forget it
    Remove {
        /// Its name
        name: String,
    },
}

/// Runs the command.
pub(super) fn run(out: &Output, yes: bool, what: Option<&Which>) -> Outcome {
    let mut contexts = Contexts::load()?;
    match what {
        None | Some(Which::List) => {
            let rows: Vec<Value> = contexts.context.keys().map(|name| row(&contexts, name)).collect();
            out.rows(&["name", "addr", "namespace", "protected", "current"], &rows)?;
            if rows.is_empty() {
                out.hint("next: windlass admin context add NAME ADDR");
            }
        }
        Some(Which::Add { name, at, within, token, ca, cert, key, protected }) => {
            if name.is_empty() || name == "-" {
                return Err(Failure::usage("a context needs a name other than \"-\""));
            }
            let context = Context {
                addr: at.clone(),
                namespace: within.clone(),
                token_file: whole(token.as_ref())?,
                tls_ca: whole(ca.as_ref())?,
                tls_cert: whole(cert.as_ref())?,
                tls_key: whole(key.as_ref())?,
                protected: *protected,
            };
            contexts.context.insert(name.clone(), context);
            contexts.save()?;
            out.done(&row(&contexts, name), &format!("{name} is {at}"))?;
            out.hint(&format!("next: windlass admin context use {name}"));
        }
        Some(Which::Use { name }) => {
            let name = match (name.as_str(), &contexts.previous) {
                ("-", Some(previous)) => previous.clone(),
                ("-", None) => return Err(Failure::not_found("there was no context before this one")),
                (name, _) => name.to_owned(),
            };
            contexts.get(&name)?;
            contexts.previous = contexts.current.replace(name.clone());
            contexts.save()?;
            out.done(&row(&contexts, &name), &format!("{name} is meant from now on"))?;
        }
        Some(Which::Show { name }) => {
            let name = name.clone().or_else(|| contexts.current.clone());
            let name = name.ok_or_else(|| Failure::not_found("no context is in use"))?;
            contexts.get(&name)?;
            out.object(&row(&contexts, &name))?;
        }
        Some(Which::Remove { name }) => {
            contexts.get(name)?;
            let what = format!("The context {name} will be forgotten.");
            output::confirm(&Question { what: &what, count: 1, is_protected: false, yes })?;
            contexts.context.remove(name);
            contexts.current.take_if(|current| current == name);
            contexts.previous.take_if(|previous| previous == name);
            contexts.save()?;
            out.done(&json!({"name": name, "removed": true}), &format!("{name} is forgotten"))?;
        }
    }
    Ok(Exit::Ok)
}

/// A path that means the same in every directory.
fn whole(path: Option<&PathBuf>) -> Result<Option<PathBuf>, Failure> {
    let whole = path.map(std::path::absolute).transpose();
    whole.map_err(|error| Failure::failed(format!("the present directory is unknown: {error}")))
}

fn row(contexts: &Contexts, name: &str) -> Value {
    let context = contexts.context.get(name).cloned().unwrap_or_default();
    json!({
        "name": name,
        "addr": context.addr,
        "namespace": context.namespace,
        "tls_ca": context.tls_ca,
        "tls_cert": context.tls_cert,
        "tls_key": context.tls_key,
        "token_file": context.token_file,
        "protected": context.protected,
        "current": contexts.current.as_deref() == Some(name),
    })
}
