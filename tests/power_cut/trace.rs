//! The trace of a watched process, and the disks that a power cut in it can leave.
//!
//! What was synced is there. Of what was not, anything may be: nothing, everything, only the later
//! half, any writes, any pages of 4 KiB, or all but a last write of which some sectors arrived.
//! Names become durable when their folder is synced; those that were not survive in order, as a file
//! system with a journal keeps them.

use crate::simulation::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The unit in which a disk keeps or loses data.
const PAGE: usize = 4_096;
/// The unit that is written wholly or not at all.
const SECTOR: usize = 512;

/// One thing that the process did.
#[derive(Clone, Debug)]
pub enum Op {
    /// It opened a file that was there.
    Adopt { inode: u64, path: PathBuf },
    /// It made a file.
    Create { inode: u64, path: PathBuf },
    /// It wrote.
    Write { inode: u64, at: u64, bytes: Vec<u8> },
    /// It cut or extended a file.
    Resize { inode: u64, size: u64 },
    /// It synced a file.
    Sync { inode: u64 },
    /// It synced a folder.
    SyncFolder { path: PathBuf },
    /// It changed names.
    Name(NameOp),
    /// It said so many bytes to the peer with this port.
    Sent { port: u64, bytes: u64 },
}

/// A change of names.
#[derive(Clone, Debug)]
pub enum NameOp {
    /// A file got its first name.
    Link { file: usize, path: PathBuf },
    /// A name moved.
    Rename { from: PathBuf, to: PathBuf },
    /// A name went.
    Unlink { path: PathBuf },
    /// A folder came.
    MakeFolder { path: PathBuf },
    /// A folder went.
    RemoveFolder { path: PathBuf },
}

impl NameOp {
    fn folder(&self) -> &Path {
        let (Self::Link { path, .. }
        | Self::Rename { to: path, .. }
        | Self::Unlink { path }
        | Self::MakeFolder { path }
        | Self::RemoveFolder { path }) = self;
        path.parent().unwrap_or(Path::new(""))
    }
}

impl NameOp {
    /// The same below another folder.
    fn rebased(self, from: &Path, to: &Path) -> Self {
        let moved = |path: PathBuf| path.strip_prefix(from).map(|rest| to.join(rest)).unwrap_or(path);
        match self {
            Self::Link { file, path } => Self::Link { file, path: moved(path) },
            Self::Rename { from, to } => Self::Rename { from: moved(from), to: moved(to) },
            Self::Unlink { path } => Self::Unlink { path: moved(path) },
            Self::MakeFolder { path } => Self::MakeFolder { path: moved(path) },
            Self::RemoveFolder { path } => Self::RemoveFolder { path: moved(path) },
        }
    }
}

/// Reads a trace: each op, and where in the trace it stands. Paths become relative to `root`.
pub fn read(trace: &Path, root: &Path) -> Vec<(u64, Op)> {
    let bytes = fs::read(trace).expect("the process was watched");
    let mut rest = &bytes[..];
    let mut ops = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<25>() {
        let place = (bytes.len() - rest.len()) as u64;
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let (inode, at, length) =
            (number(1), number(9), usize::try_from(number(17)).expect("it was written"));
        // The process may have been ended in the middle of a record.
        let Some((body, tail)) = tail.split_at_checked(length) else { break };
        rest = tail;
        let path = |text: &[u8]| {
            let path = PathBuf::from(String::from_utf8(text.to_vec()).expect("paths are text"));
            path.strip_prefix(root).expect("only what lies below is watched").to_path_buf()
        };
        let op = match head[0] {
            1 => Op::Adopt { inode, path: path(body) },
            2 => Op::Create { inode, path: path(body) },
            3 => Op::Write { inode, at, bytes: body.to_vec() },
            4 => Op::Resize { inode, size: at },
            5 => Op::Sync { inode },
            6 => Op::SyncFolder { path: path(body) },
            7 => {
                let middle = body.iter().position(|&byte| byte == 0).expect("two names");
                Op::Name(NameOp::Rename { from: path(&body[..middle]), to: path(&body[middle + 1..]) })
            }
            8 => Op::Name(NameOp::Unlink { path: path(body) }),
            9 => Op::Name(NameOp::MakeFolder { path: path(body) }),
            10 => Op::Name(NameOp::RemoveFolder { path: path(body) }),
            11 => Op::Sent { port: inode, bytes: at },
            other => panic!("the shim wrote an op {other}"),
        };
        ops.push((place, op));
    }
    ops
}

