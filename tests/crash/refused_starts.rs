//! What a broker refuses to start on: a directory that is damaged, incomplete, too new, in use, or none;
//! and a port that is taken. Nothing is served, nothing is repaired, and the message names the place.

use crate::harness::{Answer, Broker, Peer, body, eventually, job, start_windlass, windlass};
use bytes::Bytes;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{Code, Enqueue, JobSpec};

const DAMAGED: i32 = 78;

fn serve(data: &Path) -> Answer {
    windlass(&[
        "serve",
        "--data",
        data.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--segment-bytes",
        "1MiB",
    ])
}

/// Checks a refusal: its code, the place it names, and that no port was opened.
fn refused(answer: &Answer, code: i32, place: &Path) {
    assert_eq!((answer.code, answer.out.as_str()), (code, ""), "{answer:?}");
    assert!(answer.err.contains(place.to_str().unwrap()), "{} is not named: {}", place.display(), answer.err);
}

/// A broker at rest whose jobs lie in its journal and in its leaves, and their ids. Of the first ones
/// the journal knows nothing any more.
fn at_rest() -> (Broker, Vec<Bytes>) {
    let mut broker = Broker::with(&["--unfolded-bytes", "1MiB", "--segment-bytes-max", "1MiB"]);
    let mut peer = broker.peer();
    let mut ids = Vec::new();
    let large = Bytes::from(b"folded.".repeat(10_000));
    while ids.len() < 60 {
        let spec = JobSpec { payload: large.clone(), ..job("k") };
        let id = spec.id.clone();
        let request = Request::Enqueue(Enqueue { jobs: vec![spec], ..Enqueue::default() });
        // The fold may be behind for a moment.
        let answer = peer.ask(request);
        if let Body::Error(refusal) = answer {
            assert_eq!(refusal.code(), Code::Exhausted, "{refusal:?}");
        } else {
            body!(answer, Enqueued);
            ids.push(id);
        }
    }
    eventually("the fold is done", || (peer.server().unfolded_bytes < 1 << 19).then_some(()));
    for number in 0..50 {
        ids.push(peer.enqueue(JobSpec { payload: format!("needle-{number}.").into(), ..job("k") }));
    }
    assert_eq!(broker.terminate(), 0);
    (broker, ids)
}

/// All files below a directory, with their contents.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let content = fs::read(&path).unwrap();
            found.push((path, content));
        }
    }
    found.sort_unstable();
    found
}

/// Where these bytes stand below a directory.
fn find(dir: &Path, bytes: &[u8]) -> (PathBuf, usize) {
    let found = files(dir).into_iter().find_map(|(path, content)| {
        let place = content.windows(bytes.len()).position(|window| window == bytes)?;
        Some((path, place))
    });
    found.unwrap_or_else(|| panic!("{} is nowhere below {}", String::from_utf8_lossy(bytes), dir.display()))
}

fn copy(from: &Path, to: &Path) {
    for (file, content) in files(from) {
        let place = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, content).unwrap();
    }
}

fn flip(file: &Path, place: usize) {
    let mut content = fs::read(file).unwrap();
    content[place] ^= 0x55;
    fs::write(file, content).unwrap();
}

#[test]
fn a_damaged_directory_is_refused_and_left_as_it_is() {
    let (mut broker, _) = at_rest();
    let data = broker.data();
    let (record, in_record) = find(&data.join("journal"), b"needle-25.");
    let manifest = data.join("MANIFEST");
    for (file, place) in [(&record, in_record), (&manifest, 20)] {
        flip(file, place);
        let before = files(&data.join("journal"));
        refused(&serve(&data), DAMAGED, file);
        assert_eq!(files(&data.join("journal")), before, "the journal is left as it is");
        flip(file, place);
    }
    broker.restart();
    assert_eq!(broker.peer().server().jobs, 110, "undamaged it starts as ever");
}

