//! Amounts of resources, as whole numbers: CPU in thousandths, the rest in units.

use gantry_api::quantity::Quantity;
use serde_json::Value;
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// What containers that ask for nothing are taken to use when nodes are scored.
const DEFAULT_CPU: i64 = 100;
const DEFAULT_MEMORY: i64 = 200 << 20;

/// Amounts by resource name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a core.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes of ephemeral storage.
    pub ephemeral_storage: i64,
    /// All others by name: huge pages and extended resources.
    pub others: BTreeMap<SmolStr, i64>,
}

impl Resources {
    /// Reads a resource list such as `requests` or `allocatable`. What is no quantity counts as nothing; the API has
    /// refused it already.
    pub fn read(list: &Value) -> Self {
        let mut all = Resources::default();
        for (name, value) in list.as_object().into_iter().flatten() {
            let quantity = Quantity::from_json(value).unwrap_or(Quantity::ZERO);
            match name.as_str() {
                "cpu" => all.cpu = quantity.milli_value(),
                "memory" => all.memory = quantity.value(),
                "ephemeral-storage" => all.ephemeral_storage = quantity.value(),
                "pods" => {}
                other => {
                    all.others.insert(other.into(), quantity.value());
                }
            }
        }
        all
    }

    /// Adds `other`, `times` over; -1 takes it away.
    pub fn add(&mut self, other: &Resources, times: i64) {
        self.cpu += other.cpu * times;
        self.memory += other.memory * times;
        self.ephemeral_storage += other.ephemeral_storage * times;
        for (name, value) in &other.others {
            *self.others.entry(name.clone()).or_insert(0) += value * times;
        }
    }

    fn max(&mut self, other: &Resources) {
        self.cpu = self.cpu.max(other.cpu);
        self.memory = self.memory.max(other.memory);
        self.ephemeral_storage = self.ephemeral_storage.max(other.ephemeral_storage);
        for (name, value) in &other.others {
            let own = self.others.entry(name.clone()).or_insert(0);
            *own = (*own).max(*value);
        }
    }
}

/// What a pod asks for: the sum of its containers and sidecars, or what its init containers need on their way if that
/// is more, plus its overhead. `floor` is applied to each container's requests.
fn request_of(spec: &Value, floor: impl Fn(&Value, &mut Resources)) -> Resources {
    let of = |container: &Value| {
        let mut one = Resources::read(&container["resources"]["requests"]);
        floor(container, &mut one);
        one
    };
    let mut total = Resources::default();
    for container in spec["containers"].as_array().into_iter().flatten() {
        total.add(&of(container), 1);
    }
    let (mut sidecars, mut start) = (Resources::default(), Resources::default());
    for container in spec["initContainers"].as_array().into_iter().flatten() {
        let one = of(container);
        if container["restartPolicy"] == "Always" {
            sidecars.add(&one, 1);
            start.max(&sidecars);
        } else {
            let mut moment = sidecars.clone();
            moment.add(&one, 1);
            start.max(&moment);
        }
    }
    total.add(&sidecars, 1);
    total.max(&start);
    // A pod's own requests stand above those of its containers.
    let own = &spec["resources"]["requests"];
    if own.is_object() {
        let pod = Resources::read(own);
        if own.get("cpu").is_some() {
            total.cpu = pod.cpu;
        }
        if own.get("memory").is_some() {
            total.memory = pod.memory;
        }
    }
    total.add(&Resources::read(&spec["overhead"]), 1);
    total
}

/// What a pod asks for.
pub fn pod_request(spec: &Value) -> Resources {
    request_of(spec, |_, _| {})
}

/// What a pod is taken to use (CPU, memory) when nodes are scored.
pub fn pod_score_request(spec: &Value) -> (i64, i64) {
    let total = request_of(spec, |container, one| {
        let requests = &container["resources"]["requests"];
        if requests.get("cpu").is_none() {
            one.cpu = DEFAULT_CPU;
        }
        if requests.get("memory").is_none() {
            one.memory = DEFAULT_MEMORY;
        }
    });
    (total.cpu, total.memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pods_request() {
        let check = |spec: Value, cpu: i64, memory: i64| {
            let request = pod_request(&spec);
            assert_eq!((request.cpu, request.memory), (cpu, memory), "{spec}");
        };
        let with =
            |cpu: &str, memory: &str| json!({"resources": {"requests": {"cpu": cpu, "memory": memory}}});
        let sidecar = |cpu: &str| json!({"restartPolicy": "Always", "resources": {"requests": {"cpu": cpu}}});
        check(json!({"containers": [{}]}), 0, 0);
        check(
            json!({"containers": [with("1", "1Ki"), with("100m", "1")]}),
            1100,
            1025,
        );
        check(
            json!({"containers": [with("1", "1Ki")], "initContainers": [with("2", "1")]}),
            2000,
            1024,
        );
        check(
            json!({"containers": [with("1", "0")], "initContainers": [sidecar("1"), with("2", "0")]}),
            3000,
            0,
        );
        check(
            json!({"containers": [with("1", "0")], "overhead": {"cpu": "250m"}}),
            1250,
            0,
        );
        assert_eq!(
            pod_score_request(&json!({"containers": [{}, with("1", "1")]})),
            (1100, (200 << 20) + 1)
        );
    }
}