/// What a cut leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// Nothing.
    Nothing,
    /// Everything: the process was killed, the machine was not.
    Everything,
    /// The later half of the writes, without those before.
    LatterHalf,
    /// Any writes, each wholly or not at all.
    RandomWrites,
    /// Any pages.
    RandomPages,
    /// All but the last write of each file, of which some sectors arrived.
    Torn,
}

impl Survives {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Nothing,
        Self::Everything,
        Self::LatterHalf,
        Self::RandomWrites,
        Self::RandomPages,
        Self::Torn,
    ];
}

/// The disk while the process runs.
#[derive(Clone, Default)]
pub struct Disk {
    files: Vec<File>,
    /// The file of an inode, now.
    inodes: BTreeMap<u64, usize>,
    durable: Names,
    pending: Vec<NameOp>,
}

#[derive(Clone, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Piece>,
}

#[derive(Clone)]
enum Piece {
    Write { at: usize, bytes: Vec<u8> },
    Resize(usize),
}

#[derive(Clone, Default)]
struct Names {
    files: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
}

impl Disk {
    /// A disk that holds what lies in `root`, all of it durable.
    pub fn holding(root: &Path) -> Self {
        let mut disk = Self::default();
        disk.take_in(root, Path::new(""));
        disk
    }

    fn take_in(&mut self, root: &Path, folder: &Path) {
        for entry in fs::read_dir(root.join(folder)).expect("it is a folder") {
            let path = folder.join(entry.expect("it can be read").file_name());
            let whole = root.join(&path);
            if whole.is_dir() {
                self.durable.folders.insert(path.clone());
                self.take_in(root, &path);
            } else {
                let durable = fs::read(whole).expect("it is a file");
                self.durable.files.insert(path, self.files.len());
                self.files.push(File { durable, pending: Vec::new() });
            }
        }
    }

    /// The disk for the next process, when only the one before has ended.
    pub fn after_a_kill(&self) -> Self {
        Self { inodes: BTreeMap::new(), ..self.clone() }
    }

    /// The process does something.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Adopt { inode, path } => {
                if !self.inodes.contains_key(inode) {
                    let file = self.names(&self.pending).files[path];
                    self.inodes.insert(*inode, file);
                }
            }
            Op::Create { inode, path } => {
                let file = self.files.len();
                self.files.push(File::default());
                self.inodes.insert(*inode, file);
                self.pending.push(NameOp::Link { file, path: path.clone() });
            }
            Op::Write { inode, at, bytes } => {
                let at = usize::try_from(*at).expect("files are small");
                self.file(*inode).pending.push(Piece::Write { at, bytes: bytes.clone() });
            }
            Op::Resize { inode, size } => {
                let size = usize::try_from(*size).expect("files are small");
                self.file(*inode).pending.push(Piece::Resize(size));
            }
            Op::Sync { inode } => {
                let file = self.file(*inode);
                for piece in std::mem::take(&mut file.pending) {
                    piece.put(&mut file.durable);
                }
            }
            Op::SyncFolder { path } => {
                let (synced, rest) =
                    std::mem::take(&mut self.pending).into_iter().partition(|op| op.folder() == path);
                let synced: Vec<NameOp> = synced;
                self.pending = rest;
                synced.iter().for_each(|op| self.durable.apply(op));
            }
            Op::Name(NameOp::Rename { from, to }) => {
                // What waits inside a folder waits on under its new name.
                let (inside, mut others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
                    .into_iter()
                    .partition(|op| op.folder().starts_with(from));
                others.push(NameOp::Rename { from: from.clone(), to: to.clone() });
                others.extend(inside.into_iter().map(|op| op.rebased(from, to)));
                self.pending = others;
            }
            Op::Name(op) => self.pending.push(op.clone()),
            Op::Sent { .. } => {}
        }
    }

    fn file(&mut self, inode: u64) -> &mut File {
        let file = self.inodes[&inode];
        &mut self.files[file]
    }

    /// Changes of names below a folder that a power cut could still undo.
    pub fn unsynced_names(&self, folder: &Path) -> Vec<&NameOp> {
        self.pending.iter().filter(|op| op.folder().starts_with(folder)).collect()
    }

    fn names(&self, surviving: &[NameOp]) -> Names {
        let mut names = self.durable.clone();
        surviving.iter().for_each(|op| names.apply(op));
        names
    }

    /// Cuts the power, and writes what is left below `root`.
    pub fn cut(&self, survives: Survives, random: &mut Random, root: &Path) {
        let surviving = match survives {
            Survives::Nothing => 0,
            Survives::Everything => self.pending.len(),
            Survives::LatterHalf | Survives::RandomWrites | Survives::RandomPages | Survives::Torn => {
                random.place(self.pending.len() + 1)
            }
        };
        let names = self.names(&self.pending[..surviving]);
        // What lies in a folder that was lost is lost with it.
        for folder in names.folders.iter().filter(|folder| names.has_parents_of(folder)) {
            fs::create_dir_all(root.join(folder)).expect("the scratch disk has room");
        }
        for (path, &file) in &names.files {
            let content = self.files[file].after_cut(survives, random);
            let path = root.join(path);
            if path.parent().is_some_and(Path::is_dir) {
                fs::write(path, content).expect("the scratch disk has room");
            }
        }
    }
}

