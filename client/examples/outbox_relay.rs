//! An outbox for PostgreSQL: jobs that exist exactly if the transaction that asked for them was committed.
//!
//! `cargo run -p windlass-client --example outbox_relay -- 127.0.0.1:7520 "host=localhost user=app"`
//!
//! A program that writes to its database and enqueues a job can die between the two. With an outbox it
//! writes the job into a table, in its own transaction, with an id that it makes for it:
//!
//! ```sql
//! BEGIN;
//! UPDATE orders SET paid = true WHERE id = 42;
//! INSERT INTO windlass_outbox (id, queue, kind, payload)
//!     VALUES (gen_random_uuid(), 'mail', 'receipt', '{"order":42}');
//! COMMIT;
//! ```
//!
//! This relay carries the rows to the broker and deletes each once the broker has said that its job is on
//! disk. It may be killed at any time, and many may run beside each other: a row that was carried and not
//! deleted is carried again, and the broker knows the id. It knows it as long as the job is kept and for
//! `Welcome.idempotency_window_ms` (10 minutes) after the job's end, so do not leave a database without a
//! relay for longer than your jobs are kept.

use std::time::Duration;

use tokio_postgres::{Client as Database, NoTls};
use uuid::Uuid;
use windlass_client::{Client, JobId, NewJob};

/// The table. A row that the broker will never take is kept, and says why.
const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS windlass_outbox (
        id uuid PRIMARY KEY,
        position bigint GENERATED ALWAYS AS IDENTITY,
        queue text NOT NULL DEFAULT 'default',
        kind text NOT NULL,
        key text NOT NULL DEFAULT '',
        payload bytea NOT NULL,
        refused text
    );
    CREATE INDEX IF NOT EXISTS windlass_outbox_waiting ON windlass_outbox (position) WHERE refused IS NULL";
/// Rows that another relay has in hand are not waited for.
const TAKE: &str = "
    SELECT id, queue, kind, key, payload FROM windlass_outbox
    WHERE refused IS NULL ORDER BY position LIMIT 500 FOR UPDATE SKIP LOCKED";
const REFUSE: &str = "UPDATE windlass_outbox SET refused = $2 WHERE id = $1";
const DELETE: &str = "DELETE FROM windlass_outbox WHERE id = ANY($1)";
/// How long an empty table is left alone.
const PAUSE: Duration = Duration::from_millis(200);

type Problem = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Problem> {
    let mut arguments = std::env::args().skip(1);
    let (Some(broker), Some(database)) = (arguments.next(), arguments.next()) else {
        return Err("usage: outbox_relay BROKER DATABASE".into());
    };
    let client = Client::builder().name("outbox/1").connect(&broker).await?;
    let (mut database, connection) = tokio_postgres::connect(&database, NoTls).await?;
    // Its end is seen by whoever asks next.
    tokio::spawn(connection);
    database.batch_execute(TABLE).await?;
    loop {
        if relay(&mut database, &client).await? == 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Carries some rows; how many of them are done with.
async fn relay(database: &mut Database, client: &Client) -> Result<usize, Problem> {
    let transaction = database.transaction().await?;
    let rows = transaction.query(TAKE, &[]).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let mut ids: Vec<Uuid> = Vec::new();
    let mut jobs: Vec<NewJob> = Vec::new();
    for row in &rows {
        let id: Uuid = row.get("id");
        let job = NewJob::new(row.get::<_, String>("kind"))
            .id(JobId::from_slice(id.as_bytes())?)
            .queue(row.get::<_, String>("queue"))
            .key(row.get::<_, String>("key"))
            .payload(row.get::<_, Vec<u8>>("payload"));
        ids.push(id);
        jobs.push(job);
    }
    // One faulty row must not hold up the others. When this returns, the jobs are on the broker's disk.
    let outcomes = client.enqueue_partial(jobs).await?;
    let (mut taken, mut refused): (Vec<Uuid>, usize) = (Vec::new(), 0);
    for (id, outcome) in ids.into_iter().zip(outcomes) {
        match outcome {
            Ok(_) => taken.push(id),
            // There was no room for it; it is tried again.
            Err(error) if error.is_retryable() => {}
            Err(error) => {
                transaction.execute(REFUSE, &[&id, &error.to_string()]).await?;
                refused += 1;
            }
        }
    }
    transaction.execute(DELETE, &[&taken]).await?;
    transaction.commit().await?;
    Ok(taken.len() + refused)
}
