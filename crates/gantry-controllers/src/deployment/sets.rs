//! A deployment's ReplicaSets: which is new, how large each should be.

use crate::object::{annotation, created, int, text, uid};
use gantry_api::meta;
use serde_json::Value;
use std::cmp::Ordering;
use std::sync::Arc;

pub(super) const HASH_LABEL: &str = "pod-template-hash";
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
pub(super) const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// `spec.replicas`
pub(super) fn replicas(object: &Value) -> i64 {
    int(&object["spec"]["replicas"])
}

/// `status.availableReplicas`
pub(super) fn available(set: &Value) -> i64 {
    int(&set["status"]["availableReplicas"])
}

fn number_in(set: &Value, name: &str) -> Option<i64> {
    annotation(set, name)?.parse().ok().filter(|n| (0..=i64::from(i32::MAX)).contains(n))
}

/// For how many replicas of the deployment the set was sized.
pub(super) fn desired_annotation(set: &Value) -> Option<i64> {
    number_in(set, DESIRED)
}

/// The revision of a set, 0 when it has none.
pub(super) fn revision(set: &Value) -> i64 {
    annotation(set, REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
}

/// A deployment's ReplicaSets, told apart, the oldest first.
pub(super) struct Found {
    /// The one of the current template.
    pub(super) new: Option<Arc<Value>>,
    /// The others.
    pub(super) old: Vec<Arc<Value>>,
}

impl Found {
    pub(super) fn new(deployment: &Value, mut owned: Vec<Arc<Value>>) -> Self {
        owned.sort_by(|a, b| by_age(a, b));
        let wanted = template_of(deployment);
        let new = owned.iter().position(|s| template_of(s) == wanted).map(|at| owned.remove(at));
        Found { new, old: owned }
    }

    /// All of them, the new one last.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.old.iter().chain(&self.new)
    }

    /// Those with replicas, the new one last.
    pub(super) fn active(&self) -> Vec<Arc<Value>> {
        self.all().filter(|s| replicas(s) > 0).cloned().collect()
    }

    /// The only one with replicas, or the newest when none has any.
    pub(super) fn active_or_latest(&self) -> Option<Arc<Value>> {
        match self.active().as_slice() {
            [] => self.new.as_ref().or(self.old.last()).cloned(),
            [one] => Some(one.clone()),
            _ => None,
        }
    }

    /// Puts a set that was written in the place of its old self.
    pub(super) fn put(&mut self, set: Value) {
        let set = Arc::new(set);
        let same = |s: &&mut Arc<Value>| uid(s) == uid(&set);
        match self.old.iter_mut().chain(self.new.iter_mut()).find(same) {
            Some(place) => *place = set,
            None => self.new = Some(set),
        }
    }
}

/// The older first, then by name.
pub(super) fn by_age(a: &Value, b: &Value) -> Ordering {
    created(a).cmp(&created(b)).then_with(|| meta::name(a).cmp(meta::name(b)))
}

/// An object's pod template without the hash and without what says nothing.
fn template_of(object: &Value) -> Value {
    let mut template = object["spec"]["template"].clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH_LABEL);
    }
    drop_nothings(&mut template);
    if let Some(map) = template.get_mut("metadata").and_then(Value::as_object_mut) {
        map.retain(|_, v| v.as_object().is_none_or(|m| !m.is_empty()));
    }
    template
}

fn drop_nothings(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null() && v.as_array().is_none_or(|a| !a.is_empty()));
            map.values_mut().for_each(drop_nothings);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nothings),
        _ => {}
    }
}

/// A short name for a template, safe in names and labels.
pub(super) fn hash(template: &Value, collisions: Option<i64>) -> String {
    let mut template = template.clone();
    drop_nothings(&mut template);
    let mut hash = Fnv(0x811c_9dc5);
    hash.value(&template);
    if let Some(collisions) = collisions {
        hash.bytes(&collisions.to_le_bytes());
    }
    // Letters and digits that spell no words.
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let decimal = hash.0.to_string();
    decimal.bytes().map(|b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()])).collect()
}

/// FNV-1a of 32 bits over a tree, whatever order its maps keep.
struct Fnv(u32);

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Object(map) => {
                let mut keys: Vec<&String> = map.keys().collect();
                keys.sort();
                self.bytes(b"{");
                for key in keys {
                    self.bytes(key.as_bytes());
                    self.bytes(b":");
                    self.value(&map[key]);
                }
                self.bytes(b"}");
            }
            Value::Array(list) => {
                self.bytes(b"[");
                list.iter().for_each(|v| self.value(v));
                self.bytes(b"]");
            }
            other => {
                self.bytes(other.to_string().as_bytes());
                self.bytes(b",");
            }
        }
    }
}

/// The replicas that a rolling update may add and may take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) surge: i64,
    pub(super) unavailable: i64,
}

/// What a deployment's strategy allows for its size.
pub(super) fn limits(deployment: &Value) -> Limits {
    let strategy = &deployment["spec"]["strategy"];
    if strategy["type"] != "RollingUpdate" {
        return Limits { surge: 0, unavailable: 0 };
    }
    let desired = replicas(deployment);
    let surge = scaled(&strategy["rollingUpdate"]["maxSurge"], desired, true);
    let mut unavailable = scaled(&strategy["rollingUpdate"]["maxUnavailable"], desired, false);
    if surge == 0 && unavailable == 0 {
        // Validation refuses two zeroes, but rounding can give them, and then nothing would ever move.
        unavailable = 1;
    }
    Limits { surge, unavailable: unavailable.min(desired) }
}

