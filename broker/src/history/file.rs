//! The files of the history: one for each length of a step, written anew as a whole.
//!
//! ```text
//! "WLHIST" version u8 | ring u8 | courses | crc32c of all before, u32
//! course: namespace, queue | next step | number of points | each metric in turn: its values
//!         in the file of the finest steps also: the totals up to which it was measured
//! ```
//! Numbers are of as many bytes as they need, seven bits each; texts have their length in front. A value
//! of 0 stands for so many of them as the number behind it says.

use super::course::{Point, Ring};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use windlass_engine::fact::Totals;
use windlass_engine::measure::Metric;

const MAGIC: &[u8; 7] = b"WLHIST\x01";

/// What of one course is in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) namespace: String,
    /// "" = all queues of the namespace together.
    pub(super) queue: String,
    /// Up to where it was measured; only with the finest steps.
    pub(super) seen: Totals,
    pub(super) ring: Ring,
}

/// Takes bytes up as they are made.
pub(super) struct Draft {
    ring: u8,
    bytes: Vec<u8>,
}

impl Draft {
    /// Of the file with the steps of this ring.
    pub(super) fn new(ring: usize) -> Self {
        let ring = u8::try_from(ring).expect("there are three");
        let mut bytes = MAGIC.to_vec();
        bytes.push(ring);
        Self { ring, bytes }
    }

    pub(super) fn add(&mut self, (namespace, queue): (&str, &str), seen: &Totals, ring: &Ring) {
        self.text(namespace);
        self.text(queue);
        if self.ring == 0 {
            let Totals { enqueued, completed, dead, cancelled, expired, failed_attempts, crashes } = *seen;
            let all = [enqueued, completed, dead, cancelled, expired, failed_attempts, crashes];
            all.into_iter().for_each(|number| self.number(number));
        }
        self.number(ring.next);
        self.number(ring.points.len() as u64);
        for metric in 0..Metric::COUNT {
            let mut zeros = 0;
            for point in &ring.points {
                if point[metric] == 0 {
                    zeros += 1;
                    continue;
                }
                self.zeros(&mut zeros);
                self.number(point[metric].into());
            }
            self.zeros(&mut zeros);
        }
    }

    /// Replaces the file, so that after a crash it is either the old one or the new one.
    pub(super) fn write(mut self, path: &Path) -> io::Result<()> {
        let crc = crc32c::crc32c(&self.bytes);
        self.bytes.extend(crc.to_le_bytes());
        let draft = path.with_extension("draft");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&self.bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }

    fn zeros(&mut self, count: &mut u64) {
        if *count > 0 {
            self.number(0);
            self.number(std::mem::take(count));
        }
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes.extend(text.as_bytes());
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.bytes.push(number.to_le_bytes()[0]);
    }
}

/// The courses in a file; none if there is no such file.
///
/// # Errors
/// When it cannot be read or is damaged.
pub(super) fn read(path: &Path, ring: usize, most: usize) -> io::Result<Vec<Piece>> {
    match fs::read(path) {
        Ok(bytes) => decode(&bytes, ring, most)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the file is damaged")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn decode(bytes: &[u8], ring: usize, most: usize) -> Option<Vec<Piece>> {
    let (told, crc) = bytes.split_last_chunk::<4>()?;
    let told = told.strip_prefix(MAGIC).filter(|_| crc32c::crc32c(told) == u32::from_le_bytes(*crc))?;
    let (of, rest) = told.split_first()?;
    let mut reader = Reader(rest);
    let mut pieces = Vec::new();
    while usize::from(*of) == ring && !reader.0.is_empty() {
        pieces.push(reader.piece(ring, most)?);
    }
    Some(pieces)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn piece(&mut self, ring: usize, most: usize) -> Option<Piece> {
        let (namespace, queue) = (self.text()?, self.text()?);
        let mut seen = Totals::default();
        if ring == 0 {
            let Totals { enqueued, completed, dead, cancelled, expired, failed_attempts, crashes } =
                &mut seen;
            for number in [enqueued, completed, dead, cancelled, expired, failed_attempts, crashes] {
                *number = self.number()?;
            }
        }
        let next = self.number()?;
        let count = usize::try_from(self.number()?).ok().filter(|count| *count <= most)?;
        next.checked_sub(count as u64)?;
        let mut points: Vec<Point> = vec![[0; Metric::COUNT]; count];
        for metric in 0..Metric::COUNT {
            let mut place = 0;
            while place < count {
                match self.number()? {
                    0 => place += usize::try_from(self.number()?).ok().filter(|zeros| *zeros <= count)?,
                    value => {
                        points.get_mut(place)?[metric] = u32::try_from(value).ok()?;
                        place += 1;
                    }
                }
            }
        }
        Some(Piece { namespace, queue, seen, ring: Ring { next, points: points.into() } })
    }

    fn text(&mut self) -> Option<String> {
        let len = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces() -> Vec<Piece> {
        let mut points = vec![[0; Metric::COUNT]; 300];
        points[7] = [1, 200, 0, 0, u32::MAX, 5, 6, 0, 7];
        points[299] = [3; Metric::COUNT];
        let seen = Totals { enqueued: u64::MAX, crashes: 1, ..Totals::default() };
        let ring = Ring { next: 1_000, points: points.into() };
        let all = Piece { namespace: "default".into(), queue: String::new(), seen, ring };
        vec![all.clone(), Piece { queue: "mail".into(), ring: Ring::default(), ..all }]
    }

    #[test]
    fn what_is_written_is_read_and_zeros_take_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("10s");
        assert_eq!(read(&path, 0, 360).unwrap(), []);
        let mut draft = Draft::new(0);
        pieces()
            .iter()
            .for_each(|piece| draft.add((&piece.namespace, &piece.queue), &piece.seen, &piece.ring));
        draft.write(&path).unwrap();
        assert!(fs::metadata(&path).unwrap().len() < 250);
        assert_eq!(read(&path, 0, 360).unwrap(), pieces());
        assert_eq!(read(&path, 1, 360).unwrap(), [], "it is not of these steps");
    }

    #[test]
    fn a_file_with_any_byte_changed_or_cut_off_is_damaged() {
        let mut draft = Draft::new(0);
        pieces()
            .iter()
            .for_each(|piece| draft.add((&piece.namespace, &piece.queue), &piece.seen, &piece.ring));
        let crc = crc32c::crc32c(&draft.bytes);
        let bytes = [draft.bytes, crc.to_le_bytes().to_vec()].concat();
        assert!(decode(&bytes, 0, 360).is_some());
        assert!(decode(&bytes, 0, 299).is_none(), "more points than a ring has");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(decode(&changed, 0, 360).is_none(), "byte {at}");
            assert!(decode(&bytes[..at], 0, 360).is_none(), "cut at {at}");
        }
    }
}
