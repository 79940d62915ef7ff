//! An archive: a whole data directory as one stream of checksummed chunks. It is what an export, a
//! snapshot and an import speak, and knows entries and batches as bytes only.
//!
//! ```text
//! head    "WINDLASSARCHIVE\n" | version u8 | record format u8 | origin's id 16 | crc32c u32
//! chunk   kind u8 | body's length u32 | items u32 | crc32c u32 of its number and all else | body
//!   1 entries   key's length u8 | value's length u16 | key | value, of the leaves, again and again
//!   2 batches   batch u64 | format u8 | length u32 | facts, of the journal, in order
//!   3 end       entries u64 | batches u64 | replay from u64 | last batch u64 | Meta | hash 32
//! ```
//! Little-endian. The hash is BLAKE3 of everything before it. Entries are in the order of keys within
//! table rows, then leaves, then parts; what came or went while they were read is put right by the
//! batches behind them, as after a crash in the middle of a fold.

use super::error::{DirectoryId, StoreError};
use super::record::{self, Meta};
use super::seam::{KEY_MAX, Record, VALUE_MAX};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 16] = b"WINDLASSARCHIVE\n";
/// The version of this layout.
pub const VERSION: u8 = 1;
const HEAD_BYTES: usize = 38;
const CHUNK_HEAD: usize = 13;
const HASH_BYTES: usize = 32;
/// A chunk is closed when it holds so much; one batch may be larger.
const CHUNK_BYTES: usize = 256 << 10;
const ENTRIES: u8 = 1;
const BATCHES: u8 = 2;
const END: u8 = 3;
/// Nobody can be made to read a longer chunk into memory.
const CHUNK_BYTES_MAX: usize = 272 << 20;
/// Damage in an archive is nobody's loss but the archive's.
const NEXT: &str = "nothing has been made of it; take another copy of it, or another archive";

/// What an archive says of itself at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Entries of the leaves.
    pub entries: u64,
    /// Batches of the journal.
    pub batches: u64,
    /// The first batch that the entries do not hold wholly.
    pub replay_from: u64,
    /// The last batch that is in it.
    pub last_batch: u64,
    /// The store's own record when the last entry had been read.
    pub meta: Meta,
}

/// Writes one.
pub struct Writer<W: Write> {
    out: W,
    hash: blake3::Hasher,
    number: u64,
    kind: u8,
    items: u32,
    body: Vec<u8>,
    entries: u64,
    batches: u64,
}

impl<W: Write> Writer<W> {
    /// Begins an archive of the directory with this id.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(out: W, origin: DirectoryId) -> io::Result<Self> {
        let mut writer = Self {
            out,
            hash: blake3::Hasher::new(),
            number: 0,
            kind: ENTRIES,
            items: 0,
            body: Vec::new(),
            entries: 0,
            batches: 0,
        };
        let mut head = MAGIC.to_vec();
        head.extend([VERSION, record::FORMAT]);
        head.extend(origin.0);
        head.extend(crc32c::crc32c(&head).to_le_bytes());
        writer.put(&head)?;
        Ok(writer)
    }

    /// Adds an entry of the leaves.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn entry(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.turn_to(ENTRIES)?;
        self.body.push(u8::try_from(key.len()).expect("keys are short"));
        self.body.extend(u16::try_from(value.len()).expect("values are short").to_le_bytes());
        self.body.extend_from_slice(key);
        self.body.extend_from_slice(value);
        self.entries += 1;
        self.count()
    }

    /// Adds a batch of the journal.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn batch(&mut self, record: Record<'_>) -> io::Result<()> {
        self.turn_to(BATCHES)?;
        self.body.extend(record.batch.to_le_bytes());
        self.body.push(record.format);
        self.body.extend(u32::try_from(record.body.len()).expect("batches are bounded").to_le_bytes());
        self.body.extend_from_slice(record.body);
        self.batches += 1;
        self.count()
    }

    /// Ends it. The stream that was written to, and what it holds.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(mut self, replay_from: u64, last_batch: u64, meta: Meta) -> io::Result<(W, Summary)> {
        self.close()?;
        let summary = Summary { entries: self.entries, batches: self.batches, replay_from, last_batch, meta };
        self.kind = END;
        self.items = 1;
        for number in [summary.entries, summary.batches, replay_from, last_batch] {
            self.body.extend(number.to_le_bytes());
        }
        self.body.extend(record::encode_meta(&meta));
        self.close()?;
        let hash = *self.hash.finalize().as_bytes();
        self.out.write_all(&hash)?;
        self.out.flush()?;
        Ok((self.out, summary))
    }

    fn turn_to(&mut self, kind: u8) -> io::Result<()> {
        if self.kind != kind {
            self.close()?;
            self.kind = kind;
        }
        Ok(())
    }

    fn count(&mut self) -> io::Result<()> {
        self.items += 1;
        if self.body.len() >= CHUNK_BYTES { self.close() } else { Ok(()) }
    }

    fn close(&mut self) -> io::Result<()> {
        if self.items == 0 {
            return Ok(());
        }
        let body = std::mem::take(&mut self.body);
        let head = chunk_head(self.kind, &body, self.items, self.number);
        self.put(&head)?;
        self.put(&body)?;
        self.number += 1;
        self.items = 0;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.out.write_all(bytes)
    }
}

