//! Files with secrets, of keys and of tokens: nobody but their owner may read them.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Bits of a mode by which others than the owner may do something.
const GROUP_AND_OTHERS: u32 = 0o077;
/// All but reading by the group.
const ALL_BUT_GROUP_READ: u32 = 0o037;

/// Looks whether others may read it. The open file is asked, so that what is looked at is what is read.
///
/// # Errors
/// If they may, in words, with what to do.
pub(crate) fn check(path: &Path, file: &File) -> Result<(), String> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let mode = file.metadata().map_err(|error| error.to_string())?.permissions().mode();
    if mode & forbidden(path, credentials.as_deref()) == 0 {
        return Ok(());
    }
    let mode = mode & 0o777;
    Err(format!("others than its owner may read it (mode {mode:o}); do `chmod 600 {}`", path.display()))
}

/// systemd lets a service read its credentials through an access list, whose mask looks like the group's
/// right to read; the folder around them is the service's alone.
fn forbidden(path: &Path, credentials: Option<&Path>) -> u32 {
    let is_credential = credentials.is_some_and(|folder| path.starts_with(folder));
    if is_credential { ALL_BUT_GROUP_READ } else { GROUP_AND_OTHERS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_credential_of_systemd_looks_readable_for_a_group() {
        let (file, folder) = (Path::new("/run/credentials/w/key"), Path::new("/run/credentials/w"));
        assert_eq!(0o440 & forbidden(file, Some(folder)), 0);
        assert_ne!(0o444 & forbidden(file, Some(folder)), 0);
        assert_ne!(0o440 & forbidden(file, None), 0);
        assert_ne!(0o440 & forbidden(Path::new("/etc/key"), Some(folder)), 0);
    }
}
