//! What whoever writes a pod or template is told beside the answer: what is allowed, and most likely not meant.
//!
//! Source: pkg/api/pod/warnings.go.

use crate::formats;
use crate::kinds::checks::quantity;
use crate::kinds::values::{entries, given, list, number, repeats, text};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;

/// Clients are told no more warnings than fit into some headers: this many never do.
pub const MANY: usize = 1_000;
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];
const SECCOMP_OF_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const NO_SELECTOR: &str = "a null labelSelector results in matching no pod";

/// Labels of nodes that have other names by now.
const OLD_LABELS: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    (
        "scheduler.alpha.kubernetes.io/preferAvoidPods",
        "deprecated since v1.22; use Taints and Tolerations instead",
    ),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];

const OLD_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    (
        "security.alpha.kubernetes.io/sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];

/// Volumes that no node mounts any more, under the names that upstream gives them here.
const OLD_VOLUMES: [(&str, &str, &str); 9] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// The warnings of a pod.
pub fn of_pod(pod: &Value) -> Vec<String> {
    let mut found = Found { at: String::new(), texts: Vec::new() };
    found.pod(pod);
    found.texts
}

/// The warnings of the template at `at` of a new object, or of one whose spec changed.
pub fn of_template(at: &str, object: &Value, old: Option<&Value>) -> Vec<String> {
    let generation = |object: &Value| number(&object["metadata"]["generation"]);
    if old.is_some_and(|old| generation(old) == generation(object)) {
        return Vec::new();
    }
    let template = at.split('.').fold(object, |value, part| &value[part]);
    let mut found = Found { at: format!("{at}."), texts: Vec::new() };
    found.pod(template);
    found.texts
}

/// The warning of a name that makes pods' names which are no hosts' names.
pub fn of_owner_name(object: &Value, old: Option<&Value>) -> Option<String> {
    let problems = formats::dns_label(crate::meta::name(object));
    let warns = old.is_none() && !problems.is_empty();
    warns.then(|| {
        format!(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label \
             is recommended: [{}]",
            problems.join(" ")
        )
    })
}

struct Found {
    /// What stands before `spec` and `metadata`.
    at: String,
    texts: Vec<String>,
}

impl Found {
    fn add(&mut self, field: &str, why: &str) {
        self.texts.push(format!("{}{field}: {why}", self.at));
    }

    fn pod(&mut self, pod: &Value) {
        let spec = &pod["spec"];
        self.labels_of_nodes(spec);
        let annotations = &pod["metadata"]["annotations"];
        // Most pods have none: then no key is looked for.
        for (key, why) in OLD_ANNOTATIONS.iter().filter(|_| given(annotations)) {
            if given(&annotations[*key]) {
                self.add(&format!("metadata.annotations[{key}]"), why);
            }
        }
        self.volumes(list(&spec["volumes"]));
        self.twice(spec, "hostAliases", "ip", "duplicate ip");
        self.twice(spec, "imagePullSecrets", "name", "duplicate name");
        for (i, secret) in list(&spec["imagePullSecrets"]).iter().enumerate() {
            if text(&secret["name"]).is_empty() {
                self.add(&format!("spec.imagePullSecrets[{i}].name"), "invalid empty name \"\"");
            }
        }
        self.fractions(&spec["overhead"], &["memory", "ephemeral-storage"], || "spec.overhead".into());
        let seccomp = |owner: &Value| given(&owner["securityContext"]["seccompProfile"]);
        if !seccomp(spec) && given(&annotations[SECCOMP_OF_POD]) {
            let why = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
            self.add(&format!("metadata.annotations[{SECCOMP_OF_POD}]"), why);
        }
        for (at, container) in containers(spec) {
            self.container(at, container, pod);
        }
        self.ports(spec);
        if number(&spec["terminationGracePeriodSeconds"]) < 0 {
            let why = "must be >= 0; negative values are invalid and will be treated as 1";
            self.add("spec.terminationGracePeriodSeconds", why);
        }
        self.affinity(&spec["affinity"]);
        for (i, server) in list(&spec["dnsConfig"]["nameservers"]).iter().enumerate() {
            self.ip(&format!("spec.dnsConfig.nameservers[{i}]"), text(server));
        }
        for (i, alias) in list(&spec["hostAliases"]).iter().enumerate() {
            self.ip(&format!("spec.hostAliases[{i}].ip"), text(&alias["ip"]));
        }
    }

    fn labels_of_nodes(&mut self, spec: &Value) {
        let old = |key: &str| OLD_LABELS.iter().find(|(old, _)| *old == key).map(|(_, why)| *why);
        for (key, _) in entries(&spec["nodeSelector"]) {
            if let Some(why) = old(key) {
                self.add(&format!("spec.nodeSelector[{key}]"), why);
            }
        }
        let affinity = &spec["affinity"]["nodeAffinity"];
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        let required = list(&affinity[required]["nodeSelectorTerms"]).iter().enumerate().map(|(i, term)| {
            (format!("spec.affinity.nodeAffinity.{required}.nodeSelectorTerms[{i}]"), term, false)
        });
        let preferred = list(&affinity[preferred]).iter().enumerate().map(|(i, term)| {
            (format!("spec.affinity.nodeAffinity.{preferred}[{i}].preference"), &term["preference"], true)
        });
        for (at, term, check_values) in required.chain(preferred) {
            for (i, expression) in list(&term["matchExpressions"]).iter().enumerate() {
                let key = text(&expression["key"]);
                if let Some(why) = old(key) {
                    self.add(&format!("{at}.matchExpressions[{i}].key"), &format!("{key} is {why}"));
                }
                for (j, value) in list(&expression["values"]).iter().enumerate().filter(|_| check_values) {
                    for problem in formats::label_value(text(value)) {
                        let at = format!("{at}.matchExpressions[{i}].values[{j}]");
                        self.add(&at, &format!("{} is invalid, {problem}", text(value)));
                    }
                }
            }
        }
        for (i, constraint) in list(&spec["topologySpreadConstraints"]).iter().enumerate() {
            let (at, key) = (format!("spec.topologySpreadConstraints[{i}]"), text(&constraint["topologyKey"]));
            if let Some(why) = old(key) {
                self.add(&format!("{at}.topologyKey"), &format!("{key} is {why}"));
            }
            if !given(&constraint["labelSelector"]) {
                self.add(&format!("{at}.labelSelector"), NO_SELECTOR);
            }
        }
    }

    fn volumes(&mut self, volumes: &[Value]) {
        for (i, volume) in volumes.iter().enumerate() {
            // A volume has few fields.
            let has = |source: &str| entries(volume).any(|(field, value)| field == source && given(value));
            for (source, shown, why) in OLD_VOLUMES {
                if has(source) {
                    self.add(&format!("spec.volumes[{i}].{shown}"), why);
                }
            }
            let claim = &volume["ephemeral"]["volumeClaimTemplate"]["spec"]["resources"];
            for amounts in ["requests", "limits"] {
                self.fractions(&claim[amounts], &["storage"], || {
                    format!("spec.volumes[{i}].ephemeral.volumeClaimTemplate.spec.resources.{amounts}")
                });
            }
        }
        for volume in volumes {
            self.texts.extend(super::overlaps::of_volume(volume));
        }
    }

    /// Items of a list of the spec that have the same value in a field.
    fn twice(&mut self, spec: &Value, field: &str, of: &str, why: &str) {
        let items = list(&spec[field]);
        let repeated = repeats(items, |item| text(&item[of]));
        for (i, item) in items.iter().enumerate() {
            if repeated[i] {
                self.add(&format!("spec.{field}[{i}].{of}"), &format!("{why} {:?}", text(&item[of])));
            }
        }
    }

    /// Amounts of bytes must be whole.
    fn fractions(&mut self, amounts: &Value, names: &[&str], at: impl Fn() -> String) {
        for name in names.iter().filter(|_| given(amounts)) {
            let amount = quantity(&amounts[*name]);
            if amount.milli_value() % 1000 != 0 {
                let shown = format!("{:?}", amount.to_string());
                let why = format!("fractional byte value {shown} is invalid, must be an integer");
                self.add(&format!("{}[{name}]", at()), &why);
            }
        }
    }

    /// What annotations say of a container.
    fn annotated(&mut self, container: &Value, pod: &Value) {
        let (name, context) = (text(&container["name"]), &container["securityContext"]);
        let annotations = &pod["metadata"]["annotations"];
        if !given(annotations) {
            return;
        }
        let key = format!("{SECCOMP_OF_CONTAINER}{name}");
        if !given(&context["seccompProfile"]) && given(&annotations[&key]) {
            let why = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
            self.add(&format!("metadata.annotations[{key}]"), why);
        }
        let key = format!("{APP_ARMOR}{name}");
        let is_template = !self.at.is_empty();
        if is_template && !given(&context["appArmorProfile"]) && given(&annotations[&key]) {
            let of_pod = &pod["spec"]["securityContext"]["appArmorProfile"];
            if !given(of_pod) || *of_pod != app_armor_profile(text(&annotations[&key])) {
                let why = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
                self.add(&format!("metadata.annotations[{key}]"), why);
            }
        }
    }

    fn container(&mut self, at: At, container: &Value, pod: &Value) {
        self.annotated(container, pod);
        for name in ["memory", "ephemeral-storage"] {
            for amounts in ["limits", "requests"] {
                self.fractions(&container["resources"][amounts], &[name], || format!("{at}.resources.{amounts}"));
            }
        }
        let variables = list(&container["env"]);
        let repeated = repeats(variables, |v| &v["name"]);
        for (i, variable) in variables.iter().enumerate() {
            let (name, value) = (text(&variable["name"]), text(&variable["value"]));
            let reference = format!("$({name})");
            let builds_on_it = !given(&variable["valueFrom"]) && value != reference && value.contains(&reference);
            if !builds_on_it && repeated[i] {
                let why = format!("hides previous definition of {name:?}, which may be dropped when using apply");
                self.add(&format!("{at}.env[{i}]"), &why);
            }
        }
    }

    fn ports(&mut self, spec: &Value) {
        let mut all: Vec<(String, &Value)> = Vec::new();
        // Where in it are those of the same number and protocol.
        let mut same: HashMap<[&Value; 2], Vec<usize>> = HashMap::new();
        let place = self.at.clone();
        for (at, container) in containers(spec) {
            for (i, port) in list(&container["ports"]).iter().enumerate() {
                let at = format!("{at}.ports[{i}]");
                let (ip, host) = (text(&port["hostIP"]), number(&port["hostPort"]));
                if !ip.is_empty() && host == 0 {
                    let shown = format!(
                        "hostIP set without hostPort: {{Name:{} HostPort:0 ContainerPort:{} Protocol:{} HostIP:{ip}}}",
                        text(&port["name"]),
                        number(&port["containerPort"]),
                        text(&port["protocol"])
                    );
                    self.add(&at, &shown);
                }
                let same = same.entry([&port["containerPort"], &port["protocol"]]).or_default();
                for (other_at, other) in same.iter().take(MANY.saturating_sub(self.texts.len())).map(|at: &usize| &all[*at]) {
                    let (other_ip, other_host) = (text(&other["hostIP"]), number(&other["hostPort"]));
                    let how = if ip == other_ip && host == other_host {
                        "duplicate"
                    } else if host == 0 || other_host == 0 {
                        "overlapping"
                    } else if host == other_host && ip.is_empty() != other_ip.is_empty() {
                        "dangerously ambiguous"
                    } else {
                        continue;
                    };
                    self.texts.push(format!("{place}{at}: {how} port definition with {place}{other_at}"));
                }
                same.push(all.len());
                all.push((at, port));
            }
        }
        let mut named: HashMap<&str, &String> = HashMap::new();
        for (at, port) in all.iter().filter(|(_, port)| !text(&port["name"]).is_empty()) {
            let name = text(&port["name"]);
            let other = *named.entry(name).or_insert(at);
            if other != at {
                self.texts.push(format!(
                    "{place}{at}: duplicate port name {name:?} with {place}{other}, services and probes that select ports by \
                     name will use {place}{other}"
                ));
            }
        }
    }

    fn affinity(&mut self, affinity: &Value) {
        for kind in ["podAffinity", "podAntiAffinity"] {
            for (field, term) in [
                ("requiredDuringSchedulingIgnoredDuringExecution", ""),
                ("preferredDuringSchedulingIgnoredDuringExecution", ".podAffinityTerm"),
            ] {
                for (i, entry) in list(&affinity[kind][field]).iter().enumerate() {
                    let inner = if term.is_empty() { entry } else { &entry["podAffinityTerm"] };
                    if !given(&inner["labelSelector"]) {
                        let at = format!("spec.affinity.{kind}.{field}[{i}]{term}.labelSelector");
                        self.add(&at, NO_SELECTOR);
                    }
                }
            }
        }
    }

    fn ip(&mut self, at: &str, address: &str) {
        if let Ok(std::net::IpAddr::V6(ip)) = address.parse() {
            if let Some(mapped) = ip.to_ipv4_mapped() {
                let why = format!("non-standard IP address {address:?} is invalid: use {:?}", mapped.to_string());
                self.add(at, &why);
            } else if ip.to_string() != address {
                let shown = format!("{:?}", ip.to_string());
                let why = format!("IPv6 address {address:?} should be in RFC 5952 canonical format ({shown})");
                self.add(at, &why);
            }
        }
    }
}

/// Where a container stands; written out only when a warning names it.
#[derive(Clone, Copy)]
struct At(&'static str, usize);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spec.{}[{}]", self.0, self.1)
    }
}

