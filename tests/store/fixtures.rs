//! Directories and archives of every format there was, each made by the version that wrote it.
//!
//! To add one, when a format changes (`record::FORMAT`, or the version of the MANIFEST, a segment or an
//! archive): `WINDLASS_FIXTURE=format-4 cargo test -p windlass-tests --test main store::fixtures`, and
//! commit the new folder below `tests/fixtures/`. Those that are there are never made anew once a release
//! has written them.

use super::{SMALL, on, store};
use crate::corruption::copy;
use crate::harness::{Broker, complete, fetch_once, hex, job, result_of};
use std::fs;
use std::path::{Path, PathBuf};
use windlass_proto::v1::JobSpec;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Makes a fixture of the present formats.
fn make(folder: &Path) {
    let mut broker = Broker::with(&["--unfolded-bytes", "1MiB", "--segment-bytes-max", "1MiB"]);
    let mut peer = broker.peer();
    let mut jobs = Vec::new();
    for number in 0..20 {
        let payload = format!("payload {number} ").repeat(40 * (number % 3));
        let spec = JobSpec { payload: payload.into(), key: format!("key-{}", number % 4), ..job("k") };
        jobs.push((spec.id.clone(), crc32c::crc32c(&spec.payload)));
        peer.enqueue(spec);
    }
    let works = peer.poll(fetch_once("q", 5));
    peer.settle_all(works.iter().map(|work| result_of(work, complete("done"))).collect());
    peer.pause("bills");
    drop(peer);
    assert_eq!(broker.terminate(), 0);
    store(&["export", folder.join("archive").to_str().unwrap()], &broker.data()).ok();
    copy(&broker.data(), &folder.join("data"));
    for useless in ["LOCK", "reserve", "history"] {
        let _ = fs::remove_file(folder.join("data").join(useless));
        let _ = fs::remove_dir_all(folder.join("data").join(useless));
    }
    // A spare segment is nothing but zeros.
    for entry in fs::read_dir(folder.join("data/journal")).unwrap() {
        let path = entry.unwrap().path();
        if fs::read(&path).unwrap().iter().all(|&byte| byte == 0) {
            fs::remove_file(path).unwrap();
        }
    }
    // What has ended is removed when its time is over, which a fixture outlives.
    let open = jobs.iter().filter(|(id, _)| works.iter().all(|work| work.id != *id));
    let jobs: String = open.map(|(id, crc)| format!("{} {crc}\n", hex(id))).collect();
    fs::write(folder.join("jobs"), jobs).unwrap();
}

/// Every open job of the fixture is there, with its payload, and what has ended is counted.
fn holds(data: &Path, jobs: &str) {
    let broker = on(data);
    let mut peer = broker.peer();
    for line in jobs.lines() {
        let (id, crc) = line.split_once(' ').unwrap();
        let id = id.replace('-', "");
        let bytes: Vec<u8> =
            (0..16).map(|place| u8::from_str_radix(&id[2 * place..2 * place + 2], 16).unwrap()).collect();
        let found = peer.job(&bytes.into());
        assert_eq!(crc32c::crc32c(&found.payload).to_string(), crc, "{line}");
    }
    let queue = peer.queue("q");
    assert_eq!((queue.ready, queue.completed_total), (15, 5));
}

#[test]
fn every_format_there_was_is_opened() {
    if let Ok(name) = std::env::var("WINDLASS_FIXTURE") {
        let folder = fixtures().join(name);
        fs::create_dir_all(&folder).unwrap();
        make(&folder);
    }
    let mut number = 0;
    for entry in fs::read_dir(fixtures()).unwrap() {
        let folder = entry.unwrap().path();
        let home = tempfile::tempdir().unwrap();
        let (opened, imported) = (home.path().join("opened"), home.path().join("imported"));
        let jobs = fs::read_to_string(folder.join("jobs")).unwrap();
        copy(&folder.join("data"), &opened);
        assert_eq!(store(&["verify"], &opened).ok().json()["jobs"], 20);
        holds(&opened, &jobs);
        store(&["import", folder.join("archive").to_str().unwrap()], &imported).ok();
        holds(&imported, &jobs);
        number += 1;
    }
    assert!(number > 0 && SMALL.len() > 1);
}
