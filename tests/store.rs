//! A data directory as a thing: looked at, copied while it is served and while it is not, made anew.

mod fixtures;

use crate::harness::{
    Answer, Broker, Peer, complete, eventually, fetch_once, job, result_of, start_windlass, windlass,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use windlass_proto::v1::{JobSpec, JobView};

/// What must be the same wherever a job has been copied to.
type Content = (Bytes, i32, u32, Bytes);

fn content(view: &JobView) -> Content {
    (view.payload.clone(), view.state, view.attempt, view.result.clone())
}

/// Jobs of several sorts, folded and not; and what each of them is.
fn filled(broker: &Broker, number: usize) -> BTreeMap<Bytes, Content> {
    let mut peer = broker.peer();
    let mut ids = Vec::new();
    for first in (0..number).step_by(20) {
        eventually("the fold keeps up", || (peer.server().unfolded_bytes < 1 << 19).then_some(()));
        let payload = |number: usize| format!("payload {number} ").repeat(50 + number % 400);
        let jobs = (first..first + 20).map(|number| JobSpec { payload: payload(number).into(), ..job("k") });
        let jobs: Vec<JobSpec> = jobs.collect();
        ids.extend(jobs.iter().map(|spec| spec.id.clone()));
        peer.enqueue_all(jobs);
    }
    let works = peer.poll(fetch_once("q", 10));
    peer.settle_all(works.iter().map(|work| result_of(work, complete("a result"))).collect());
    ids.into_iter().map(|id| (id.clone(), content(&peer.job(&id)))).collect()
}

fn holds(broker: &Broker, promised: &BTreeMap<Bytes, Content>) {
    let mut peer = broker.peer();
    for (id, content) in promised {
        assert_eq!(&self::content(&peer.job(id)), content);
    }
}

fn store(words: &[&str], data: &Path) -> Answer {
    windlass(&[&["store"], words, &["--data", data.to_str().unwrap(), "--output", "json"]].concat())
}

const SMALL: [&str; 4] = ["--unfolded-bytes", "1MiB", "--segment-bytes-max", "1MiB"];

/// A broker on a directory that was there before.
fn on(data: &Path) -> Broker {
    Broker::on(data, &SMALL)
}

#[test]
fn what_is_exported_and_imported_is_the_same_and_fences_rise() {
    let mut broker = Broker::with(&SMALL);
    let promised = filled(&broker, 400);
    let held = broker.peer().fetch("q");
    let busy = store(&["verify"], &broker.data());
    assert_eq!(busy.code, 1, "somebody serves it: {busy:?}");
    assert!(busy.err.contains(&broker.program().pid().to_string()), "{busy:?}");
    broker.kill();

    let told = store(&["info"], &broker.data()).ok().json();
    assert_eq!((&told["ended_in_order"], &told["held_by"]), (&false.into(), &serde_json::Value::Null));
    let found = store(&["verify"], &broker.data()).ok().json();
    assert_eq!((&found["jobs"], &found["states"]["completed"]), (&400.into(), &10.into()), "{found}");
    let file = broker.home().join("archive");
    let name = file.to_str().unwrap();
    store(&["export", name], &broker.data()).ok();
    assert_eq!(store(&["export", name], &broker.data()).code, 1, "nothing is written over");

    let (new, half) = (broker.home().join("new"), broker.home().join("half"));
    store(&["import", name], &new).ok();
    assert_eq!(store(&["import", name], &new).code, 1, "nothing is written over");
    assert_ne!(store(&["info"], &new).ok().json()["id"], told["id"]);
    assert_eq!(store(&["verify"], &new).ok().json()["jobs"], 400);
    let copy = on(&new);
    let mut peer = copy.peer();
    // Whoever held a lease does not come back, so its time runs out.
    let again = eventually("the lease ends", || Some(peer.fetch("q")));
    assert!(again.fence > held.fence, "{} > {}", again.fence, held.fence);
    drop(peer);
    let promised = promised.into_iter().filter(|(id, _)| *id != held.id && *id != again.id).collect();
    holds(&copy, &promised);

    let whole = fs::read(&file).unwrap();
    for (number, damaged) in [whole[..whole.len() - 1].to_vec(), whole[..whole.len() / 2].to_vec(), {
        let mut bytes = whole.clone();
        bytes[whole.len() / 3] ^= 1;
        bytes
    }]
    .into_iter()
    .enumerate()
    {
        let place = broker.home().join(format!("damaged-{number}"));
        fs::write(&place, damaged).unwrap();
        let refused = store(&["import", place.to_str().unwrap()], &half);
        assert_eq!(refused.code, 78, "{refused:?}");
        assert!(refused.err.contains("DAMAGED") && !half.exists(), "nothing was made: {refused:?}");
    }
}

#[test]
fn verify_names_damage_and_changes_nothing() {
    let mut broker = Broker::with(&SMALL);
    filled(&broker, 400);
    assert_eq!(broker.terminate(), 0);
    let db = broker.data().join("leaves/db");
    let whole = fs::read(&db).unwrap();
    let mut noticed = 0;
    for part in 1..8 {
        let mut bytes = whole.clone();
        let at = whole.len() * part / 8;
        bytes[at..at + 4096].fill(0);
        fs::write(&db, &bytes).unwrap();
        let answer = store(&["verify"], &broker.data());
        noticed += usize::from(answer.code == 78);
        assert!(answer.code == 78 && answer.err.contains("DAMAGED") || answer.code == 0, "{answer:?}");
        assert!(answer.code == 0 || fs::read(&db).unwrap() == bytes, "it was changed");
    }
    assert!(noticed > 0);
    assert_eq!(store(&["verify"], &broker.home().join("nowhere")).code, 6);
}

/// All files below a directory but the lock, with their contents.
fn files(data: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let all = crate::corruption::files(data).into_iter().filter(|file| !file.ends_with("LOCK"));
    all.map(|file| (file.clone(), fs::read(data.join(file)).unwrap())).collect()
}

#[test]
fn repair_makes_the_newest_whole_state_and_says_what_is_lost() {
    let mut broker = Broker::with(&SMALL);
    let promised = filled(&broker, 400);
    assert_eq!(broker.terminate(), 0);
    let data = broker.data();
    // sled writes its summary when it opens what was closed.
    store(&["verify"], &data).ok();
    let whole = files(&data);
    let (snap, _) = whole.iter().find(|(file, _)| file.to_string_lossy().contains("snap.")).unwrap();
    let newest = whole.iter().filter(|(_, content)| content.starts_with(b"WNDLJRNL"));
    let (segment, journal) = newest.max_by_key(|(_, content)| content[32..40].to_vec()).unwrap();

    // sled's summary can be made anew: nothing is lost.
    let mut bytes = fs::read(data.join(snap)).unwrap();
    bytes[20] ^= 1;
    fs::write(data.join(snap), bytes).unwrap();
    assert_eq!(store(&["verify"], &data).code, 78);
    let before = files(&data);
    let new = broker.home().join("new");
    let told = store(&["repair", new.to_str().unwrap()], &data).ok().json();
    assert_eq!(told["lost_batches"], 0, "{told}");
    assert!(files(&data) == before, "the damaged directory is as it was");
    holds(&on(&new), &promised);

    // A record of the journal is gone: what was before it is there, and what came after is counted.
    for (file, content) in &whole {
        fs::write(data.join(file), content).unwrap();
    }
    let mut bytes = journal.clone();
    let used = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    bytes[used / 2] ^= 1;
    fs::write(data.join(segment), bytes).unwrap();
    assert_eq!(store(&["verify"], &data).code, 78);
    let part = broker.home().join("part");
    let told = store(&["repair", part.to_str().unwrap()], &data);
    let is_older = told.code == 8 && told.json()["lost_batches"].as_u64().unwrap() > 0;
    assert!(is_older || told.code == 78 && !part.exists(), "{told:?}");

    // The leaves are gone, and the journal reaches back to the first batch: it is enough.
    fs::write(data.join(segment), journal).unwrap();
    fs::remove_file(data.join("leaves/db")).unwrap();
    let again = broker.home().join("again");
    let told = store(&["repair", again.to_str().unwrap()], &data).ok().json();
    assert_eq!((&told["from"], &told["lost_batches"]), (&"the journal alone".into(), &0.into()), "{told}");
    holds(&on(&again), &promised);

    // The journal is gone, too.
    fs::remove_file(data.join(segment)).unwrap();
    for (file, _) in whole.iter().filter(|(_, content)| content.starts_with(b"WNDLJRNL")) {
        let _gone_already = fs::remove_file(data.join(file));
    }
    let nothing = broker.home().join("nothing");
    let told = store(&["repair", nothing.to_str().unwrap()], &data);
    assert!(told.code == 78 && told.err.contains("nothing whole"), "{told:?}");
    assert!(!nothing.exists());
}

#[test]
fn a_snapshot_is_taken_under_load_and_holds_all_that_was_acknowledged_before() {
    let broker = Broker::with(&SMALL);
    let promised = filled(&broker, 600);
    let is_over = AtomicBool::new(false);
    let file = broker.home().join("snapshot");
    let arguments = ["admin", "snapshot", file.to_str().unwrap(), "--addr", broker.addr()];
    let later = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut peer = broker.peer();
            let mut number = 0;
            while !is_over.load(Ordering::Relaxed) {
                let jobs = (0..20).map(|_| JobSpec {
                    payload: vec![7; 3_000].into(),
                    queue: "load".into(),
                    ..job("k")
                });
                let jobs: Vec<JobSpec> = jobs.collect();
                eventually("the fold keeps up", || (peer.server().unfolded_bytes < 1 << 19).then_some(()));
                peer.enqueue_all(jobs);
                let works = peer.poll(fetch_once("load", 10));
                peer.settle_all(works.iter().map(|work| result_of(work, complete("done"))).collect());
                number += 20;
            }
            number
        });
        for round in 0..5 {
            let _ = fs::remove_file(&file);
            let taken = start_windlass(&arguments).end().ok();
            assert!(taken.out.contains("holds everything"), "round {round}: {taken:?}");
        }
        is_over.store(true, Ordering::Relaxed);
        load.join().unwrap()
    });
    assert!(later > 20, "the broker served meanwhile");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "an archive holds secrets of webhooks, and is its owner's alone");
    let new = broker.home().join("new");
    store(&["import", file.to_str().unwrap()], &new).ok();
    let found = store(&["verify"], &new).ok().json();
    assert!(found["jobs"].as_u64().unwrap() >= 600, "{found}");
    let copy = on(&new);
    holds(&copy, &promised);
    let mut peer = Peer::open(copy.addr());
    let counts = peer.queue("load");
    assert!(counts.completed > 0 && counts.ready > 0, "{counts:?}");
}

