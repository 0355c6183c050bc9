//! Making room: a pod that fits nowhere may make pods that matter less leave. Source: pkg/scheduler/framework/preemption.

use crate::cache::Cache;
use crate::framework::{Cycle, Reason, Unfit};
use crate::info::{NodeInfo, PodInfo};
use rand::Rng;
use smol_str::SmolStr;
use std::cmp::Reverse;
use std::sync::Arc;

/// So many nodes where room can be made are enough to choose from, or this part of those that come into question.
const CANDIDATES: usize = 100;
const CANDIDATES_PERCENT: usize = 10;
/// Later than any time that the API writes: pods that have not started yet.
const NOT_STARTED: &str = "9";

/// Who has to leave.
#[derive(Debug)]
pub struct Plan {
    /// The node where room is made.
    pub node: SmolStr,
    /// The pods that leave it.
    pub victims: Vec<Arc<PodInfo>>,
    /// Pods that matter less and that room was kept for there.
    pub outranked: Vec<Arc<PodInfo>>,
}

/// Why no room is made.
#[derive(Debug)]
pub struct Refusal {
    /// For people.
    pub message: String,
    /// Whether nobody's leaving would help.
    pub hopeless: bool,
}

impl Refusal {
    fn for_now(message: &str) -> Self {
        Refusal {
            message: message.into(),
            hopeless: false,
        }
    }
}

/// Finds the node where making room hurts least, among those where others' leaving may help.
pub fn find(
    cycle: &mut Cycle,
    pod: &PodInfo,
    cluster: &Cache,
    helped: &[&NodeInfo],
) -> Result<Plan, Refusal> {
    if !pod.preempts {
        return Err(Refusal::for_now("not eligible due to preemptionPolicy=Never."));
    }
    let nominated = cluster.nomination(&pod.uid);
    if let Some(node) = helped.iter().find(|n| nominated == Some(&n.name))
        && node
            .pods
            .values()
            .any(|p| p.priority < pod.priority && p.leaving.1)
    {
        return Err(Refusal::for_now(
            "not eligible due to a terminating pod on the nominated node.",
        ));
    }
    let wanted = (helped.len() * CANDIDATES_PERCENT / 100).max(CANDIDATES);
    let start = if helped.is_empty() {
        0
    } else {
        rand::rng().random_range(0..helped.len())
    };
    let mut unfit = Unfit::of(cluster.nodes().count());
    let mut candidates = Vec::new();
    for node in helped.iter().cycle().skip(start).take(helped.len()) {
        match victims(cycle, pod, node) {
            Ok(victims) => candidates.push((*node, victims)),
            Err(reasons) => unfit.add(reasons),
        }
        if candidates.len() >= wanted {
            break;
        }
    }
    let Some((node, victims)) = candidates.into_iter().min_by_key(|(_, victims)| harm(victims)) else {
        unfit.fill("Preemption is not helpful for scheduling");
        return Err(Refusal {
            message: unfit.message(),
            hopeless: true,
        });
    };
    let outranked = node
        .nominated
        .iter()
        .filter(|other| other.priority < pod.priority);
    Ok(Plan {
        node: node.name.clone(),
        victims,
        outranked: outranked.cloned().collect(),
    })
}

/// The fewest and least important pods of a node that must leave so that the pod fits; the most important come first.
fn victims(cycle: &mut Cycle, pod: &PodInfo, node: &NodeInfo) -> Result<Vec<Arc<PodInfo>>, Vec<Reason>> {
    let mut node = node.clone();
    let mut less: Vec<Arc<PodInfo>> = node
        .pods
        .values()
        .filter(|p| p.priority < pod.priority)
        .cloned()
        .collect();
    if less.is_empty() {
        return Err(Reason::fixed("No preemption victims found for incoming pod"));
    }
    less.sort_by_key(|p| (Reverse(p.priority), started(p), p.uid.clone()));
    less.iter().for_each(|p| cycle.remove(p, &mut node));
    if let Err(reasons) = cycle.fits(&node) {
        less.iter().for_each(|p| cycle.add(p, &mut node));
        return Err(reasons);
    }
    let mut victims = Vec::new();
    for other in less {
        cycle.add(&other, &mut node);
        if cycle.fits(&node).is_err() {
            cycle.remove(&other, &mut node);
            victims.push(other);
        }
    }
    victims.iter().for_each(|p| cycle.add(p, &mut node));
    Ok(victims)
}

fn started(pod: &PodInfo) -> SmolStr {
    if pod.started.is_empty() {
        SmolStr::new_static(NOT_STARTED)
    } else {
        pod.started.clone()
    }
}

