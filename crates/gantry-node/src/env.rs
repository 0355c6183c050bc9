//! A container's environment. Source: pkg/kubelet/kubelet_pods.go and pkg/kubelet/envvars.

use gantry_api::meta;
use gantry_api::quantity::Quantity;
use gantry_client::resource::{CONFIG_MAPS, SECRETS};
use gantry_client::{Client, Resource};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where references lead.
pub struct Sources {
    /// The API.
    pub client: Client,
    /// The Services that containers are told of: those of the pod's namespace and `default/kubernetes`.
    pub services: Vec<Arc<Value>>,
    /// What the node can give, by resource name: the limit of containers that have none.
    pub allocatable: Value,
}

/// The addresses that field references may name.
pub struct Ips {
    /// Of the pod.
    pub pod: Vec<String>,
    /// Of the node.
    pub host: Vec<String>,
}

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EnvError(pub String);

/// The environment of a container, in order; later ones of the same name win.
pub async fn container_env(
    pod: &Value,
    container: &Value,
    sources: &Sources,
    ips: &Ips,
) -> Result<Vec<(String, String)>, EnvError> {
    let mut vars = service_vars(pod, &sources.services);
    for from in list(&container["envFrom"]) {
        let prefix = from["prefix"].as_str().unwrap_or("");
        for (resource, field) in [(&CONFIG_MAPS, "configMapRef"), (&SECRETS, "secretRef")] {
            if !from[field].is_object() {
                continue;
            }
            let Some(object) = fetch(pod, resource, &from[field], sources).await? else {
                continue;
            };
            for (key, value) in data_of(&object) {
                set(&mut vars, &format!("{prefix}{key}"), value);
            }
        }
    }
    for var in list(&container["env"]) {
        let name = var["name"].as_str().unwrap_or("");
        let from = &var["valueFrom"];
        let value = if let Some(path) = from["fieldRef"]["fieldPath"].as_str() {
            Some(field(pod, path, ips)?)
        } else if from["resourceFieldRef"].is_object() {
            Some(resource(
                pod,
                container,
                &from["resourceFieldRef"],
                &sources.allocatable,
            )?)
        } else if from["configMapKeyRef"].is_object() {
            keyed(pod, &CONFIG_MAPS, "ConfigMap", &from["configMapKeyRef"], sources).await?
        } else if from["secretKeyRef"].is_object() {
            keyed(pod, &SECRETS, "Secret", &from["secretKeyRef"], sources).await?
        } else {
            Some(expand(var["value"].as_str().unwrap_or(""), &vars))
        };
        if let Some(value) = value {
            set(&mut vars, name, value);
        }
    }
    Ok(vars)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn set(vars: &mut Vec<(String, String)>, name: &str, value: String) {
    vars.retain(|(n, _)| n != name);
    vars.push((name.to_string(), value));
}

/// Reads a ConfigMap or Secret; `None` when it is optional and absent.
async fn fetch(
    pod: &Value,
    resource: &Resource,
    reference: &Value,
    sources: &Sources,
) -> Result<Option<Value>, EnvError> {
    let name = reference["name"].as_str().unwrap_or("");
    match sources.client.get(resource, meta::namespace(pod), name).await {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.is_not_found() && reference["optional"] == true => Ok(None),
        Err(error) if error.is_not_found() => {
            let kind = resource.kind.to_lowercase();
            Err(EnvError(format!("{kind} \"{name}\" not found")))
        }
        Err(error) => Err(EnvError(error.to_string())),
    }
}

async fn keyed(
    pod: &Value,
    resource: &Resource,
    kind: &str,
    reference: &Value,
    sources: &Sources,
) -> Result<Option<String>, EnvError> {
    let Some(object) = fetch(pod, resource, reference, sources).await? else {
        return Ok(None);
    };
    let key = reference["key"].as_str().unwrap_or("");
    match data_of(&object).remove(key) {
        Some(value) => Ok(Some(value)),
        None if reference["optional"] == true => Ok(None),
        None => {
            let (namespace, name) = (meta::namespace(pod), meta::name(&object));
            Err(EnvError(format!(
                "couldn't find key {key} in {kind} {namespace}/{name}"
            )))
        }
    }
}

/// The entries of a ConfigMap or Secret as text.
fn data_of(object: &Value) -> BTreeMap<String, String> {
    crate::volumes::payload(object)
        .into_iter()
        .map(|(key, bytes)| (key, String::from_utf8_lossy(&bytes).into_owned()))
        .collect()
}

/// What a downward API field reference says.
pub fn field(pod: &Value, path: &str, ips: &Ips) -> Result<String, EnvError> {
    let of_metadata = |map: &str, key: &str| {
        Ok(pod["metadata"][map][key.trim_matches(['\'', '"'])]
            .as_str()
            .unwrap_or("")
            .to_string())
    };
    if let Some((map, key)) = path
        .strip_prefix("metadata.")
        .and_then(|p| p.strip_suffix(']')?.split_once('['))
    {
        return of_metadata(map, key);
    }
    let first = |all: &[String]| all.first().cloned().unwrap_or_default();
    Ok(match path {
        "metadata.name" | "metadata.namespace" | "metadata.uid" => {
            meta::text(pod, &path["metadata.".len()..]).to_string()
        }
        "metadata.labels" | "metadata.annotations" => {
            let map = pod["metadata"][&path["metadata.".len()..]].as_object();
            let lines = map.into_iter().flatten().map(|(k, v)| format!("{k}={v}"));
            lines.collect::<Vec<_>>().join("\n")
        }
        "spec.nodeName" => pod["spec"]["nodeName"].as_str().unwrap_or("").to_string(),
        "spec.serviceAccountName" => pod["spec"]["serviceAccountName"]
            .as_str()
            .unwrap_or("")
            .to_string(),
        "status.hostIP" => first(&ips.host),
        "status.hostIPs" => ips.host.join(","),
        "status.podIP" => first(&ips.pod),
        "status.podIPs" => ips.pod.join(","),
        other => return Err(EnvError(format!("unsupported fieldPath: {other}"))),
    })
}

/// What a resource reference says: the amount in units of its divisor, rounded up.
pub fn resource(
    pod: &Value,
    own: &Value,
    reference: &Value,
    allocatable: &Value,
) -> Result<String, EnvError> {
    let name = reference["containerName"].as_str().unwrap_or("");
    let containers = || list(&pod["spec"]["containers"]).chain(list(&pod["spec"]["initContainers"]));
    let container = match name {
        "" => own,
        name => containers()
            .find(|c| c["name"] == name)
            .ok_or_else(|| EnvError(format!("container {name} not found")))?,
    };
    let path = reference["resource"].as_str().unwrap_or("");
    let (list, resource) = path
        .split_once('.')
        .ok_or_else(|| EnvError(format!("unsupported container resource : {path}")))?;
    let read = |value: &Value| Quantity::from_json(value).unwrap_or(Quantity::ZERO);
    let given = &container["resources"][list][resource];
    let amount = match (given.is_null(), list) {
        (true, "limits") => read(&allocatable[resource]),
        _ => read(given),
    };
    let divisor = read(&reference["divisor"]);
    let divide = |amount: i64, by: i64| if by <= 0 { amount } else { (amount + by - 1) / by };
    Ok(match resource {
        "cpu" if divisor.sign() > 0 => divide(amount.milli_value(), divisor.milli_value()),
        "cpu" => divide(amount.milli_value(), 1000),
        _ => divide(amount.value(), divisor.value()),
    }
    .to_string())
}

/// The variables by which containers find Services without DNS.
fn service_vars(pod: &Value, services: &[Arc<Value>]) -> Vec<(String, String)> {
    let mut vars = Vec::new();
    for service in services {
        let (namespace, name) = (meta::namespace(service), meta::name(service));
        let master = namespace == "default" && name == "kubernetes";
        let linked = pod["spec"]["enableServiceLinks"] != false && namespace == meta::namespace(pod);
        let ip = service["spec"]["clusterIP"].as_str().unwrap_or("");
        let Some(first) = list(&service["spec"]["ports"])
            .next()
            .filter(|_| !matches!(ip, "" | "None"))
        else {
            continue;
        };
        if !master && !linked {
            continue;
        }
        let prefix = name.to_uppercase().replace(['-', '.'], "_");
        set(&mut vars, &format!("{prefix}_SERVICE_HOST"), ip.to_string());
        set(
            &mut vars,
            &format!("{prefix}_SERVICE_PORT"),
            first["port"].to_string(),
        );
        for (index, port) in list(&service["spec"]["ports"]).enumerate() {
            let number = &port["port"];
            if let Some(name) = port["name"].as_str().filter(|n| !n.is_empty()) {
                let name = name.to_uppercase().replace('-', "_");
                set(
                    &mut vars,
                    &format!("{prefix}_SERVICE_PORT_{name}"),
                    number.to_string(),
                );
            }
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            let lower = protocol.to_lowercase();
            let url = format!("{lower}://{ip}:{number}");
            if index == 0 {
                set(&mut vars, &format!("{prefix}_PORT"), url.clone());
            }
            let at = format!("{prefix}_PORT_{number}_{protocol}");
            set(&mut vars, &at, url);
            set(&mut vars, &format!("{at}_PROTO"), lower);
            set(&mut vars, &format!("{at}_PORT"), number.to_string());
            set(&mut vars, &format!("{at}_ADDR"), ip.to_string());
        }
    }
    vars
}

/// Replaces `$(NAME)`; `$$` stands for `$`, and what is unknown stays.
pub fn expand(text: &str, vars: &[(String, String)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
            continue;
        }
        match rest.strip_prefix("$(").and_then(|r| r.split_once(')')) {
            Some((name, after)) => {
                match vars.iter().rev().find(|(n, _)| n == name) {
                    Some((_, value)) => out.push_str(value),
                    None => out.push_str(&rest[..name.len() + 3]),
                }
                rest = after;
            }
            None => {
                out.push('$');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_to_variables() {
        let vars = [("A".to_string(), "1".to_string())];
        let check = |text: &str, expected: &str| assert_eq!(expand(text, &vars), expected, "{text}");
        check("x$(A)y", "x1y");
        check("$$(A)", "$(A)");
        check("$(B)", "$(B)");
        check("$A $(A", "$A $(A");
    }

    #[test]
    fn fields() {
        let pod = json!({"metadata": {"name": "p", "labels": {"a/b": "c"}}, "spec": {"nodeName": "n"}});
        let ips = Ips {
            pod: vec!["10.0.0.1".into()],
            host: vec!["10.1.0.1".into()],
        };
        let check =
            |path: &str, expected: &str| assert_eq!(field(&pod, path, &ips).unwrap(), expected, "{path}");
        check("metadata.name", "p");
        check("metadata.labels['a/b']", "c");
        check("metadata.labels", "a/b=\"c\"");
        check("spec.nodeName", "n");
        check("status.podIP", "10.0.0.1");
        check("status.hostIP", "10.1.0.1");
        assert!(field(&pod, "status.phase", &ips).is_err());
    }

    #[test]
    fn resources() {
        let own = json!({"resources": {"limits": {"cpu": "1500m"}, "requests": {"memory": "1Gi"}}});
        let check = |path: &str, divisor: &str, expected: &str| {
            let reference = json!({"resource": path, "divisor": divisor});
            let found = resource(&json!({}), &own, &reference, &json!({"memory": "2Gi"})).unwrap();
            assert_eq!(found, expected, "{path} {divisor}");
        };
        check("limits.cpu", "0", "2");
        check("limits.cpu", "1m", "1500");
        check("requests.memory", "1Mi", "1024");
        check("limits.memory", "1Gi", "2");
        check("requests.cpu", "0", "0");
    }

    #[test]
    fn services() {
        let service = |namespace: &str, name: &str| {
            let spec =
                json!({"clusterIP": "10.0.0.9", "ports": [{"name": "web", "port": 80, "protocol": "TCP"}]});
            Arc::new(json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec}))
        };
        let all = [
            service("default", "kubernetes"),
            service("a", "my-db"),
            service("b", "other"),
        ];
        let vars: BTreeMap<_, _> = service_vars(&json!({"metadata": {"namespace": "a"}}), &all)
            .into_iter()
            .collect();
        assert_eq!(vars["KUBERNETES_SERVICE_HOST"], "10.0.0.9");
        assert_eq!(vars["MY_DB_PORT_80_TCP_ADDR"], "10.0.0.9");
        assert_eq!(vars["MY_DB_SERVICE_PORT_WEB"], "80");
        assert!(!vars.contains_key("OTHER_SERVICE_HOST"));
    }
}
