//! Every way in which a file of a data directory is damaged: one cell each, the same for the same seed.

use crate::simulation::random::Random;
use std::fs;
use std::path::{Path, PathBuf};

/// What happens to one file.
#[derive(Clone, Debug)]
pub enum Damage {
    /// One bit is another.
    Flip(usize, u8),
    /// So many bytes from there are zeros.
    Zeros(usize, usize),
    /// It ends there.
    Cut(usize),
    /// It is gone.
    Gone,
    /// Somebody has written behind its end.
    Longer(usize),
}

/// One damage of one file.
#[derive(Clone, Debug)]
pub struct Cell {
    /// From the data directory.
    pub file: PathBuf,
    pub damage: Damage,
}

/// Kinds of damage by random place, and how many of each a file gets; sled's database gets `weight` times
/// as many.
const FLIPS: usize = 8;
const SECTORS: usize = 4;
const PAGES: usize = 4;
const CUTS: usize = 2;

/// All cells of a directory.
pub fn cells(data: &Path, seed: u64, weight: usize) -> Vec<Cell> {
    let mut random = Random::new(seed);
    let mut found = Vec::new();
    for file in files(data) {
        let content = fs::read(data.join(&file)).unwrap();
        let matters = !["LOCK", "reserve", "history"].iter().any(|name| file.starts_with(name));
        let times = if file.ends_with("leaves/db") { 6 * weight } else { weight };
        let places = Places::of(&content);
        let mut damages = vec![Damage::Gone, Damage::Longer(1), Damage::Longer(70_000)];
        if !content.is_empty() && matters {
            damages.push(Damage::Cut(0));
            for _ in 0..FLIPS * times {
                damages.push(Damage::Flip(places.any(&mut random), 1 << random.below(8)));
            }
            for (number, bytes) in [(SECTORS, 512), (PAGES, 4096)] {
                for _ in 0..number * times {
                    damages.push(Damage::Zeros(places.any(&mut random) / bytes * bytes, bytes));
                }
            }
            for _ in 0..CUTS * times {
                damages.push(Damage::Cut(places.any(&mut random)));
            }
        }
        found.extend(damages.into_iter().map(|damage| Cell { file: file.clone(), damage }));
    }
    found
}

/// Where a file holds anything but zeros; a segment of the journal is mostly empty.
struct Places {
    bytes: usize,
    used: Vec<usize>,
}

impl Places {
    fn of(content: &[u8]) -> Self {
        let blocks = content.chunks(512).enumerate();
        let used = blocks.filter(|(_, block)| block.iter().any(|&byte| byte != 0)).map(|(place, _)| place);
        Self { bytes: content.len(), used: used.collect() }
    }

    /// Mostly in what is used, sometimes anywhere; now and then in the first or the last block of it.
    fn any(&self, random: &mut Random) -> usize {
        let (Some(&first), Some(&last)) = (self.used.first(), self.used.last()) else {
            return random.place(self.bytes);
        };
        let block = match random.below(10) {
            0 => return random.place(self.bytes),
            1 => first,
            2 | 3 => last,
            _ => *random.pick(&self.used),
        };
        (block * 512 + random.place(512)).min(self.bytes - 1)
    }
}

/// The files below a directory, from there, in order.
pub fn files(data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![data.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(data).unwrap().to_path_buf());
            }
        }
    }
    found.sort();
    found
}

impl Cell {
    /// Does it to the copy in `data`.
    pub fn apply(&self, data: &Path) {
        let path = data.join(&self.file);
        let mut content = fs::read(&path).unwrap();
        match self.damage {
            Damage::Flip(at, bit) => content[at] ^= bit,
            Damage::Zeros(at, bytes) => {
                let end = (at + bytes).min(content.len());
                content[at..end].fill(0);
            }
            Damage::Cut(at) => content.truncate(at),
            Damage::Gone => return fs::remove_file(&path).unwrap(),
            Damage::Longer(bytes) => content.extend(b"garbage".iter().cycle().take(bytes)),
        }
        fs::write(&path, content).unwrap();
    }
}

/// Copies a directory.
pub fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to.join("leaves/blobs")).unwrap();
    for file in files(from) {
        let place = to.join(&file);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(from.join(&file), place).unwrap();
    }
}