#[test]
fn damaged_leaves_are_refused_unless_nothing_depends_on_the_damage() {
    const PLACES: usize = 20;
    let (mut broker, ids) = at_rest();
    let (data, kept) = (broker.data(), broker.home().join("kept"));
    fs::rename(&data, &kept).unwrap();
    let leaves = data.join("leaves/db");
    let length = fs::metadata(kept.join("leaves/db")).unwrap().len();
    let mut refusals = 0;
    for place in 0..PLACES {
        copy(&kept, &data);
        flip(&leaves, usize::try_from(length).unwrap() * place / PLACES);
        match broker.try_restart() {
            // sled keeps what is no longer needed for a while; there damage harms nobody.
            Ok(()) => {
                // Or it is met on reading, and then the broker ends rather than tell half of a payload.
                let mut peer = broker.peer();
                let read = catch_unwind(AssertUnwindSafe(|| -> Vec<usize> {
                    ids.iter().map(|id| peer.job(id).payload.len()).collect()
                }));
                match read {
                    Ok(payloads) => {
                        assert!(payloads.iter().take(60).all(|bytes| *bytes == 70_000), "{payloads:?}");
                        broker.kill();
                    }
                    Err(_cut_off) => assert_eq!(broker.program().wait(), DAMAGED),
                }
            }
            Err(code) => {
                let err = broker.program().stderr();
                assert!(code == DAMAGED && err.contains(data.to_str().unwrap()), "{code}: {err}");
                refusals += 1;
            }
        }
        fs::remove_dir_all(&data).unwrap();
    }
    assert!(refusals > 0, "none of {PLACES} damages was noticed");
}

#[test]
fn what_is_missing_is_an_error_and_never_an_empty_queue() {
    let (mut broker, _) = at_rest();
    let data = broker.data();
    for lost in [data.join("MANIFEST"), data.join("journal"), data.join("leaves")] {
        let aside = broker.home().join("aside");
        fs::rename(&lost, &aside).unwrap();
        let answer = serve(&data);
        assert_eq!(
            (answer.code, answer.out.as_str()),
            (DAMAGED, ""),
            "without {}: {answer:?}",
            lost.display()
        );
        assert!(answer.err.contains(data.to_str().unwrap()), "{answer:?}");
        // The refused start may have made the folder, but must not have filled it.
        let _nothing_was_made = fs::remove_dir(&lost);
        fs::rename(&aside, &lost).unwrap();
    }
    broker.restart();
    assert_eq!(broker.peer().server().jobs, 110);
}

#[test]
fn a_directory_of_a_later_version_is_refused() {
    let mut broker = Broker::start();
    assert_eq!(broker.terminate(), 0);
    let manifest = broker.data().join("MANIFEST");
    let mut content = fs::read(&manifest).unwrap();
    let crc_at = content.len() - 4;
    content[8] = 99;
    let crc = crc32c::crc32c(&content[..crc_at]);
    content[crc_at..].copy_from_slice(&crc.to_le_bytes());
    fs::write(&manifest, &content).unwrap();
    let answer = serve(&broker.data());
    refused(&answer, DAMAGED, &manifest);
    assert!(answer.err.contains("99"), "{answer:?}");
    assert_eq!(fs::read(&manifest).unwrap(), content);
}

#[test]
fn a_second_broker_on_a_directory_is_told_who_holds_it() {
    let mut broker = Broker::start();
    let answer = serve(&broker.data());
    refused(&answer, 1, &broker.data());
    let pid = broker.program().pid().to_string();
    assert!(answer.err.contains(&pid), "{answer:?}");
    assert_eq!(broker.peer().server().jobs, 0, "the first one goes on");
}

#[test]
fn a_place_that_is_no_directory_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "mine").unwrap();
    for place in [file.clone(), file.join("below")] {
        refused(&serve(&place), 1, &place);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn a_port_that_is_taken_is_named_and_the_directory_is_free_again() {
    let broker = Broker::start();
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let arguments = ["serve", "--data", data.to_str().unwrap(), "--listen", broker.addr()];
    let answer = start_windlass(&arguments).end();
    assert_eq!((answer.code, answer.out.as_str()), (1, ""), "{answer:?}");
    assert!(answer.err.contains(broker.addr()), "{answer:?}");
    Peer::open(broker.addr());
    let again = windlass(&["serve", "--data", data.to_str().unwrap(), "--listen", broker.addr()]);
    assert!(again.err.contains(broker.addr()), "the first try has let the directory go: {again:?}");
}

#[test]
fn a_folder_with_other_files_is_refused_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("thesis.txt"), "mine").unwrap();
    let answer = serve(home.path());
    refused(&answer, 1, home.path());
    assert!(answer.err.contains("thesis.txt"), "{answer:?}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}
