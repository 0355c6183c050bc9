//! What the machine has, from /proc and the file systems.

use std::ffi::CString;
use std::fs::read_to_string;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The memory in bytes.
pub fn memory() -> i64 {
    meminfo("MemTotal:")
}

/// The memory that can be had, in bytes.
pub fn memory_available() -> i64 {
    meminfo("MemAvailable:")
}

/// The memory that nothing uses, not even as a cache, in bytes.
pub fn memory_free() -> i64 {
    meminfo("MemFree:")
}

/// When the machine was started, in nanoseconds since 1970.
pub fn boot() -> i64 {
    let text = read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("btime "));
    let seconds: i64 = line.and_then(|s| s.trim().parse().ok()).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000)
}

fn meminfo(field: &str) -> i64 {
    let text = read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(field)).unwrap_or("0");
    let kib: i64 = line
        .split_whitespace()
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    kib.saturating_mul(1024)
}

/// A file system's size, and what is free of it, in bytes; its inodes, and those that are free.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk {
    /// Bytes.
    pub size: i64,
    /// Bytes free to use.
    pub free: i64,
    /// Bytes free, with those that are kept for root.
    pub all_free: i64,
    /// Inodes.
    pub inodes: i64,
    /// Inodes free to use.
    pub inodes_free: i64,
}

/// The file system that holds `path`.
pub fn disk(path: &Path) -> std::io::Result<Disk> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: statvfs is plain numbers, for which all zeroes are valid.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends in a zero byte, and stat lives until the call returns.
    if unsafe { libc::statvfs(path.as_ptr(), &mut stat) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let block = number(stat.f_frsize);
    Ok(Disk {
        size: number(stat.f_blocks).saturating_mul(block),
        free: number(stat.f_bavail).saturating_mul(block),
        all_free: number(stat.f_bfree).saturating_mul(block),
        inodes: number(stat.f_files),
        inodes_free: number(stat.f_favail),
    })
}

/// How many processes there may be, and how many there are.
pub fn processes() -> (i64, i64) {
    let read = |file: &str| read_to_string(file).unwrap_or_default();
    let max = read("/proc/sys/kernel/pid_max")
        .trim()
        .parse()
        .unwrap_or(i64::MAX);
    let now = read("/proc/loadavg");
    let now = now
        .split_whitespace()
        .nth(3)
        .and_then(|f| f.split('/').nth(1)?.parse().ok())
        .unwrap_or(0);
    (max, now)
}

/// Texts that identify the machine.
pub struct Identity {
    /// Of the installation.
    pub machine_id: String,
    /// Of the hardware.
    pub system_uuid: String,
    /// Of this boot.
    pub boot_id: String,
    /// The kernel's version.
    pub kernel: String,
    /// The distribution's name.
    pub os_image: String,
}

/// Reads them; what is not there is empty.
pub fn identity() -> Identity {
    let read = |file: &str| read_to_string(file).unwrap_or_default().trim().to_string();
    let release = read_to_string("/etc/os-release").unwrap_or_default();
    let name = release
        .lines()
        .find_map(|l| l.strip_prefix("PRETTY_NAME="))
        .unwrap_or("Linux");
    let machine_id = read("/etc/machine-id");
    let mut system_uuid = read("/sys/class/dmi/id/product_uuid");
    if system_uuid.is_empty() {
        system_uuid = machine_id.clone();
    }
    Identity {
        machine_id,
        system_uuid,
        boot_id: read("/proc/sys/kernel/random/boot_id"),
        kernel: read("/proc/sys/kernel/osrelease"),
        os_image: name.trim_matches('"').to_string(),
    }
}

/// The architecture as Kubernetes names it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Whether a process is gone, or waits only for its parent to notice.
pub fn has_ended(pid: u32) -> bool {
    let Ok(stat) = read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.trim_start().starts_with(['Z', 'X'])
}

/// What this process uses; what cannot be read is not there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    /// CPU time.
    pub cpu_seconds: Option<f64>,
    /// Open file descriptors.
    pub open_files: Option<f64>,
    /// Resident memory.
    pub resident_bytes: Option<f64>,
    /// Its start, since 1970.
    pub start_seconds: Option<f64>,
}

/// Reads /proc/self.
#[allow(clippy::cast_precision_loss)]
pub fn process() -> Process {
    // SAFETY: sysconf takes a number and only reads.
    let (ticks, page) = unsafe {
        (
            libc::sysconf(libc::_SC_CLK_TCK),
            libc::sysconf(libc::_SC_PAGESIZE),
        )
    };
    let stat = read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in parentheses, may hold blanks; the third field is the first after it.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = |number: usize| rest.split_whitespace().nth(number - 3)?.parse::<f64>().ok();
    let seconds = |ticked: f64| ticked / ticks as f64;
    Process {
        cpu_seconds: field(14)
            .zip(field(15))
            .map(|(user, system)| seconds(user + system)),
        open_files: std::fs::read_dir("/proc/self/fd")
            .ok()
            .map(|fds| fds.count() as f64),
        resident_bytes: field(24).map(|pages| pages * page as f64),
        start_seconds: field(22).map(|start| boot() as f64 / 1e9 + seconds(start)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn processes_end() {
        assert!(!has_ended(std::process::id()));
        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(has_ended(pid));
    }

    #[test]
    fn this_process_is_measured() {
        let process = process();
        assert!(process.resident_bytes.is_some_and(|b| b > 1e6), "{process:?}");
        assert!(process.cpu_seconds.is_some() && process.open_files.is_some_and(|n| n > 2.0));
        assert!(process.start_seconds.is_some_and(|s| s > 1.7e9), "{process:?}");
    }
}
