//! Settings of the broker: flag, then `WINDLASS_*` environment, then TOML file, then default.
//!
//! Two steps: the flags and the file are read as they are, then they become [`Settings`], checked
//! and in units. The file has the flags' long names as keys.

mod reach;

use crate::broker::Options;
use crate::clock::{self, Clock};
use crate::driver::core::CoreOptions;
use crate::limits::CONNECTIONS_MAX;
use crate::store::disk::DiskOptions;
use crate::tls;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Flags of `windlass serve`. Each may also stand in the environment (`WINDLASS_` and the name in
/// capitals) or in the file named by `--config` (the name as it is, with `_` or `-`).
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Flags {
    /// Data directory; made if it is not there [default: ./windlass-data]
    #[arg(long, env = "WINDLASS_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:7520]
    #[arg(long, env = "WINDLASS_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Address of the HTTP gateway and the dashboard, or `off` [default: the port after --listen's]
    #[arg(long, env = "WINDLASS_HTTP", value_name = "ADDR")]
    pub http: Option<String>,
    /// Further names under which browsers may reach the gateway; separated by commas
    #[arg(long, env = "WINDLASS_HTTP_HOST", value_name = "NAMES")]
    pub http_host: Option<String>,
    /// Keep everything in a temporary directory that is removed at the end, on a free port unless
    /// --listen says otherwise; for tests
    #[arg(long, env = "WINDLASS_EPHEMERAL", num_args = 0..=1, default_missing_value = "true")]
    pub ephemeral: Option<bool>,
    /// Let time stand still, now or at an instant like 2030-01-01T00:00:00Z, until a client advances
    /// it; only with --ephemeral
    #[arg(long, env = "WINDLASS_TEST_CLOCK", num_args = 0..=1, default_missing_value = "now", value_name = "INSTANT")]
    pub test_clock: Option<String>,
    /// End in order when stdin ends, so that a broker does not outlive the program that started it
    #[arg(long, env = "WINDLASS_UNTIL_STDIN_ENDS", num_args = 0..=1, default_missing_value = "true")]
    pub until_stdin_ends: Option<bool>,
    /// Certificate that both ports present, in PEM, with those between it and its authority
    #[arg(long, env = "WINDLASS_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Its key, in PEM, readable for its owner only
    #[arg(long, env = "WINDLASS_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Authority, in PEM, of which clients of both ports have to show a certificate
    #[arg(long, env = "WINDLASS_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
    /// Listen on an address that is not loopback although tokens or TLS are missing
    #[arg(long, env = "WINDLASS_INSECURE", num_args = 0..=1, default_missing_value = "true")]
    pub insecure: Option<bool>,
    /// File of tokens, see `windlass token`: every client needs one of them; read again at SIGHUP
    #[arg(long, env = "WINDLASS_TOKENS", value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// Deliver webhooks to link-local and metadata addresses, too
    #[arg(long, env = "WINDLASS_WEBHOOK_LINK_LOCAL", num_args = 0..=1, default_missing_value = "true")]
    pub webhook_link_local: Option<bool>,
    /// TOML file with these names as keys
    #[arg(long, env = "WINDLASS_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Form of the log on stderr [default: human]
    #[arg(long, env = "WINDLASS_LOG", value_name = "FORM")]
    pub log: Option<LogForm>,
    /// What is logged: error, warn, info, debug, trace, or per module [default: info]
    #[arg(long, env = "WINDLASS_LOG_LEVEL", value_name = "FILTER")]
    pub log_level: Option<String>,
    /// Largest payload or result of a job, 1KiB..16MiB [default: 1MiB]
    #[arg(long, env = "WINDLASS_MAX_PAYLOAD", value_name = "BYTES", value_parser = parse_bytes)]
    #[serde(deserialize_with = "bytes_or_text")]
    pub max_payload: Option<u64>,
    /// Jobs of all states, 1..2000000000; Enqueue is refused beyond [default: 20000000]
    #[arg(long, env = "WINDLASS_MAX_JOBS", value_name = "JOBS")]
    pub max_jobs: Option<u64>,
    /// Open connections, 1..100000; further ones are closed at once [default: 10000]
    #[arg(long, env = "WINDLASS_MAX_CONNECTIONS", value_name = "COUNT")]
    pub max_connections: Option<usize>,
    /// First journal segment, 64KiB..64MiB; doubles while traffic asks [default: 4MiB]
    #[arg(long, env = "WINDLASS_SEGMENT_BYTES", value_name = "BYTES", value_parser = parse_bytes)]
    #[serde(deserialize_with = "bytes_or_text")]
    pub segment_bytes: Option<u64>,
    /// Largest journal segment, 64KiB..1GiB [default: 64MiB]
    #[arg(long, env = "WINDLASS_SEGMENT_BYTES_MAX", value_name = "BYTES", value_parser = parse_bytes)]
    #[serde(deserialize_with = "bytes_or_text")]
    pub segment_bytes_max: Option<u64>,
    /// Payload bytes in memory that are in the journal but not yet folded, 1MiB..64GiB; at half of
    /// it a fold starts, at all of it Enqueue is refused [default: 64MiB]
    #[arg(long, env = "WINDLASS_UNFOLDED_BYTES", value_name = "BYTES", value_parser = parse_bytes)]
    #[serde(deserialize_with = "bytes_or_text")]
    pub unfolded_bytes: Option<u64>,
    /// Folded payload bytes that stay in memory, 0..64GiB [default: 32MiB]
    #[arg(long, env = "WINDLASS_PARTS_CACHE_BYTES", value_name = "BYTES", value_parser = parse_bytes)]
    #[serde(deserialize_with = "bytes_or_text")]
    pub parts_cache_bytes: Option<u64>,
    /// Page cache of the leaves, 1MiB..64GiB [default: 32MiB]
    #[arg(long, env = "WINDLASS_LEAVES_CACHE_BYTES", value_name = "BYTES", value_parser = parse_bytes)]
    #[serde(deserialize_with = "bytes_or_text")]
    pub leaves_cache_bytes: Option<u64>,
    /// Free space below which new jobs are refused; at half of it large results are dropped, at a
    /// quarter no new leases are granted [default: 5 % of the disk, 256MiB..4GiB]
    #[arg(long, env = "WINDLASS_DISK_LOW_BYTES", value_name = "BYTES", value_parser = parse_bytes)]
    #[serde(deserialize_with = "bytes_or_text")]
    pub disk_low_bytes: Option<u64>,
    /// Space held back for a start on a full disk [default: 64MiB]
    #[arg(long, env = "WINDLASS_DISK_RESERVE_BYTES", value_name = "BYTES", value_parser = parse_bytes)]
    #[serde(deserialize_with = "bytes_or_text")]
    pub disk_reserve_bytes: Option<u64>,
}

/// How the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogForm {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// What the broker runs with: checked, in units, nothing left open.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Store and core.
    pub options: Options,
    /// The data directory is a temporary one.
    pub ephemeral: bool,
    /// The end of stdin is the end of the broker.
    pub until_stdin_ends: bool,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where the HTTP gateway listens; `None`: there is none.
    pub http: Option<SocketAddr>,
    /// Names of the gateway besides those of this machine.
    pub http_hosts: Vec<String>,
    /// The files of TLS; `None`: it is not spoken.
    pub tls: Option<tls::Files>,
    /// Why others should not be able to reach this broker as they are, if that was said aloud to be meant.
    pub exposed: Option<String>,
    /// Where the tokens stand; `None`: anybody may do everything.
    pub tokens: Option<PathBuf>,
    /// Webhooks are delivered to link-local and metadata addresses, too.
    pub webhook_link_local: bool,
    /// Largest payload, in bytes.
    pub max_payload: usize,
    /// Open connections.
    pub max_connections: usize,
    /// Form of the log.
    pub log: LogForm,
    /// What is logged.
    pub log_level: String,
}

