//! What the node, its pods and their containers use: upstream's stats summary. Only what can be measured is there.

mod usage;

pub use usage::Usage;

use crate::clock;
use crate::cri::v1;
use crate::node::machine::{self, Disk};
use crate::pod::manager::{Known, Manager};
use crate::pod::spec;
use crate::pod::state::Container;
use crate::pod::{cgroup, cgroup::Cgroups};
use crate::shared::Shared;
use gantry_api::meta;
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Rates are taken over at least this long, in nanoseconds.
const SPAN: i64 = 1_000_000_000;

/// Measures what the node's pods use.
pub struct Stats {
    shared: Arc<Shared>,
    samples: Mutex<HashMap<String, Sample>>,
}

/// CPU time at a moment, and the rate until then.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: i64,
    cpu: u64,
    rate: Option<u64>,
}

/// What was measured at one moment.
pub struct Measured {
    /// The moment, in nanoseconds since 1970.
    pub at: i64,
    /// The whole node.
    pub node: Usage,
    /// Its pods.
    pub pods: Vec<PodUsage>,
}

/// What a pod uses.
pub struct PodUsage {
    /// The pod.
    pub known: Known,
    /// Altogether.
    pub usage: Usage,
    /// Each container that runs.
    pub containers: Vec<(Container, Usage)>,
}

impl Stats {
    /// Nothing has been measured yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        Stats {
            shared,
            samples: Mutex::default(),
        }
    }

    /// Measures CPU and memory.
    pub fn measure(&self, manager: &Manager) -> Measured {
        let cgroups = &self.shared.cgroups;
        let running = |known: &Known| known.state.running().next().is_some();
        let pods = manager.pods().into_iter().filter(running).map(|known| {
            let path = cgroup::path(&known.pod);
            let containers = known.state.running().map(|container| {
                let usage = usage::read(cgroups, &format!("{path}/{}", container.id));
                (container.clone(), usage)
            });
            PodUsage {
                usage: usage::read(cgroups, &path),
                containers: containers.collect(),
                known,
            }
        });
        Measured {
            at: clock::now(),
            pods: pods.collect(),
            node: node(cgroups),
        }
    }

    /// Makes the summary.
    pub async fn summary(&self, manager: &Manager, only_cpu_and_memory: bool) -> Value {
        let images = match only_cpu_and_memory {
            true => None,
            false => self.image_fs().await,
        };
        let measured = self.measure(manager);
        let time = clock::stamp(measured.at);
        let mut rated = Rated {
            samples: self.samples.lock().unwrap_or_else(PoisonError::into_inner),
            seen: HashSet::new(),
            at: measured.at,
        };
        let mut node = Map::new();
        node.insert("nodeName".into(), self.shared.config.name.as_str().into());
        node.insert("startTime".into(), clock::stamp(machine::boot()).into());
        rated.put(&mut node, "", &measured.node);
        let pods: Vec<Value> = measured.pods.iter().map(|pod| rated.pod(pod)).collect();
        rated.forget_others();
        if !only_cpu_and_memory {
            if let Ok(disk) = machine::disk(&self.shared.config.data_dir) {
                node.insert("fs".into(), fs(&time, disk));
            }
            let (most, now) = machine::processes();
            node.insert(
                "rlimit".into(),
                json!({"time": time, "maxpid": most, "curproc": now}),
            );
            if let Some(images) = images {
                node.insert("runtime".into(), json!({"imageFs": images}));
            }
        }
        json!({"node": node, "pods": pods})
    }

    /// The file system that holds images, if the runtime tells.
    async fn image_fs(&self) -> Option<Value> {
        let asked = self.shared.runtime.image_fs_info(v1::ImageFsInfoRequest {}).await;
        let found = match asked {
            Ok(answer) => answer.image_filesystems.into_iter().next()?,
            Err(error) => {
                tracing::debug!("the runtime does not tell how large its images are: {error}");
                return None;
            }
        };
        let place = found.fs_id.unwrap_or_default().mountpoint;
        let mut stats = fs(
            &clock::stamp(clock::now()),
            machine::disk(Path::new(&place)).ok()?,
        );
        stats["usedBytes"] = found.used_bytes.unwrap_or_default().value.into();
        stats["inodesUsed"] = found.inodes_used.unwrap_or_default().value.into();
        Some(stats)
    }
}

