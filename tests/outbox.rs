//! The outbox relay of the client's examples, against a real PostgreSQL: killed between the broker's
//! acknowledgement and the deletion of the rows.

use crate::harness::{Broker, OUTBOX_RELAY, Postgres, Program, complete, eventually, fetch_once};
use std::collections::BTreeSet;
use std::process::Command;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;
use windlass_proto::v1::State;

/// Deleting waits for a lock that the test holds.
const GATE: &str = "
    CREATE FUNCTION wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$;
    CREATE TRIGGER gate BEFORE DELETE ON windlass_outbox
        FOR EACH STATEMENT EXECUTE FUNCTION wait_at_the_gate();
    SELECT pg_advisory_lock(7);";

async fn connect(postgres: &Postgres) -> Client {
    let (database, connection) = tokio_postgres::connect(&postgres.address(), NoTls).await.unwrap();
    tokio::spawn(connection);
    database
}

fn relay(broker: &Broker, postgres: &Postgres, name: &str) -> Program {
    let mut command = Command::new(OUTBOX_RELAY);
    command.arg(broker.addr()).arg(postgres.address());
    Program::start(&mut command, broker.home(), name)
}

async fn count(database: &Client, rows: &str) -> i64 {
    let query = format!("SELECT count(*) FROM windlass_outbox WHERE {rows}");
    database.query_one(&query, &[]).await.unwrap().get(0)
}

/// Looks again and again until the query is true.
async fn until(database: &Client, query: &str) {
    for _ in 0..6_000 {
        if database.query_one(query, &[]).await.is_ok_and(|row| row.get::<_, bool>(0)) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(15)).await;
    }
    panic!("this did not become true: {query}");
}

/// What an application does: its own write and the job, in one transaction.
async fn order(database: &mut Client, number: i32, kind: &str) -> Uuid {
    let id = Uuid::new_v4();
    let transaction = database.transaction().await.unwrap();
    transaction.execute("INSERT INTO orders VALUES ($1)", &[&number]).await.unwrap();
    let insert = "INSERT INTO windlass_outbox (id, queue, kind, payload) VALUES ($1, 'mail', $2, $3)";
    transaction.execute(insert, &[&id, &kind, &number.to_string().as_bytes()]).await.unwrap();
    if number < 0 {
        transaction.rollback().await.unwrap();
    } else {
        transaction.commit().await.unwrap();
    }
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_before_it_deletes_makes_each_job_once() {
    let Some(postgres) = Postgres::start() else { return };
    let broker = Broker::start();
    let mut peer = broker.peer();
    let (mut database, gate) = (connect(&postgres).await, connect(&postgres).await);
    database.batch_execute("CREATE TABLE orders (number int PRIMARY KEY)").await.unwrap();
    let mut first = relay(&broker, &postgres, "first");
    until(&database, "SELECT to_regclass('windlass_outbox_waiting') IS NOT NULL").await;
    gate.batch_execute(GATE).await.unwrap();

    let mut ids = BTreeSet::new();
    for number in 1..=40 {
        ids.insert(order(&mut database, number, "receipt").await);
    }
    let undone = order(&mut database, -1, "receipt").await;
    let faulty = order(&mut database, 99, "no name").await;

    // The relay has enqueued what it took and waits to delete it.
    eventually("jobs arrive", || (peer.queue("mail").ready > 0).then_some(()));
    until(&database, "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").await;
    first.kill();
    let done = peer.poll(fetch_once("mail", 1)).remove(0);
    peer.settle(&done, complete("sent"));
    assert_eq!(count(&database, "true").await, 41, "all rows are still there");

    // Two new ones finish the work beside each other.
    gate.batch_execute("SELECT pg_advisory_unlock(7)").await.unwrap();
    let _beside_each_other = [relay(&broker, &postgres, "second"), relay(&broker, &postgres, "third")];
    until(&database, "SELECT count(*) = 0 FROM windlass_outbox WHERE refused IS NULL").await;
    let queue = peer.queue("mail");
    assert_eq!((queue.ready, queue.completed, queue.completed_total), (39, 1, 1));
    for id in &ids {
        let job = peer.job(&id.as_bytes().to_vec().into());
        let state = if done.id == id.as_bytes()[..] { State::Completed } else { State::Ready };
        assert_eq!(
            (job.state(), job.kind.as_str(), job.attempt),
            (state, "receipt", u32::from(state == State::Completed))
        );
    }
    let row = database.query_one("SELECT id, refused FROM windlass_outbox", &[]).await.unwrap();
    assert_eq!(row.get::<_, Uuid>(0), faulty);
    assert!(row.get::<_, String>(1).contains("kind"), "{row:?}");
    assert!(!ids.contains(&undone));
    assert_eq!(peer.server().jobs, 40, "what was rolled back never became a job");
}