/// Settings that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML of the right shape.
    #[error("{}: {message}", file.display())]
    Malformed {
        /// Which.
        file: PathBuf,
        /// Where and why.
        message: String,
    },
    /// A value is out of its bounds, or two contradict each other.
    #[error("{0}")]
    Invalid(String),
}

impl Flags {
    /// Reads the file if one is named, fills in defaults, checks everything.
    ///
    /// # Errors
    /// With what is wrong and what would be right.
    pub fn settle(self) -> Result<Settings, ConfigError> {
        let file = match &self.config {
            Some(path) => read_file(path)?,
            None => Self::default(),
        };
        let (kib, mib, gib) = (1 << 10, 1 << 20, 1 << 30);
        let ephemeral = self.ephemeral.or(file.ephemeral).unwrap_or(false);
        let data = home(self.data.or(file.data), ephemeral)?;
        let clock = clock(self.test_clock.or(file.test_clock), ephemeral)?;
        let (port, segment_default, reserve_default) =
            if ephemeral { (0, mib, 0) } else { (7520, 4 * mib, DiskOptions::default().reserve_bytes) };
        let listen = self.listen.or(file.listen).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], port)));
        let http = http(self.http.or(file.http), listen)?;
        let insecure = self.insecure.or(file.insecure).unwrap_or(false);
        let tls = tls_files(
            self.tls_cert.or(file.tls_cert),
            self.tls_key.or(file.tls_key),
            self.tls_client_ca.or(file.tls_client_ca),
        )?;
        let tokens = self.tokens.or(file.tokens);
        let guards = reach::Guards { tokens: tokens.is_some(), tls: tls.is_some() };
        let exposed = guards.exposed([Some(listen), http].into_iter().flatten(), insecure)?;
        let max_payload =
            within("max_payload", self.max_payload.or(file.max_payload).unwrap_or(mib), kib, 16 * mib)?;
        let segment = self.segment_bytes.or(file.segment_bytes).unwrap_or(segment_default);
        let segment_bytes_first = within("segment_bytes", segment, 64 * kib, 64 * mib)?;
        let segment_max = self.segment_bytes_max.or(file.segment_bytes_max).unwrap_or(64 * mib);
        let segment_bytes_max = within("segment_bytes_max", segment_max, segment_bytes_first, gib)?;
        let unfolded = self.unfolded_bytes.or(file.unfolded_bytes).unwrap_or(64 * mib);
        let unfolded = within("unfolded_bytes", unfolded, mib, 64 * gib)?;
        let parts_cache = self.parts_cache_bytes.or(file.parts_cache_bytes).unwrap_or(32 * mib);
        let parts_cache = within("parts_cache_bytes", parts_cache, 0, 64 * gib)?;
        let leaves_cache = self.leaves_cache_bytes.or(file.leaves_cache_bytes).unwrap_or(32 * mib);
        let leaves_cache_bytes = within("leaves_cache_bytes", leaves_cache, mib, 64 * gib)?;
        let jobs = self.max_jobs.or(file.max_jobs).unwrap_or(20_000_000);
        let jobs = within("max_jobs", jobs, 1, 2_000_000_000)?;
        let connections = self.max_connections.or(file.max_connections).unwrap_or(CONNECTIONS_MAX);
        let connections = within("max_connections", connections as u64, 1, 100_000)?;
        let disk = DiskOptions {
            low_bytes: self.disk_low_bytes.or(file.disk_low_bytes),
            reserve_bytes: self.disk_reserve_bytes.or(file.disk_reserve_bytes).unwrap_or(reserve_default),
        };
        Ok(Settings {
            options: Options {
                data,
                segment_bytes_first,
                segment_bytes_max,
                leaves_cache_bytes,
                core: CoreOptions {
                    unfolded_bytes_max: size(unfolded),
                    cache_bytes_max: size(parts_cache),
                    jobs_max: size(jobs),
                },
                disk,
                clock,
            },
            ephemeral,
            until_stdin_ends: self.until_stdin_ends.or(file.until_stdin_ends).unwrap_or(false),
            listen,
            http,
            tls,
            exposed,
            tokens,
            webhook_link_local: self.webhook_link_local.or(file.webhook_link_local).unwrap_or(false),
            http_hosts: names(&self.http_host.or(file.http_host).unwrap_or_default()),
            max_payload: size(max_payload),
            max_connections: size(connections),
            log: self.log.or(file.log).unwrap_or_default(),
            log_level: log_level(self.log_level.or(file.log_level))?,
        })
    }
}

