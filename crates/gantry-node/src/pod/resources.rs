//! Requests and limits as the kernel's settings. Source: upstream's pkg/kubelet/cm/helpers_linux.go and
//! pkg/kubelet/qos/policy.go.

use crate::cri::v1;
use crate::pod::spec::{self, Qos};
use serde_json::Value;

/// The period of CPU quotas, in microseconds.
const PERIOD: i64 = 100_000;
const MIN_QUOTA: i64 = 1000;
const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;

/// CPU shares for thousandths of a CPU.
pub fn shares(milli: i64) -> i64 {
    (milli * 1024 / 1000).clamp(MIN_SHARES, MAX_SHARES)
}

/// The CPU quota for thousandths of a CPU; 0 means none.
pub fn quota(milli: i64) -> i64 {
    if milli == 0 {
        0
    } else {
        (milli * PERIOD / 1000).max(MIN_QUOTA)
    }
}

/// The weight of cgroup v2 for shares of v1.
pub fn weight(shares: i64) -> i64 {
    1 + (shares.clamp(MIN_SHARES, MAX_SHARES) - 2) * 9999 / 262_142
}

/// How readily the kernel ends a container when memory is short.
pub fn oom_score(pod: &Value, container: &Value, capacity: i64) -> i64 {
    match spec::qos(pod) {
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let request = spec::resource(container, "requests", "memory").map_or(0, |q| q.value());
            let share =
                i64::try_from(i128::from(request) * 1000 / i128::from(capacity.max(1))).unwrap_or(1000);
            // Between those of the other classes.
            let score = (1000 - share).max(3);
            if score == 1000 { 999 } else { score }
        }
    }
}

/// A container's settings. `capacity` is the node's memory.
pub fn container(pod: &Value, container: &Value, capacity: i64) -> v1::LinuxContainerResources {
    let milli = |kind: &str| spec::resource(container, kind, "cpu").map_or(0, |q| q.milli_value());
    v1::LinuxContainerResources {
        cpu_period: PERIOD,
        cpu_quota: quota(milli("limits")),
        cpu_shares: shares(milli("requests")),
        memory_limit_in_bytes: spec::resource(container, "limits", "memory").map_or(0, |q| q.value()),
        oom_score_adj: oom_score(pod, container, capacity),
        ..Default::default()
    }
}

/// The settings of a pod as a whole; a limit only if every container has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodLimits {
    /// CPU shares.
    pub shares: i64,
    /// CPU quota, or 0.
    pub quota: i64,
    /// CPU period.
    pub period: i64,
    /// Memory in bytes, or 0.
    pub memory: i64,
}

/// A pod's settings: what its app containers and sidecars need together, or an init container before them.
pub fn pod(pod: &Value) -> PodLimits {
    PodLimits {
        shares: shares(total(pod, "requests", "cpu").0),
        quota: quota(
            Some(total(pod, "limits", "cpu"))
                .filter(|t| t.1)
                .map_or(0, |t| t.0),
        ),
        period: PERIOD,
        memory: Some(total(pod, "limits", "memory"))
            .filter(|t| t.1)
            .map_or(0, |t| t.0),
    }
}

/// The sum, and whether every container had a value.
fn total(pod: &Value, kind: &str, name: &str) -> (i64, bool) {
    let read = |c: &Value| {
        let quantity = spec::resource(c, kind, name)?;
        Some(if name == "cpu" {
            quantity.milli_value()
        } else {
            quantity.value()
        })
    };
    let mut all = true;
    let mut get = |c: &Value| {
        let value = read(c);
        all &= value.is_some_and(|v| v > 0);
        value.unwrap_or(0)
    };
    let mut sidecars = 0i64;
    let mut highest_init = 0i64;
    for init in spec::init_containers(pod) {
        let value = get(init);
        if spec::is_sidecar(init) {
            sidecars = sidecars.saturating_add(value);
            highest_init = highest_init.max(sidecars);
        } else {
            highest_init = highest_init.max(sidecars.saturating_add(value));
        }
    }
    let apps = spec::containers(pod)
        .iter()
        .map(&mut get)
        .fold(0, i64::saturating_add);
    (apps.saturating_add(sidecars).max(highest_init), all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cpu_settings() {
        let check = |milli, expected_shares, expected_quota| {
            assert_eq!(
                (shares(milli), quota(milli)),
                (expected_shares, expected_quota),
                "{milli}m"
            );
        };
        check(0, 2, 0);
        check(1, 2, 1000);
        check(100, 102, 10_000);
        check(1000, 1024, 100_000);
        check(2500, 2560, 250_000);
        check(1_000_000, 262_144, 100_000_000);
        assert_eq!([weight(2), weight(1024), weight(262_144)], [1, 39, 10_000]);
    }

    #[test]
    fn oom_scores() {
        let check = |resources: Value, expected: i64| {
            let pod = json!({"spec": {"containers": [{"name": "a", "resources": resources}]}});
            assert_eq!(
                oom_score(&pod, &pod["spec"]["containers"][0], 1000 << 20),
                expected,
                "{pod}"
            );
        };
        check(json!({}), 1000);
        check(json!({"limits": {"cpu": "1", "memory": "1Mi"}}), -997);
        check(json!({"requests": {"memory": "200Mi"}}), 800);
        check(json!({"requests": {"memory": "1000Mi"}}), 3);
        check(json!({"requests": {"memory": "1"}}), 999);
    }

    #[test]
    fn pod_totals() {
        let c = |cpu: &str, limit: &str| json!({"resources": {"requests": {"cpu": cpu}, "limits": {"memory": limit}}});
        let mut pod_ = json!({"spec": {"containers": [c("100m", "1Ki"), c("200m", "2Ki")]}});
        let check = |object: &Value, shares_: i64, memory: i64| {
            assert_eq!(
                (pod(object).shares, pod(object).memory),
                (shares(shares_), memory),
                "{object}"
            );
        };
        check(&pod_, 300, 3072);
        pod_["spec"]["initContainers"] = json!([c("500m", "1Ki")]);
        check(&pod_, 500, 3072);
        pod_["spec"]["containers"][0]["resources"] = json!({});
        check(&pod_, 500, 0);
    }
}
