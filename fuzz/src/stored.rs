//! What disks give back: records of any bytes, and a journal that was damaged anywhere.

use std::path::Path;
use std::sync::LazyLock;
use tempfile::TempDir;
use windlass_broker::store::directory::Directory;
use windlass_broker::store::journal::{DiskJournal, JournalOptions};
use windlass_broker::store::record;
use windlass_broker::store::seam::{Journal, Record};

/// Records of the journal that is damaged.
const RECORDS: u64 = 12;

/// The first byte says what the others are: a record of one of the kinds, or damage to a journal.
pub fn stored(data: &[u8]) {
    let Some((&what, bytes)) = data.split_first() else { return };
    match what % 7 {
        0 => facts(bytes),
        1 => drop(record::decode_leaf(bytes).map(|leaf| assert_eq!(record::encode_leaf(&leaf), bytes))),
        2 => drop(record::decode_meta(bytes).map(|meta| assert_eq!(record::encode_meta(&meta), bytes))),
        3 => drop(record::decode_row(bytes).map(|row| assert_eq!(record::encode_row(&row), bytes))),
        4 => drop(record::decode_block(bytes).map(|block| assert_eq!(record::encode_block(&block), bytes))),
        5 => {
            let _ = record::unseal(bytes);
            drop(record::decode_note(bytes).map(|note| assert_eq!(record::encode_note(&note), bytes)));
        }
        _ => journal(bytes),
    }
}

/// What is understood is written as it was.
fn facts(bytes: &[u8]) {
    if let Ok(facts) = record::decode_facts(record::FORMAT, bytes) {
        assert_eq!(record::encode_facts(&facts), bytes);
        assert!(facts.iter().all(|fact| fact.weight() < 1 << 40));
    }
}

/// A journal on disk, and where its files are.
struct Written {
    directory: Directory,
    files: Vec<(std::ffi::OsString, Vec<u8>)>,
    _folder: TempDir,
}

static WRITTEN: LazyLock<Written> = LazyLock::new(|| {
    let folder = folder();
    let mut directory = Directory::open(folder.path()).expect("an empty folder is a new directory");
    let mut journal = DiskJournal::create(&directory.journal(), options(&directory)).expect("it is made");
    for batch in 1..=RECORDS {
        let body = body(batch);
        journal.append(Record { batch, format: record::FORMAT, body: &body }).expect("it is written");
    }
    drop(journal);
    directory.seal().expect("it is sealed");
    let files = std::fs::read_dir(directory.journal()).expect("it is there").map(|file| {
        let file = file.expect("it is there");
        (file.file_name(), std::fs::read(file.path()).expect("it is read"))
    });
    Written { files: files.collect(), directory, _folder: folder }
});

fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("there is room")
}

fn options(directory: &Directory) -> JournalOptions {
    JournalOptions {
        segment_bytes_first: 16 << 10,
        segment_bytes_max: 16 << 10,
        ..JournalOptions::new(directory.id(), directory.journal_secret())
    }
}

fn body(batch: u64) -> Vec<u8> {
    (0..batch * 150).map(|at| (at * batch).to_le_bytes()[0]).collect()
}

/// Damage: which file, where, what is done there, with which byte; five bytes each. Either the journal opens
/// and gives back what was written, from some record on and up to some record, or it is refused.
fn journal(damage: &[u8]) {
    let written = &*WRITTEN;
    let folder = folder();
    let mut files = written.files.clone();
    for blow in damage.chunks_exact(5).take(20) {
        let at = usize::from(u16::from_le_bytes([blow[1], blow[2]]));
        let Some((_, bytes)) = files.get_mut(usize::from(blow[0]) % written.files.len()) else { return };
        let at = at.min(bytes.len());
        match blow[3] % 4 {
            0 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= blow[4]),
            1 => bytes[at..].iter_mut().take(512).for_each(|byte| *byte = blow[4]),
            2 => bytes.truncate(at),
            _ => bytes.extend(std::iter::repeat_n(blow[4], at)),
        }
    }
    for (name, bytes) in &files {
        std::fs::write(folder.path().join(name), bytes).expect("there is room");
    }
    let Ok((mut journal, recovered)) = DiskJournal::open(folder.path(), options(&written.directory)) else {
        return;
    };
    let mut next = recovered.first_batch;
    let replayed = journal.replay(recovered.first_batch, &mut |record| {
        assert_eq!(record.batch, next, "batches come in order");
        assert!(record.body == body(record.batch), "batch {next} comes back as it was written");
        next += 1;
        Ok(())
    });
    assert!(replayed.is_err() || next == recovered.last_batch + 1, "all that was found is replayed");
}