/// A number that has bounds.
fn within(name: &str, value: u64, low: u64, high: u64) -> Result<u64, ConfigError> {
    if (low..=high).contains(&value) {
        return Ok(value);
    }
    Err(ConfigError::Invalid(format!("{name} is {value}, but must lie in {low}..{high}")))
}

/// The data directory. That of an ephemeral broker is made when it starts.
fn home(asked: Option<PathBuf>, ephemeral: bool) -> Result<PathBuf, ConfigError> {
    match asked {
        Some(data) if ephemeral => Err(ConfigError::Invalid(format!(
            "an ephemeral broker removes its data at the end, so it does not take {}; leave out one of the two",
            data.display()
        ))),
        Some(data) => Ok(data),
        None => Ok(PathBuf::from("windlass-data")),
    }
}

/// Where the gateway listens. Without a word it is the port after the protocol's; where that is a free
/// one, the gateway takes a free one, too.
fn http(asked: Option<String>, listen: SocketAddr) -> Result<Option<SocketAddr>, ConfigError> {
    match asked.as_deref() {
        Some("off") => Ok(None),
        Some(address) => address.parse().map(Some).map_err(|_| {
            ConfigError::Invalid(format!(
                "http is {address}, but must be an address like 127.0.0.1:7521, or off"
            ))
        }),
        None if listen.port() == 0 => Ok(Some(listen)),
        None => Ok(listen.port().checked_add(1).map(|port| SocketAddr::new(listen.ip(), port))),
    }
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The files of TLS, all that belong together or none.
fn tls_files(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_authority: Option<PathBuf>,
) -> Result<Option<tls::Files>, ConfigError> {
    let lacks = |there: &str, missing: &str| {
        Err(ConfigError::Invalid(format!("{there} is there, but {missing} is not; TLS needs both")))
    };
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(tls::Files { certificate, key, client_authority })),
        (Some(_), None) => lacks("tls_cert", "tls_key"),
        (None, Some(_)) => lacks("tls_key", "tls_cert"),
        (None, None) if client_authority.is_some() => lacks("tls_client_ca", "tls_cert"),
        (None, None) => Ok(None),
    }
}

