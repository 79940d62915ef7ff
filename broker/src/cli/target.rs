//! Which broker a command is about, and how long it is waited for.

use super::contexts::Contexts;
use super::failure::Failure;
use super::trust::TlsArgs;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use windlass_client::{Client, Tls};

/// Where a broker listens unless it is told otherwise.
const HERE: &str = "127.0.0.1:7520";

/// Where the broker is.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Target {
    /// Address of the broker, like 127.0.0.1:7520 [env: WINDLASS_ADDR=] [default: that of the context, else
    /// 127.0.0.1:7520]
    #[arg(long, global = true, value_name = "ADDR", help_heading = "Broker")]
    addr: Option<String>,
    /// Namespace of the jobs [env: WINDLASS_NAMESPACE=] [default: that of the context, else default]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Broker")]
    namespace: Option<String>,
    /// Broker by its name, see `windlass admin context` [env: WINDLASS_CONTEXT=]
    #[arg(long, short, global = true, value_name = "NAME", help_heading = "Broker")]
    context: Option<String>,
    /// File with a token, where the broker asks for one [env: WINDLASS_TOKEN_FILE=, or the token itself in
    /// WINDLASS_TOKEN] [default: that of the context]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Broker")]
    token_file: Option<PathBuf>,
    /// How long to try to connect, and then each request [default: 5s, and 30s]
    #[arg(long, global = true, value_name = "TIME", value_parser = super::enqueue::duration, help_heading = "Broker")]
    timeout: Option<Duration>,
    #[command(flatten)]
    tls: TlsArgs,
}

/// Where the token is.
#[derive(Clone, PartialEq, Eq)]
enum Token {
    Given(String),
    In(PathBuf),
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Given(..)"),
            Self::In(path) => f.debug_tuple("In").field(path).finish(),
        }
    }
}

/// The broker that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) addr: String,
    /// Whom to trust there, and what to show; `None`: no TLS.
    tls: Option<Tls>,
    namespace: Option<String>,
    token: Option<Token>,
    /// The name it was found by.
    pub(super) context: Option<String>,
    /// What loses something asks for the number.
    pub(super) is_protected: bool,
}

impl Target {
    /// Finds out which broker is meant: by flag, then by the environment, then by the current context.
    pub(super) fn place(&self) -> Result<Place, Failure> {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        self.place_with(env, Contexts::load)
    }

    fn place_with(
        &self,
        env: impl Fn(&str) -> Option<String>,
        load: impl Fn() -> Result<Contexts, Failure>,
    ) -> Result<Place, Failure> {
        let namespace = self.namespace.clone().or_else(|| env("WINDLASS_NAMESPACE"));
        let tls = self.tls.settle(&env)?;
        let token = match &self.token_file {
            Some(path) => Some(Token::In(path.clone())),
            None => env("WINDLASS_TOKEN")
                .map(Token::Given)
                .or_else(|| env("WINDLASS_TOKEN_FILE").map(|path| Token::In(path.into()))),
        };
        let at = |addr: String| Place {
            addr,
            tls: tls.clone(),
            namespace: namespace.clone(),
            token: token.clone(),
            context: None,
            is_protected: false,
        };
        if let Some(addr) = &self.addr {
            return Ok(at(addr.clone()));
        }
        let named = match &self.context {
            Some(name) => Some(name.clone()),
            None => match env("WINDLASS_ADDR") {
                Some(addr) => return Ok(at(addr)),
                None => env("WINDLASS_CONTEXT"),
            },
        };
        let contexts = load()?;
        let Some(name) = named.or_else(|| contexts.current.clone()) else { return Ok(at(HERE.to_owned())) };
        let context = contexts.get(&name)?;
        Ok(Place {
            addr: context.addr.clone(),
            tls: tls.or_else(|| context.tls()),
            namespace: namespace.or_else(|| context.namespace.clone()),
            token: token.or_else(|| context.token_file.clone().map(Token::In)),
            context: Some(name),
            is_protected: context.protected,
        })
    }

    /// Connects to it.
    pub(super) async fn connect(&self) -> Result<Client, Failure> {
        self.connect_to(&self.place()?).await
    }

    /// Connects to a place that is known already.
    pub(super) async fn connect_to(&self, place: &Place) -> Result<Client, Failure> {
        let mut builder = Client::builder().name(concat!("windlass-cli/", env!("CARGO_PKG_VERSION")));
        if let Some(namespace) = &place.namespace {
            builder = builder.namespace(namespace.as_str());
        }
        if let Some(token) = place.token()? {
            builder = builder.token(token);
        }
        if let Some(timeout) = self.timeout {
            builder = builder.connect_timeout(timeout).give_up_after(timeout.max(Duration::from_secs(1)));
        }
        Ok(builder.tls(place.tls.clone()).connect(&place.addr).await?)
    }
}

impl Place {
    /// Whom to trust there; None: it speaks no TLS.
    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// The token to show; None: there is none.
    pub(super) fn token(&self) -> Result<Option<String>, Failure> {
        let path = match &self.token {
            None => return Ok(None),
            Some(Token::Given(token)) => return Ok(Some(token.trim().to_owned())),
            Some(Token::In(path)) => path,
        };
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| {
            Failure::usage(format!("cannot read the token in {}: {error}", path.display()))
        })?;
        Ok(Some(text.trim().to_owned()))
    }

    /// How it is called when people are asked about it.
    pub(super) fn name(&self) -> String {
        match &self.context {
            Some(name) => format!("{name} ({})", self.addr),
            None => self.addr.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::contexts::Context;
    use super::*;

    fn found(target: &Target, env: &[(&str, &str)], current: Option<&str>) -> Place {
        let env = |name: &str| env.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned());
        let contexts = Contexts {
            current: current.map(str::to_owned),
            context: ["prod", "test"]
                .map(|name| {
                    let addr = format!("{name}:1");
                    (name.to_owned(), Context { addr, protected: name == "prod", ..Context::default() })
                })
                .into(),
            ..Contexts::default()
        };
        target.place_with(env, || Ok(contexts.clone())).unwrap()
    }

    #[test]
    fn a_flag_beats_the_environment_and_both_beat_the_current_context() {
        let flags = |addr: Option<&str>, context: Option<&str>| Target {
            addr: addr.map(str::to_owned),
            context: context.map(str::to_owned),
            ..Target::default()
        };
        let env = [("WINDLASS_ADDR", "env:1"), ("WINDLASS_CONTEXT", "test")];
        assert_eq!(found(&flags(Some("flag:1"), None), &env, Some("prod")).addr, "flag:1");
        let prod = found(&flags(None, Some("prod")), &env, None);
        assert_eq!((prod.addr.as_str(), prod.is_protected), ("prod:1", true));
        assert_eq!(found(&flags(None, None), &env, Some("prod")).addr, "env:1");
        assert_eq!(found(&flags(None, None), &env[1..], Some("prod")).addr, "test:1");
        assert_eq!(found(&flags(None, None), &[], Some("prod")).addr, "prod:1");
        assert_eq!(found(&flags(None, None), &[], None).addr, HERE);
    }

    #[test]
    fn a_context_that_is_not_there_names_those_that_are() {
        let target = Target { context: Some("nowhere".into()), ..Target::default() };
        let failure = target.place_with(|_| None, || Ok(Contexts::default())).unwrap_err();
        assert_eq!(failure.exit(), super::super::exit::Exit::NotFound);
    }
}
