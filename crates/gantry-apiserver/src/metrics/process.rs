//! The process, as Prometheus' clients describe it.

use crate::metrics::text::Text;
use std::fs;

/// The kernel counts CPU time in hundredths of a second for programs, whatever its own clock is.
const TICKS: f64 = 100.0;

/// How many files the process may have open.
pub fn most_files() -> Option<usize> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|l| l.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Writes what the system knows about this process. What it does not tell is left out.
pub fn write(text: &mut Text) {
    let stat = read("/proc/self/stat");
    let cpu = field(&stat, 14)
        .zip(field(&stat, 15))
        .map(|(user, system)| (user + system) / TICKS);
    let status = read("/proc/self/status");
    let kibibytes = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
    };
    let files = fs::read_dir("/proc/self/fd")
        .ok()
        .map(|files| files.count() as f64);
    // Of the process' network namespace, as in Prometheus' own clients.
    let network = read("/proc/self/net/netstat");
    let network = |name: &str| {
        let mut lines = network.lines().filter(|l| l.starts_with("IpExt:"));
        let (names, values) = (lines.next()?, lines.next()?);
        let at = names.split_whitespace().position(|n| n == name)?;
        values.split_whitespace().nth(at)?.parse::<f64>().ok()
    };
    let all = [
        (
            "process_network_receive_bytes_total",
            "counter",
            "Number of bytes received by the process over the network.",
            network("InOctets"),
        ),
        (
            "process_network_transmit_bytes_total",
            "counter",
            "Number of bytes sent by the process over the network.",
            network("OutOctets"),
        ),
        (
            "process_cpu_seconds_total",
            "counter",
            "Total user and system CPU time spent in seconds.",
            cpu,
        ),
        (
            "process_max_fds",
            "gauge",
            "Maximum number of open file descriptors.",
            most_files().map(|most| most as f64),
        ),
        (
            "process_open_fds",
            "gauge",
            "Number of open file descriptors.",
            files,
        ),
        (
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory size in bytes.",
            kibibytes("VmRSS:"),
        ),
        (
            "process_virtual_memory_bytes",
            "gauge",
            "Virtual memory size in bytes.",
            kibibytes("VmSize:"),
        ),
    ];
    for (name, type_, help, value) in all {
        if let Some(value) = value {
            text.one(name, type_, help, value);
        }
    }
    write_start(text);
}

/// Writes when the process began.
pub fn write_start(text: &mut Text) {
    let stat = read("/proc/self/stat");
    let system = read("/proc/stat");
    let boot = system
        .lines()
        .find_map(|l| l.strip_prefix("btime ")?.trim().parse::<f64>().ok());
    if let (Some(boot), Some(after)) = (boot, field(&stat, 22)) {
        let help = "Start time of the process since unix epoch in seconds.";
        text.one("process_start_time_seconds", "gauge", help, boot + after / TICKS);
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A field of /proc/self/stat by its number in proc(5). The second, a name in parentheses, may hold anything.
fn field(stat: &str, number: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(number - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process() {
        assert_eq!(field("7 (a (b) c) S 1 2 3", 4), Some(1.0));
        let mut text = Text::default();
        write(&mut text);
        assert_eq!(text.0.matches("# TYPE process_").count(), 8, "{}", text.0);
    }
}