fn chunk_head(kind: u8, body: &[u8], items: u32, number: u64) -> [u8; CHUNK_HEAD] {
    let mut head = [0; CHUNK_HEAD];
    head[0] = kind;
    head[1..5].copy_from_slice(&u32::try_from(body.len()).expect("chunks are bounded").to_le_bytes());
    head[5..9].copy_from_slice(&items.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), &head[..9]);
    head[9..].copy_from_slice(&crc32c::crc32c_append(crc, body).to_le_bytes());
    head
}

/// Where reading hands what it finds.
pub trait Visitor {
    /// An entry of the leaves.
    ///
    /// # Errors
    /// Any ends the reading.
    fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError>;

    /// A batch of the journal.
    ///
    /// # Errors
    /// Any ends the reading.
    fn batch(&mut self, record: Record<'_>) -> Result<(), StoreError>;
}

/// An archive in a file.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
}

impl Archive {
    /// The archive in this file; nothing is read yet.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_path_buf() }
    }

    /// Reads all of it, checks every chunk, the whole, and what it says of itself.
    ///
    /// # Errors
    /// `Corrupt` when anything is not as it was written, `UnknownVersion` when it is of a later
    /// version, and whatever the system refuses.
    pub fn read(&self, visitor: &mut dyn Visitor) -> Result<Summary, StoreError> {
        let refuse = |source| StoreError::io("read the archive", &self.path, source);
        let file = File::open(&self.path).map_err(refuse)?;
        let mut input = Input {
            file: BufReader::with_capacity(1 << 18, file),
            hash: blake3::Hasher::new(),
            at: 0,
            path: &self.path,
        };
        self.check_head(&input.take(HEAD_BYTES)?)?;
        let (mut entries, mut batches) = (0, 0);
        for number in 0.. {
            let at = input.at;
            let head = input.take(CHUNK_HEAD)?;
            let word = |from: usize| u32::from_le_bytes(head[from..from + 4].try_into().expect("four bytes"));
            let (kind, length, items) = (head[0], word(1) as usize, word(5));
            if length > CHUNK_BYTES_MAX {
                return Err(self.damaged(at, "a chunk is longer than chunks are".into()));
            }
            let body = input.take(length)?;
            if chunk_head(kind, &body, items, number)[..] != head[..] {
                return Err(self.damaged(at, format!("the checksum of chunk {number} disagrees")));
            }
            let found = match kind {
                ENTRIES => visit_entries(&body, visitor)?.inspect(|found| entries += u64::from(*found)),
                BATCHES => visit_batches(&body, visitor)?.inspect(|found| batches += u64::from(*found)),
                END => {
                    let summary = self.end(&mut input, &body, at)?;
                    let is_whole = (summary.entries, summary.batches) == (entries, batches);
                    return if is_whole {
                        Ok(summary)
                    } else {
                        Err(self.damaged(at, "its counts disagree".into()))
                    };
                }
                _ => None,
            };
            if found != Some(items) {
                return Err(self.damaged(at, format!("chunk {number} does not hold what it says")));
            }
        }
        unreachable!("chunks are counted for ever")
    }

    fn check_head(&self, head: &[u8]) -> Result<(), StoreError> {
        let (told, crc) = head.split_at(HEAD_BYTES - 4);
        if !told.starts_with(MAGIC) || crc32c::crc32c(told).to_le_bytes() != *crc {
            return Err(self.damaged(0, "this is not the head of an archive".into()));
        }
        let (version, format) = (told[MAGIC.len()], told[MAGIC.len() + 1]);
        for (found, known) in [(version, VERSION), (format, record::FORMAT)] {
            if found > known {
                return Err(StoreError::UnknownVersion { file: self.path.clone(), found, known });
            }
        }
        Ok(())
    }

    fn end(&self, input: &mut Input<'_>, body: &[u8], at: u64) -> Result<Summary, StoreError> {
        let told = input.hash.finalize();
        let hash = input.take(HASH_BYTES)?;
        if hash[..] != told.as_bytes()[..] {
            return Err(self.damaged(at, "the checksum of the whole disagrees".into()));
        }
        if !input.is_over()? {
            return Err(self.damaged(input.at, "something follows its end".into()));
        }
        let number = |place: usize| {
            let bytes = body.get(8 * place..8 * place + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u64::from_le_bytes).ok_or_else(|| self.damaged(at, "its end is cut short".into()))
        };
        let meta = record::decode_meta(body.get(32..).unwrap_or_default());
        let (batches, replay_from, last_batch) = (number(1)?, number(2)?, number(3)?);
        // The batches that are in it are those from the one on to the other.
        let counted = last_batch.checked_add(1).and_then(|next| next.checked_sub(replay_from));
        if replay_from == 0 || counted != Some(batches) || last_batch > u64::MAX / 2 {
            return Err(self.damaged(at, "its batches do not follow each other".into()));
        }
        Ok(Summary {
            entries: number(0)?,
            batches,
            replay_from,
            last_batch,
            meta: meta.map_err(|error| error.at("the Meta record of the archive"))?,
        })
    }

    fn damaged(&self, offset: u64, what: String) -> StoreError {
        StoreError::Corrupt { file: self.path.clone(), offset, what, next: NEXT }
    }
}

