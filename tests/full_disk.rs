//! A disk that is really full: a small one, mounted for the test. Who may not mount is told that it was
//! skipped.

use crate::harness::{Broker, Peer, complete, eventually, fetch_once, job, result_of, stream};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::server_frame::Body;
use windlass_proto::v1::{Code, Enqueue, SettleCode};

const MIB: u64 = 1 << 20;

/// A small disk, taken away at the end.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, mib: u64) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
            .arg(at)
            .output();
        mounted.is_ok_and(|done| done.status.success()).then(|| Self(at.to_path_buf()))
    }

    fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.0).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    /// Leaves so much free.
    fn fill(&self, left: u64) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        while self.free() > left {
            let piece = (self.free() - left).min(MIB);
            if file.write_all(&vec![1; usize::try_from(piece).unwrap()]).is_err() {
                return;
            }
        }
    }

    fn clear(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn may_enqueue(peer: &mut Peer) -> bool {
    let answer = peer.ask(Request::Enqueue(Enqueue { jobs: vec![job("k")], ..Enqueue::default() }));
    match answer {
        Body::Error(refusal) => {
            assert_eq!(refusal.code(), Code::Exhausted, "{refusal:?}");
            false
        }
        _ => true,
    }
}

/// G7, and G8 where the disk has no room at all.
#[test]
fn on_a_full_disk_jobs_are_refused_and_settled_and_a_start_is_possible() {
    let home = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(&home.path().join("disk"), 24) else {
        println!("skipped: no disk can be mounted here, which only root may");
        return;
    };
    let flags = ["--disk-low-bytes", "4MiB", "--segment-bytes-max", "1MiB"];
    fs::create_dir(disk.0.join("data")).unwrap();
    let mut broker = Broker::on(&disk.0.join("data"), &flags);
    let mut peer = broker.peer();
    for _ in 0..20 {
        peer.enqueue(job("k"));
    }
    let works = peer.poll(fetch_once("q", 10));
    disk.fill(2 * MIB);
    eventually("the watermark is noticed", || (!may_enqueue(&mut peer)).then_some(()));
    let settled = peer.settle_all(works.iter().map(|work| result_of(work, complete("done"))).collect());
    assert!(settled.iter().all(|one| one.code() == SettleCode::Settled), "{settled:?}");
    disk.clear();
    eventually("room is noticed without a restart", || may_enqueue(&mut peer).then_some(()));

    assert_eq!(broker.terminate(), 0);
    disk.fill(0);
    assert!(disk.free() < 64 << 10, "{} bytes are free", disk.free());
    broker.restart();
    let mut peer = broker.peer();
    assert!(!may_enqueue(&mut peer));
    assert!(peer.queue("q").completed >= 10);
    disk.clear();
    eventually("room is noticed without a restart", || may_enqueue(&mut peer).then_some(()));
    let stream = peer.open_stream(stream("q", 1));
    let work = peer.delivery(stream).jobs.remove(0);
    assert_eq!(peer.settle(&work, complete("done")), SettleCode::Settled);
}