#[test]
fn a_snapshot_that_nobody_takes_to_its_end_keeps_nobody_waiting() {
    use windlass_proto::v1::{Code, client_frame::Request, query::What};
    let broker = Broker::with(&SMALL);
    filled(&broker, 100);
    let mut peer = broker.peer();
    let begin = || crate::harness::reading(What::Export);
    let first = peer.rows(begin());
    assert!(!first.cursor.is_empty());
    let busy = peer.refused(Request::Query(begin()));
    assert_eq!(busy.code(), Code::Exhausted, "{busy:?}");
    let mut query = begin();
    query.cursor = first.cursor;
    let mut bytes = Vec::new();
    loop {
        let rows = peer.rows(query.clone());
        // Nothing was ready yet, or it is the end: whoever asks again asks for what comes next.
        if !rows.exports[0].piece.is_empty() {
            let again = peer.rows(query.clone());
            assert_eq!(again.exports, rows.exports, "an answer that was lost is given again");
        }
        bytes.extend_from_slice(&rows.exports[0].piece);
        if rows.cursor.is_empty() {
            break;
        }
        query.cursor = rows.cursor;
    }
    let gone = peer.refused(Request::Query(query));
    assert_eq!(gone.code(), Code::NotFound, "{gone:?}");
    assert!(bytes.starts_with(b"WINDLASSARCHIVE"));
}
