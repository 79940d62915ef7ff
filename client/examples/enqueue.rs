//! A producer: one job, one with options, and many in one write.
//!
//! `cargo run -p windlass-client --example enqueue -- 127.0.0.1:7520`

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_client::{Client, Error, Job, NewJob};

#[derive(Serialize, Deserialize)]
struct Greet {
    name: String,
}

impl Job for Greet {
    const KIND: &'static str = "greet";
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7520".to_owned());
    let client = Client::connect(&address).await?;

    // When this returns, the job is on the broker's disk.
    let first = client.enqueue(Greet { name: "Ada".into() }).await?;
    announce(&format!("job {} is number {}", first.id, first.seq));

    // Options stand between the job and the await.
    let later = client
        .enqueue(Greet { name: "Grace".into() })
        .delay(Duration::from_secs(30))
        .priority(7)
        .attempts(3)
        .header("tenant", "acme")
        .await?;
    announce(&format!("job {} waits for its time", later.id));

    // All or none of them, with any payload.
    let many = (0..100).map(|n| NewJob::new("greet").json(&serde_json::json!({ "name": n.to_string() })));
    announce(&format!("{} more", client.enqueue_many(many).await?.len()));

    client.close().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this program talks to a terminal")]
fn announce(text: &str) {
    println!("{text}");
}