/// All containers of a pod, with where they stand.
fn containers(spec: &Value) -> impl Iterator<Item = (At, &Value)> {
    CONTAINERS.into_iter().flat_map(move |kind| {
        let containers = list(&spec[kind]).iter().enumerate();
        containers.map(move |(i, container)| (At(kind, i), container))
    })
}

/// The profile that an annotation stands for.
fn app_armor_profile(annotation: &str) -> Value {
    match annotation {
        "unconfined" => json!({"type": "Unconfined"}),
        "runtime/default" => json!({"type": "RuntimeDefault"}),
        other => match other.strip_prefix("localhost/") {
            Some(profile) => json!({"type": "Localhost", "localhostProfile": profile}),
            None => Value::Null,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_most_likely_not_meant() {
        let check = |pod: Value, expected: &[&str]| assert_eq!(of_pod(&pod), expected, "{pod}");
        let of = |spec: Value| json!({"spec": spec});
        check(of(json!({"containers": [{"name": "c"}]})), &[]);
        check(
            of(json!({"nodeSelector": {"beta.kubernetes.io/os": "linux"}})),
            &["spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead"],
        );
        check(
            of(json!({"topologySpreadConstraints": [{"topologyKey": "a"}]})),
            &["spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod"],
        );
        check(
            of(json!({"volumes": [{"name": "v", "gitRepo": {}}]})),
            &["spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+"],
        );
        check(
            of(json!({"imagePullSecrets": [{}, {"name": ""}]})),
            &[
                "spec.imagePullSecrets[1].name: duplicate name \"\"",
                "spec.imagePullSecrets[0].name: invalid empty name \"\"",
                "spec.imagePullSecrets[1].name: invalid empty name \"\"",
            ],
        );
        check(
            of(json!({"containers": [{"resources": {"limits": {"memory": "100m"}}}]})),
            &["spec.containers[0].resources.limits[memory]: fractional byte value \"100m\" is invalid, must be an integer"],
        );
        let variables = json!([
            {"name": "a", "value": "1"}, {"name": "a", "value": "$(a)2"}, {"name": "a", "value": "3"},
        ]);
        check(
            of(json!({"containers": [{"env": variables}]})),
            &["spec.containers[0].env[2]: hides previous definition of \"a\", which may be dropped when using apply"],
        );
        let port = |name: &str, host: i64| json!({"name": name, "containerPort": 80, "hostPort": host, "protocol": "TCP"});
        check(
            of(json!({"containers": [{"ports": [port("a", 0), port("b", 0)]}, {"ports": [port("a", 8)]}]})),
            &[
                "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
                "spec.containers[1].ports[0]: overlapping port definition with spec.containers[0].ports[0]",
                "spec.containers[1].ports[0]: overlapping port definition with spec.containers[0].ports[1]",
                "spec.containers[1].ports[0]: duplicate port name \"a\" with spec.containers[0].ports[0], services and probes \
                 that select ports by name will use spec.containers[0].ports[0]",
            ],
        );
        check(
            of(json!({"dnsConfig": {"nameservers": ["1.2.3.4", "::ffff:1.2.3.4", "FD00::1"]}})),
            &[
                "spec.dnsConfig.nameservers[1]: non-standard IP address \"::ffff:1.2.3.4\" is invalid: use \"1.2.3.4\"",
                "spec.dnsConfig.nameservers[2]: IPv6 address \"FD00::1\" should be in RFC 5952 canonical format \
                 (\"fd00::1\")",
            ],
        );
    }

    #[test]
    fn templates_are_looked_at_when_they_may_have_changed() {
        let owner = |generation: i64| {
            json!({
                "metadata": {"generation": generation},
                "spec": {"template": {"spec": {"terminationGracePeriodSeconds": -1}}},
            })
        };
        let why = "spec.template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be \
                   treated as 1";
        assert_eq!(of_template("spec.template", &owner(1), None), [why]);
        assert_eq!(of_template("spec.template", &owner(2), Some(&owner(1))), [why]);
        assert_eq!(of_template("spec.template", &owner(1), Some(&owner(1))), [""; 0]);
    }
}