/// The whole node: the root cgroup tells of CPU, the kernel of memory.
fn node(cgroups: &Cgroups) -> Usage {
    let root = usage::read(cgroups, "/");
    let (all, available) = (machine::memory(), machine::memory_available());
    let bytes = |n: i64| u64::try_from(n).ok();
    Usage {
        memory: bytes(all - machine::memory_free()),
        working_set: bytes(all - available),
        limit: bytes(all),
        ..root
    }
}

fn fs(time: &str, disk: Disk) -> Value {
    json!({
        "time": time, "availableBytes": disk.free, "capacityBytes": disk.size,
        "usedBytes": disk.size - disk.all_free, "inodesFree": disk.inodes_free, "inodes": disk.inodes,
        "inodesUsed": disk.inodes - disk.inodes_free,
    })
}

/// Turns what was measured into JSON, with rates since what was measured before.
struct Rated<'a> {
    samples: std::sync::MutexGuard<'a, HashMap<String, Sample>>,
    seen: HashSet<String>,
    at: i64,
}

impl Rated<'_> {
    fn pod(&mut self, pod: &PodUsage) -> Value {
        let object = &pod.known.pod;
        let uid = meta::text(object, "uid");
        let containers: Vec<Value> = pod
            .containers
            .iter()
            .map(|(container, usage)| {
                let mut stats = Map::new();
                stats.insert("name".into(), container.name.as_str().into());
                stats.insert("startTime".into(), clock::stamp(container.started_at).into());
                self.put(&mut stats, &container.id, usage);
                Value::Object(stats)
            })
            .collect();
        let mut stats = Map::new();
        let reference = json!({"name": meta::name(object), "namespace": meta::namespace(object), "uid": uid});
        stats.insert("podRef".into(), reference);
        let start = spec::text(&pod.known.status, "startTime");
        stats.insert("startTime".into(), start.into());
        stats.insert("containers".into(), containers.into());
        self.put(&mut stats, uid, &pod.usage);
        if let Some(tasks) = pod.usage.tasks {
            stats.insert("process_stats".into(), json!({"process_count": tasks}));
        }
        Value::Object(stats)
    }

    fn put(&mut self, to: &mut Map<String, Value>, key: &str, usage: &Usage) {
        let time = clock::stamp(self.at);
        if let Some(cpu) = usage.cpu {
            let mut stats = json!({"time": time, "usageCoreNanoSeconds": cpu});
            if let Some(rate) = self.rate(key, cpu) {
                stats["usageNanoCores"] = rate.into();
            }
            to.insert("cpu".into(), stats);
        }
        let Some(memory) = usage.memory else { return };
        let mut stats = json!({"time": time, "usageBytes": memory});
        let available = usage
            .limit
            .zip(usage.working_set)
            .map(|(l, w)| l.saturating_sub(w));
        for (field, value) in [
            ("availableBytes", available),
            ("workingSetBytes", usage.working_set),
            ("rssBytes", usage.rss),
            ("pageFaults", usage.faults),
            ("majorPageFaults", usage.major_faults),
        ] {
            if let Some(value) = value {
                stats[field] = value.into();
            }
        }
        to.insert("memory".into(), stats);
    }

    /// CPU time per second, in nanoseconds; unknown the first time.
    fn rate(&mut self, key: &str, cpu: u64) -> Option<u64> {
        self.seen.insert(key.to_string());
        let (at, rate) = (self.at, None);
        let sample = self
            .samples
            .entry(key.to_string())
            .or_insert(Sample { at, cpu, rate });
        let passed = at.saturating_sub(sample.at);
        if passed >= SPAN {
            let used = u128::from(cpu.saturating_sub(sample.cpu)) * 1_000_000_000;
            let rate = used / u128::from(passed.unsigned_abs());
            let rate = u64::try_from(rate).ok();
            *sample = Sample { at, cpu, rate };
        }
        sample.rate
    }

    fn forget_others(&mut self) {
        let seen = std::mem::take(&mut self.seen);
        self.samples.retain(|key, _| seen.contains(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_need_time() {
        let samples = Mutex::default();
        let check = |at: i64, cpu: u64, expected: Option<u64>| {
            let mut rated = Rated {
                samples: samples.lock().unwrap(),
                seen: HashSet::new(),
                at,
            };
            assert_eq!(rated.rate("a", cpu), expected, "at {at}");
        };
        check(0, 100, None);
        check(SPAN / 2, 200, None);
        check(2 * SPAN, 300, Some(100));
        check(2 * SPAN + 1, 900, Some(100));
        check(4 * SPAN, 700, Some(200));
    }
}
