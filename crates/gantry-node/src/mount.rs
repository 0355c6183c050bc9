//! Mounting and unmounting.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Why a mount failed.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be {action}: {source}")]
pub struct MountError {
    path: String,
    action: &'static str,
    source: io::Error,
}

fn text(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

/// Mounts `source` at `target`.
pub fn mount(source: &str, target: &Path, type_: &str, flags: u64, options: &str) -> Result<(), MountError> {
    let mounted = || -> io::Result<()> {
        let [source, target] = [text(source.as_bytes())?, text(target.as_os_str().as_bytes())?];
        let [type_, options] = [text(type_.as_bytes())?, text(options.as_bytes())?];
        // SAFETY: all four are strings that end in a zero byte and live until the call returns.
        let result = unsafe {
            libc::mount(
                source.as_ptr(),
                target.as_ptr(),
                type_.as_ptr(),
                flags,
                options.as_ptr().cast(),
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    mounted().map_err(|source| MountError {
        path: target.display().to_string(),
        action: "mounted",
        source,
    })
}

/// Mounts memory at `target`, of `limit` bytes if given.
pub fn tmpfs(target: &Path, limit: Option<i64>) -> Result<(), MountError> {
    let options = limit.map(|l| format!("size={l}")).unwrap_or_default();
    mount("tmpfs", target, "tmpfs", 0, &options)
}

/// Unmounts everything at or below `target`.
pub fn unmount_below(target: &Path) -> Result<(), MountError> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|l| l.split(' ').nth(1)).map(unescape);
    let mut below: Vec<String> = points.filter(|p| Path::new(p).starts_with(target)).collect();
    // The inner ones first.
    below.sort_by_key(|p| std::cmp::Reverse(p.len()));
    below.iter().try_for_each(|point| unmount(Path::new(point)))
}

/// Unmounts `target`, as soon as nobody uses it. One that is not mounted is fine.
pub fn unmount(target: &Path) -> Result<(), MountError> {
    let unmounted = || -> io::Result<()> {
        let target = text(target.as_os_str().as_bytes())?;
        // SAFETY: the string ends in a zero byte and lives until the call returns.
        if unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINVAL | libc::ENOENT) => Ok(()),
            _ => Err(error),
        }
    };
    unmounted().map_err(|source| MountError {
        path: target.display().to_string(),
        action: "unmounted",
        source,
    })
}

/// A path as /proc/self/mounts writes it, with `\040` for a space.
pub fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|d| *first == b'\\' && d.iter().all(|b| (b'0'..=b'7').contains(b)));
        match octal {
            Some(digits) => {
                let value = digits.iter().fold(0u32, |sum, d| sum * 8 + u32::from(d - b'0'));
                bytes.push(value as u8);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn unescapes() {
        let check = |text: &str, expected: &str| assert_eq!(super::unescape(text), expected);
        check("/a/b", "/a/b");
        check("/a\\040b", "/a b");
        check("/a\\0", "/a\\0");
        check("/a\\134", "/a\\");
    }
}
