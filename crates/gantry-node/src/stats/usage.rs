//! What a cgroup uses, on cgroup v1 and v2. What cannot be measured is left out.

use crate::pod::cgroup::Cgroups;

/// What a cgroup uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time since its beginning, in nanoseconds.
    pub cpu: Option<u64>,
    /// Memory, with caches, in bytes.
    pub memory: Option<u64>,
    /// Memory without what can be dropped at once.
    pub working_set: Option<u64>,
    /// Anonymous memory.
    pub rss: Option<u64>,
    /// How much it may use, if it is limited.
    pub limit: Option<u64>,
    /// Page faults since its beginning.
    pub faults: Option<u64>,
    /// Those that read from disk.
    pub major_faults: Option<u64>,
    /// How many tasks it has.
    pub tasks: Option<u64>,
}

/// Limits above this are none: v1 has a number of pages for "no limit".
const NO_LIMIT: u64 = 1 << 62;

/// Reads a cgroup's numbers.
pub fn read(cgroups: &Cgroups, path: &str) -> Usage {
    let number = |controller: &str, file: &str| cgroups.read(controller, path, file)?.trim().parse().ok();
    let stat = |controller: &str, file: &str| cgroups.read(controller, path, file).unwrap_or_default();
    let v2 = cgroups.is_v2();
    let memory_stat = stat("memory", "memory.stat");
    // v1 has numbers with and without what is below; those with it begin with `total_`.
    let of_memory = |name: &str| match v2 {
        true => field(&memory_stat, name),
        false => field(&memory_stat, &format!("total_{name}")),
    };
    let (cpu, memory, limit) = match v2 {
        true => (
            field(&stat("cpu", "cpu.stat"), "usage_usec").map(|micros| micros.saturating_mul(1000)),
            number("memory", "memory.current"),
            number("memory", "memory.max"),
        ),
        false => (
            number("cpuacct", "cpuacct.usage"),
            number("memory", "memory.usage_in_bytes"),
            number("memory", "memory.limit_in_bytes"),
        ),
    };
    let droppable = of_memory("inactive_file").unwrap_or(0);
    Usage {
        cpu,
        memory,
        working_set: memory.map(|m: u64| m.saturating_sub(droppable)),
        rss: of_memory(if v2 { "anon" } else { "rss" }),
        limit: limit.filter(|l| *l < NO_LIMIT),
        faults: of_memory("pgfault"),
        major_faults: of_memory("pgmajfault"),
        tasks: number("pids", "pids.current"),
    }
}

/// A number of a file with lines `name number`.
fn field(text: &str, name: &str) -> Option<u64> {
    let value = text
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(' '))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn write(dir: &Path, files: &[(&str, &str)]) {
        for (file, text) in files {
            let file = dir.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
    }

    #[test]
    fn both_versions() {
        let expected = Usage {
            cpu: Some(5000),
            memory: Some(100),
            working_set: Some(70),
            rss: Some(20),
            limit: Some(200),
            faults: Some(9),
            major_faults: Some(2),
            tasks: Some(3),
        };
        let v1 = tempfile::tempdir().unwrap();
        write(
            v1.path(),
            &[
                ("cpuacct/a/b/cpuacct.usage", "5000\n"),
                ("memory/a/b/memory.usage_in_bytes", "100\n"),
                ("memory/a/b/memory.limit_in_bytes", "200\n"),
                (
                    "memory/a/b/memory.stat",
                    "rss 1\ntotal_rss 20\ntotal_inactive_file 30\ntotal_pgfault 9\ntotal_pgmajfault 2\n",
                ),
                ("pids/a/b/pids.current", "3\n"),
            ],
        );
        assert_eq!(read(&Cgroups::at(v1.path()), "/a/b"), expected);
        let v2 = tempfile::tempdir().unwrap();
        write(
            v2.path(),
            &[
                ("cgroup.controllers", "cpu memory\n"),
                ("a/b/cpu.stat", "usage_usec 5\nuser_usec 1\n"),
                ("a/b/memory.current", "100\n"),
                ("a/b/memory.max", "200\n"),
                (
                    "a/b/memory.stat",
                    "anon 20\ninactive_file 30\npgfault 9\npgmajfault 2\n",
                ),
                ("a/b/pids.current", "3\n"),
            ],
        );
        assert_eq!(read(&Cgroups::at(v2.path()), "/a/b"), expected);
        write(v2.path(), &[("a/b/memory.max", "max\n")]);
        assert_eq!(read(&Cgroups::at(v2.path()), "/a/b").limit, None);
        assert_eq!(read(&Cgroups::at(v2.path()), "/none"), Usage::default());
    }
}