/// A file that is read from its beginning to its end.
struct Input<'a> {
    file: BufReader<File>,
    hash: blake3::Hasher,
    at: u64,
    path: &'a Path,
}

impl Input<'_> {
    /// The next bytes. Memory grows with those that arrive, not with those that are announced.
    fn take(&mut self, length: usize) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        (&mut self.file)
            .take(length as u64)
            .read_to_end(&mut bytes)
            .map_err(|source| StoreError::io("read the archive", self.path, source))?;
        if bytes.len() < length {
            let what = "the archive ends in the middle".into();
            return Err(StoreError::Corrupt { file: self.path.into(), offset: self.at, what, next: NEXT });
        }
        self.hash.update(&bytes);
        self.at += length as u64;
        Ok(bytes)
    }

    fn is_over(&mut self) -> Result<bool, StoreError> {
        let mut one = [0];
        let read =
            self.file.read(&mut one).map_err(|source| StoreError::io("read the archive", self.path, source));
        Ok(read? == 0)
    }
}

/// How many there were; None when they are cut short.
fn visit_entries(mut body: &[u8], visitor: &mut dyn Visitor) -> Result<Option<u32>, StoreError> {
    let mut items = 0;
    while let Some((&[key, low, high], rest)) = body.split_first_chunk::<3>() {
        let (key, value) = (usize::from(key), usize::from(u16::from_le_bytes([low, high])));
        if key > KEY_MAX || value > VALUE_MAX || rest.len() < key + value {
            return Ok(None);
        }
        visitor.entry(&rest[..key], &rest[key..key + value])?;
        body = &rest[key + value..];
        items += 1;
    }
    Ok(body.is_empty().then_some(items))
}

fn visit_batches(mut body: &[u8], visitor: &mut dyn Visitor) -> Result<Option<u32>, StoreError> {
    let mut items = 0;
    while let Some((batch, rest)) = body.split_first_chunk::<8>() {
        let Some((&[format, a, b, c, d], rest)) = rest.split_first_chunk::<5>() else { return Ok(None) };
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let Some(facts) = rest.get(..length) else { return Ok(None) };
        visitor.batch(Record { batch: u64::from_le_bytes(*batch), format, body: facts })?;
        body = &rest[length..];
        items += 1;
    }
    Ok(body.is_empty().then_some(items))
}

#[cfg(test)]
mod tests;