/// The machine's clock, or one that stands still.
fn clock(asked: Option<String>, ephemeral: bool) -> Result<Clock, ConfigError> {
    let Some(instant) = asked else { return Ok(Clock::Wall) };
    if !ephemeral {
        return Err(ConfigError::Invalid(
            "with --test-clock jobs run whenever a client says that time has passed, so it goes with --ephemeral only"
                .into(),
        ));
    }
    if instant == "now" {
        return Ok(Clock::test(clock::wall_ms()));
    }
    let parsed: Option<jiff::Timestamp> = instant.parse().ok();
    let at_ms = parsed.and_then(|instant| u64::try_from(instant.as_millisecond()).ok());
    at_ms.filter(|at_ms| *at_ms > 0).map(Clock::test).ok_or_else(|| {
        ConfigError::Invalid(format!(
            "test_clock is {instant}, but must be now or an instant after 1970 like 2030-01-01T00:00:00Z"
        ))
    })
}

/// A filter, each part of which ends in a level: a mistyped one would be taken for the name of a
/// module, and nothing would be logged.
fn log_level(asked: Option<String>) -> Result<String, ConfigError> {
    let filter = asked.unwrap_or_else(|| "info".into());
    for part in filter.split(',') {
        let level = part.rsplit('=').next().unwrap_or(part).trim();
        if level.is_empty()
            || part.matches('=').count() > 1
            || level.parse::<tracing::metadata::LevelFilter>().is_err()
        {
            return Err(ConfigError::Invalid(format!(
                "log_level is {filter}, and {level} is no level: it is off, error, warn, info, debug or trace, \
                 or a list like info,windlass_broker=debug"
            )));
        }
    }
    Ok(filter)
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The keys a file may have.
const KEYS: &[&str] = &[
    "data",
    "listen",
    "http",
    "http_host",
    "ephemeral",
    "test_clock",
    "until_stdin_ends",
    "tls_cert",
    "tls_key",
    "tls_client_ca",
    "insecure",
    "tokens",
    "webhook_link_local",
    "log",
    "log_level",
    "max_payload",
    "max_jobs",
    "max_connections",
    "segment_bytes",
    "segment_bytes_max",
    "unfolded_bytes",
    "parts_cache_bytes",
    "leaves_cache_bytes",
    "disk_low_bytes",
    "disk_reserve_bytes",
];

fn read_file(path: &Path) -> Result<Flags, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { file: path.into(), source })?;
    let malformed = |message: String| ConfigError::Malformed { file: path.into(), message };
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| malformed(error.to_string()))?;
    let mut renamed = toml::Table::new();
    for (key, value) in table {
        let key = key.replace('-', "_");
        if !KEYS.contains(&key.as_str()) {
            return Err(malformed(unknown(&key)));
        }
        renamed.insert(key, value);
    }
    renamed.try_into().map_err(|error: toml::de::Error| malformed(error.to_string().trim().to_owned()))
}

