//! What the worker has done, served at `GET /metrics`: the text of Prometheus, or a few numbers in JSON for
//! whoever accepts that.

use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use windlass_client::{Client, WorkerStats};

/// Longest head of a request.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// How long a request, and an answer to it, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the broker may take to say how long its queue is.
const ASKING: Duration = Duration::from_secs(1);

/// What is served.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) client: Client,
    pub(crate) stats: WorkerStats,
    /// The queue that the worker draws from.
    pub(crate) queue: String,
}

/// Answers until it is dropped.
pub(crate) async fn serve(listener: TcpListener, metrics: Metrics) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let metrics = metrics.clone();
                tokio::spawn(async move {
                    let answered = timeout(PATIENCE, answer(stream, &metrics)).await;
                    if let Ok(Err(error)) = answered {
                        tracing::debug!(%error, "a scrape broke off");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no scrape can be accepted");
                tokio::time::sleep(ASKING).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream, metrics: &Metrics) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut bytes = [0; 1_024];
        let read = stream.read(&mut bytes).await?;
        if read == 0 || head.len() + read > HEAD_BYTES_MAX {
            return Ok(());
        }
        head.extend_from_slice(&bytes[..read]);
    }
    let (status, kind, body) = metrics.respond(&String::from_utf8_lossy(&head)).await;
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

impl Metrics {
    /// Status, content type and body.
    async fn respond(&self, head: &str) -> (&'static str, &'static str, String) {
        let mut lines = head.lines();
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (verb, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if target.split('?').next() != Some("/metrics") {
            return ("404 Not Found", "text/plain", "There is /metrics, and nothing else.\n".into());
        }
        if verb != "GET" {
            return ("405 Method Not Allowed", "text/plain", "Metrics are read by GET.\n".into());
        }
        let accept = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("accept").then(|| value.to_ascii_lowercase())
        });
        if accept.is_some_and(|accept| accept.contains("application/json")) {
            return ("200 OK", "application/json", self.summary().await);
        }
        ("200 OK", "text/plain; version=0.0.4; charset=utf-8", self.client.metrics().to_prometheus())
    }

    /// Open jobs of the queue, of all workers together, and what this worker has done. A broker that does not
    /// answer leaves the first one null.
    async fn summary(&self) -> String {
        let admin = self.client.admin();
        let row = timeout(ASKING, admin.queue(&self.queue)).await;
        let open = match row {
            Ok(Ok(Some(row))) => Some(row.ready + row.leased + row.scheduled + row.blocked + row.held),
            Ok(Ok(None)) => Some(0),
            Ok(Err(_)) | Err(_) => None,
        };
        let stats = &self.stats;
        serde_json::json!({
            "total_jobs_in_queue": open,
            "jobs_done": stats.done(),
            "jobs_failed": stats.failed(),
            "jobs_running": stats.running(),
            "jobs_released": stats.released(),
            "jobs_lost": stats.lost(),
        })
        .to_string()
    }
}