/// How bad it is to make pods leave; the first of equals counts.
fn harm(victims: &[Arc<PodInfo>]) -> (i64, i64, usize, Reverse<SmolStr>) {
    let highest = victims.iter().map(|p| p.priority).max().unwrap_or(0);
    // Priorities may be negative, and more pods must not hurt less.
    let sum = victims.iter().map(|p| p.priority + (1 << 31)).sum();
    let earliest = victims
        .iter()
        .filter(|p| p.priority == highest)
        .map(|p| started(p))
        .min();
    (highest, sum, victims.len(), Reverse(earliest.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins;
    use serde_json::{Value, json};

    /// A pod that asks for so much CPU, in thousandths.
    fn pod(uid: &str, priority: i64, cpu: i64, change: Value) -> PodInfo {
        let requests = json!({"cpu": format!("{cpu}m")});
        let pod = json!({
            "metadata": {"uid": uid, "namespace": "ns", "name": uid, "labels": {"app": "a"}},
            "spec": {"priority": priority, "containers": [{"resources": {"requests": requests}}]},
        });
        PodInfo::read(&gantry_api::patch::merge(pod, &change))
    }

    fn cluster(nodes: &[(&str, &[PodInfo])]) -> Cache {
        let mut cache = Cache::default();
        for (name, pods) in nodes {
            let status = json!({"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "10"}});
            let labels = json!({"host": name});
            cache.set_node(&json!({"metadata": {"name": name, "labels": labels}, "status": status}));
            for one in *pods {
                cache.place(Arc::new(pod_again(one)), &(*name).into());
            }
        }
        cache
    }

    fn pod_again(one: &PodInfo) -> PodInfo {
        let status = json!({"status": {"startTime": one.started}});
        pod(&one.uid, one.priority, one.request.cpu, status)
    }

    fn found(cache: &Cache, pod: &PodInfo) -> Result<(String, Vec<String>), String> {
        let rules = plugins::rules();
        let mut cycle = Cycle::new(&rules, pod, cache);
        let helped: Vec<&NodeInfo> = cache
            .nodes()
            .filter(|n| {
                cycle
                    .fits(n)
                    .is_err_and(|reasons| reasons.iter().all(|r| r.resolvable))
            })
            .collect();
        let plan = find(&mut cycle, pod, cache, &helped).map_err(|r| r.message)?;
        let mut victims: Vec<String> = plan.victims.iter().map(|v| v.uid.to_string()).collect();
        victims.sort();
        Ok((plan.node.to_string(), victims))
    }

    #[test]
    fn the_least_harm_is_done() {
        let plain = |uid: &str, priority: i64, cpu: i64| pod(uid, priority, cpu, json!({}));
        let since = |uid: &str, at: &str| pod(uid, 1, 900, json!({"status": {"startTime": at}}));
        let check = |what: &str, nodes: &[(&str, &[PodInfo])], node: &str, victims: &[&str]| {
            let (chosen, left) = found(&cluster(nodes), &plain("new", 10, 500)).unwrap();
            assert_eq!(
                (
                    chosen.as_str(),
                    left.iter().map(String::as_str).collect::<Vec<_>>()
                ),
                (node, victims.to_vec()),
                "{what}"
            );
        };
        check(
            "only as many as need be, the least important",
            &[(
                "n",
                &[plain("a", 1, 500), plain("b", 2, 300), plain("c", 10, 200)],
            )],
            "n",
            &["a"],
        );
        check(
            "the lower priority",
            &[("n1", &[plain("a", 5, 900)]), ("n2", &[plain("b", 3, 900)])],
            "n2",
            &["b"],
        );
        check(
            "fewer pods",
            &[
                (
                    "n1",
                    &[plain("a", 1, 450), plain("b", 1, 450), plain("x", 10, 100)],
                ),
                ("n2", &[plain("c", 1, 900)]),
            ],
            "n2",
            &["c"],
        );
        check(
            "the later start",
            &[
                ("n1", &[since("a", "2026-01-01T00:00:00Z")]),
                ("n2", &[since("b", "2026-01-02T00:00:00Z")]),
            ],
            "n2",
            &["b"],
        );
    }

    #[test]
    fn why_not() {
        let plain = |uid: &str, priority: i64, cpu: i64| pod(uid, priority, cpu, json!({}));
        let check = |own: PodInfo, message: &str| {
            let cache = cluster(&[("n1", &[plain("a", 5, 900)]), ("n2", &[plain("b", 50, 900)])]);
            assert_eq!(found(&cache, &own).unwrap_err(), message);
        };
        check(
            plain("new", 5, 500),
            "0/2 nodes are available: 2 No preemption victims found for incoming pod.",
        );
        check(
            plain("new", 5, 2000),
            "0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
        );
        check(
            pod("new", 9, 500, json!({"spec": {"preemptionPolicy": "Never"}})),
            "not eligible due to preemptionPolicy=Never.",
        );
    }

    #[test]
    fn room_is_kept_for_who_made_it() {
        let plain = |uid: &str, priority: i64, cpu: i64| pod(uid, priority, cpu, json!({}));
        let mut cache = cluster(&[("n", &[plain("a", 1, 100)])]);
        cache.nominate(Arc::new(plain("waits", 10, 800)), &"n".into());
        let rules = plugins::rules();
        let check = |priority: i64, fits: bool| {
            let own = plain("new", priority, 500);
            let mut cycle = Cycle::new(&rules, &own, &cache);
            assert_eq!(cycle.fits(&cache.places()[0]).is_ok(), fits, "{priority}");
        };
        check(5, false);
        check(10, false);
        check(11, true);
    }
}