/// A number, or a percentage of `total`.
fn scaled(value: &Value, total: i64, up: bool) -> i64 {
    match value.as_str().and_then(|v| v.strip_suffix('%')).and_then(|v| v.parse::<i64>().ok()) {
        Some(percent) if up => (percent * total + 99).div_euclid(100),
        Some(percent) => (percent * total).div_euclid(100),
        None => int(value),
    }
}

/// How large the new set may be while the old ones have their size.
pub(super) fn new_size(deployment: &Value, current: i64, total: i64) -> i64 {
    let desired = replicas(deployment);
    if text(&deployment["spec"]["strategy"]["type"]) == "Recreate" {
        return desired;
    }
    let room = desired + limits(deployment).surge - total;
    current + room.min(desired - current).max(0)
}

/// How many replicas of an active set scaling by `to_add` in all changes, `added` being given out already.
pub(super) fn proportion(set: &Value, deployment: &Value, to_add: i64, added: i64) -> i64 {
    let size = replicas(set);
    if size == 0 || to_add == added {
        return 0;
    }
    let fraction = match replicas(deployment) {
        0 => -size,
        desired => {
            let before = number_in(set, MAX)
                .filter(|max| *max > 0)
                .unwrap_or_else(|| int(&deployment["status"]["replicas"]));
            if before == 0 {
                return 0;
            }
            let max = desired + limits(deployment).surge;
            let exact = (size * max) as f64 / before as f64;
            exact.round() as i64 - size
        }
    };
    match to_add > 0 {
        true => fraction.min(to_add - added),
        false => fraction.max(to_add - added),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(replicas: i64, surge: Value, unavailable: Value) -> Value {
        json!({"spec": {"replicas": replicas, "strategy": {
            "type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable},
        }}})
    }

    #[test]
    fn surge_rounds_up_and_unavailable_down() {
        let check = |replicas: i64, surge: Value, unavailable: Value, expected: (i64, i64)| {
            let found = limits(&deployment(replicas, surge, unavailable));
            assert_eq!((found.surge, found.unavailable), expected);
        };
        check(10, json!("25%"), json!("25%"), (3, 2));
        check(1, json!("25%"), json!("25%"), (1, 0));
        check(3, json!(0), json!("10%"), (0, 1));
        check(2, json!(1), json!(5), (1, 2));
        check(0, json!("25%"), json!("25%"), (0, 0));
    }

    #[test]
    fn the_new_set_grows_into_the_room_there_is() {
        let check = |desired: i64, surge: Value, current: i64, total: i64, expected: i64| {
            assert_eq!(new_size(&deployment(desired, surge, json!(0)), current, total), expected);
        };
        check(10, json!(0), 0, 10, 0);
        check(10, json!(2), 0, 10, 2);
        check(10, json!(3), 2, 10, 5);
        check(10, json!(50), 0, 10, 10);
        check(10, json!(2), 4, 20, 4);
        let recreate = json!({"spec": {"replicas": 4, "strategy": {"type": "Recreate"}}});
        assert_eq!(new_size(&recreate, 0, 0), 4);
    }

    #[test]
    fn scaling_is_proportional() {
        let check = |size: i64, max: &str, desired: i64, to_add: i64, added: i64, expected: i64| {
            let set = json!({"metadata": {"annotations": {MAX: max}}, "spec": {"replicas": size}});
            let d = deployment(desired, json!(3), json!(2));
            assert_eq!(proportion(&set, &d, to_add, added), expected, "{size} of {max} to {desired}");
        };
        // 10 replicas with 3 more as surge (8 old, 5 new) grow to 15: upstream's documented example.
        check(8, "13", 15, 5, 0, 3);
        check(5, "13", 15, 5, 3, 2);
        check(8, "13", 0, -13, 0, -8);
        check(0, "13", 15, 5, 0, 0);
    }

    #[test]
    fn the_new_set_is_found_by_its_template() {
        let template = |image: &str| json!({"metadata": {"labels": {"app": "a"}, "creationTimestamp": null}, "spec": {"containers": [{"image": image}]}});
        let d = json!({"spec": {"template": template("v2")}});
        let set = |name: &str, image: &str, at: &str| {
            let mut template = template(image);
            template["metadata"]["labels"][HASH_LABEL] = name.into();
            Arc::new(json!({"metadata": {"name": name, "uid": name, "creationTimestamp": at}, "spec": {"template": template}}))
        };
        let owned = vec![
            set("c", "v2", "2026-01-03T00:00:00Z"),
            set("b", "v2", "2026-01-02T00:00:00Z"),
            set("a", "v1", "2026-01-01T00:00:00Z"),
        ];
        let found = Found::new(&d, owned);
        assert_eq!(found.new.as_ref().map(|s| meta::name(s)), Some("b"), "the oldest that fits");
        assert_eq!(found.old.iter().map(|s| meta::name(s)).collect::<Vec<_>>(), ["a", "c"]);
    }

    #[test]
    fn hashes_ignore_nothings_and_differ_by_collision() {
        let a = hash(&json!({"spec": {"x": 1, "y": null, "z": []}}), None);
        assert_eq!(a, hash(&json!({"spec": {"x": 1}}), None));
        assert_ne!(a, hash(&json!({"spec": {"x": 1}}), Some(1)));
        assert_ne!(a, hash(&json!({"spec": {"x": 2}}), None));
    }
}