fn unknown(key: &str) -> String {
    let nearest = KEYS
        .iter()
        .max_by(|one, other| strsim::jaro_winkler(key, one).total_cmp(&strsim::jaro_winkler(key, other)));
    match nearest {
        Some(near) if strsim::jaro_winkler(key, near) > 0.7 => {
            format!("unknown key {key:?}; did you mean {near:?}?")
        }
        Some(_) | None => format!("unknown key {key:?}; known keys are {}", KEYS.join(", ")),
    }
}

/// Bytes as a number, or with KiB, MiB or GiB behind it.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        other => return Err(format!("unknown unit {other:?}; use KiB, MiB or GiB")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is not a number of bytes, like 64MiB"))?;
    number.checked_mul(unit).ok_or_else(|| format!("{text:?} is too large"))
}

fn bytes_or_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Bytes {
        Number(u64),
        Text(String),
    }
    match Bytes::deserialize(from)? {
        Bytes::Number(number) => Ok(Some(number)),
        Bytes::Text(text) => parse_bytes(&text).map(Some).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Settings, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("windlass.toml");
        std::fs::write(&path, text).unwrap();
        Flags { config: Some(path), ..Flags::default() }.settle()
    }

    #[test]
    fn a_file_has_the_flags_names_and_a_flag_wins() {
        let settings = file("listen = \"127.0.0.1:9\"\nmax-payload = \"2MiB\"\n").unwrap();
        assert_eq!(settings.listen.port(), 9);
        assert_eq!(settings.max_payload, 2 << 20);
    }

    #[test]
    fn the_gateway_is_next_to_the_protocol_unless_it_is_told_otherwise() {
        let http = |text: &str| file(text).map(|settings| settings.http.map(|addr| addr.to_string()));
        assert_eq!(http("").unwrap().unwrap(), "127.0.0.1:7521");
        assert_eq!(http("listen = \"127.0.0.1:9\"\n").unwrap().unwrap(), "127.0.0.1:10");
        assert_eq!(http("listen = \"127.0.0.1:0\"\n").unwrap().unwrap(), "127.0.0.1:0");
        assert_eq!(http("http = \"off\"\n").unwrap(), None);
        assert!(http("http = \"7521\"\n").unwrap_err().to_string().contains("or off"));
        assert!(http("http = \"0.0.0.0:7521\"\n").unwrap_err().to_string().contains("--insecure"));
    }

    #[test]
    fn a_misspelt_key_names_the_right_one() {
        let error = file("lissten = \"127.0.0.1:9\"\n").unwrap_err().to_string();
        assert!(error.contains("did you mean \"listen\"?"), "{error}");
    }

    #[test]
    fn a_misspelt_level_is_refused_and_not_taken_for_a_module() {
        let asked = |filter: &str| Flags { log_level: Some(filter.into()), ..Flags::default() }.settle();
        for good in ["info", "OFF", "warn,windlass_broker::net=debug"] {
            assert!(asked(good).is_ok(), "{good}");
        }
        for bad in ["loud", "", "a=b=info", "info,sled"] {
            assert!(asked(bad).unwrap_err().to_string().contains("is no level"), "{bad}");
        }
    }

    #[test]
    fn a_test_clock_and_a_data_directory_do_not_go_together() {
        let refused = |text| file(text).unwrap_err().to_string();
        assert!(refused("test_clock = \"now\"\n").contains("--ephemeral only"));
        assert!(refused("ephemeral = true\ntest_clock = \"soon\"\n").contains("2030-01-01T00:00:00Z"));
        assert!(refused("ephemeral = true\ntest_clock = \"1960-01-01T00:00:00Z\"\n").contains("after 1970"));
        assert!(refused("ephemeral = true\ndata = \"d\"\n").contains("does not take d"));
        let settings = file("ephemeral = true\ntest-clock = \"2030-01-01T00:00:00Z\"\n").unwrap();
        assert_eq!((settings.options.clock.now_ms(), settings.listen.port()), (1_893_456_000_000, 0));
    }

    #[test]
    fn an_address_for_everybody_needs_to_be_said_aloud() {
        let open = Flags { listen: Some("0.0.0.0:0".parse().unwrap()), ..Flags::default() };
        assert!(open.clone().settle().unwrap_err().to_string().contains("--insecure"));
        let settings = Flags { insecure: Some(true), ..open }.settle().unwrap();
        assert!(settings.exposed.unwrap().contains("0.0.0.0:0"));
        assert_eq!(Flags::default().settle().unwrap().exposed, None);
    }

    #[test]
    fn a_certificate_and_its_key_belong_together() {
        let refused = |text| file(text).unwrap_err().to_string();
        assert!(refused("tls_cert = \"c\"\n").contains("tls_key is not"));
        assert!(refused("tls_key = \"k\"\n").contains("tls_cert is not"));
        assert!(refused("tls_client_ca = \"a\"\n").contains("tls_cert is not"));
        assert!(file("tls_cert = \"c\"\ntls_key = \"k\"\n").unwrap().tls.is_some());
    }

    #[test]
    fn every_flag_is_a_key_and_every_key_a_flag() {
        use clap::{CommandFactory, Parser};
        #[derive(Parser)]
        struct Alone {
            #[command(flatten)]
            flags: Flags,
        }
        let command = Alone::command();
        let names: Vec<String> = command
            .get_arguments()
            .map(|argument| argument.get_id().to_string())
            .filter(|name| name != "config" && name != "help")
            .collect();
        assert_eq!(names.len(), KEYS.len());
        assert!(names.iter().all(|name| KEYS.contains(&name.as_str())), "{names:?}");
        drop(Alone::parse_from(["windlass"]).flags);
    }
}