impl Names {
    fn has_parents_of(&self, path: &Path) -> bool {
        path.ancestors().skip(1).all(|folder| folder.as_os_str().is_empty() || self.folders.contains(folder))
    }

    fn apply(&mut self, op: &NameOp) {
        match op {
            NameOp::Link { file, path } => {
                self.files.insert(path.clone(), *file);
            }
            NameOp::Rename { from, to } => {
                // A folder takes along what lies in it.
                let moved = |path: &PathBuf| path.strip_prefix(from).ok().map(|rest| to.join(rest));
                let files = self.files.iter().filter_map(|(path, file)| Some((moved(path)?, *file)));
                let files: Vec<(PathBuf, usize)> = files.collect();
                let folders: Vec<PathBuf> = self.folders.iter().filter_map(moved).collect();
                self.files.retain(|path, _| !path.starts_with(from));
                self.folders.retain(|path| !path.starts_with(from));
                // A file that is replaced goes. Joining nothing to a path would end it with a slash.
                self.files.extend(files.into_iter().map(|(path, file)| (trimmed(&path), file)));
                self.folders.extend(folders.iter().map(|path| trimmed(path)));
            }
            NameOp::Unlink { path } => {
                self.files.remove(path);
            }
            NameOp::MakeFolder { path } => {
                self.folders.insert(path.clone());
            }
            NameOp::RemoveFolder { path } => {
                self.folders.remove(path);
            }
        }
    }
}

impl File {
    fn after_cut(&self, survives: Survives, random: &mut Random) -> Vec<u8> {
        let mut content = self.durable.clone();
        for (number, piece) in self.pending.iter().enumerate() {
            match survives {
                Survives::Nothing => {}
                Survives::Everything => piece.put(&mut content),
                Survives::LatterHalf if number >= self.pending.len() / 2 => piece.put(&mut content),
                Survives::LatterHalf => {}
                Survives::RandomWrites if random.chance(50) => piece.put(&mut content),
                Survives::RandomWrites => {}
                Survives::RandomPages => piece.put_some(PAGE, &mut content, random),
                Survives::Torn if number + 1 < self.pending.len() => piece.put(&mut content),
                Survives::Torn => piece.put_some(SECTOR, &mut content, random),
            }
        }
        content
    }
}

impl Piece {
    fn put(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => put(content, *at, bytes),
            Self::Resize(size) => content.resize(*size, 0),
        }
    }

    /// Each page of it survives or does not.
    fn put_some(&self, page: usize, content: &mut Vec<u8>, random: &mut Random) {
        let Self::Write { at, bytes } = self else {
            if random.chance(50) {
                self.put(content);
            }
            return;
        };
        let mut done = 0;
        while done < bytes.len() {
            let page_end = (at + done) / page * page + page - at;
            let end = page_end.min(bytes.len());
            if random.chance(50) {
                put(content, at + done, &bytes[done..end]);
            }
            done = end;
        }
    }
}

fn trimmed(path: &Path) -> PathBuf {
    path.components().collect()
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}
