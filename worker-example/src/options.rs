//! What the program can be told on its command line.

use std::path::PathBuf;

/// Runs the jobs of one queue: `send_email`, `resize_image` and `generate_pdf`.
///
/// Exit codes: 0 stopped as asked, 1 failed while running, 2 wrong usage, 3 no broker at the address.
#[derive(Clone, Debug, clap::Parser)]
#[command(version, max_term_width = 100)]
pub struct Options {
    /// Where the broker listens; or `windlass+tls://TOKEN@HOST`, to speak TLS and show a token.
    #[arg(long, default_value = "127.0.0.1:7520", value_name = "HOST:PORT")]
    pub addr: String,

    /// Speak TLS with the broker, whose certificate has to be of the authority in this file.
    #[arg(long, env = "WINDLASS_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,

    /// Which queue's jobs to run, of whatever kind.
    #[arg(long, default_value = "default")]
    pub queue: String,

    /// How many jobs to run at the same time, 1 to 1,500.
    #[arg(long, default_value = "4", value_name = "JOBS", value_parser = clap::value_parser!(u32).range(1..=1_500))]
    pub concurrency: u32,

    /// Folder that everything is read from and written to; made if need be.
    #[arg(long, default_value = "./out", value_name = "FOLDER")]
    pub out: PathBuf,

    /// Where `GET /metrics` is served: the text of Prometheus, or JSON if that is accepted; port 0 takes a free
    /// one. Without it, nowhere.
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics: Option<String>,

    /// File to which each execution's line is appended, as on stdout.
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
}
