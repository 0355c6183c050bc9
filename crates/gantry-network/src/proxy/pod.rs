//! The rules of a pod's host ports.

use super::address;
use super::ruleset::{Map, Rules};
use super::service::{Endpoint, endpoint_rules, name};
use serde_json::Value;

/// Whether a pod asks for ports of its node.
pub(super) fn has_host_ports(pod: &Value) -> bool {
    pod["spec"]["hostNetwork"] != true && ports(pod).next().is_some()
}

/// The rules of a pod's host ports: none before it has an address and after it has ended.
pub(super) fn rules(pod: &Value) -> Rules {
    let mut rules = Rules::default();
    let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let Some(ip) = address(&pod["status"]["podIP"]).filter(|_| !ended && has_host_ports(pod)) else {
        return rules;
    };
    let key = gantry_client::key_of(pod);
    for port in ports(pod) {
        let protocol = port["protocol"].as_str().unwrap_or("TCP").to_ascii_lowercase();
        let number = |field: &str| port[field].as_u64().and_then(|n| u16::try_from(n).ok());
        let (Some(host), Some(container)) = (number("hostPort"), number("containerPort")) else {
            continue;
        };
        let endpoint = Endpoint {
            ip,
            port: container,
            local: true,
        };
        let chain = name("host-port", &[&key, &protocol, &host.to_string()]);
        let mut lines = vec!["jump masquerade-later".to_string()];
        lines.extend(endpoint_rules(&endpoint, &protocol, None));
        rules.chains.insert(chain.clone(), lines);
        // An address keeps the port to itself, as a listening program would.
        let element = match address(&port["hostIP"]).filter(|ip| !ip.is_unspecified()) {
            Some(ip) => (Map::Services, format!("{ip} . {protocol} . {host}")),
            None => (Map::Ports, format!("{protocol} . {host}")),
        };
        rules.elements.insert(element, format!("goto {chain}"));
        if protocol == "udp" {
            rules.udp.entry((None, host)).or_default().insert(ip);
        }
    }
    rules
}

fn ports(pod: &Value) -> impl Iterator<Item = &Value> {
    let of = |list: &str| pod["spec"][list].as_array().into_iter().flatten();
    // Of init containers, only those that go on beside the others.
    of("containers")
        .chain(of("initContainers").filter(|c| c["restartPolicy"] == "Always"))
        .flat_map(|c| c["ports"].as_array().into_iter().flatten())
        .filter(|p| p["hostPort"].as_u64().is_some_and(|n| n > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn host_ports_lead_to_the_pod() {
        let mut pod = json!({
            "metadata": {"namespace": "a", "name": "web"},
            "spec": {"containers": [{"ports": [
                {"containerPort": 80, "hostPort": 8080, "protocol": "TCP"},
                {"containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "192.0.2.1"},
                {"containerPort": 81},
            ]}]},
            "status": {"phase": "Running", "podIP": "10.42.0.5"},
        });
        let found = rules(&pod);
        let keys: Vec<_> = found.elements.keys().map(|(_, key)| key.as_str()).collect();
        assert_eq!(keys, ["192.0.2.1 . udp . 53", "tcp . 8080"]);
        let chain = found
            .chains
            .iter()
            .find(|(name, _)| name.ends_with("a/web/tcp/8080"));
        assert_eq!(
            chain.unwrap().1,
            &[
                "jump masquerade-later",
                "ip saddr 10.42.0.5 jump masquerade-later",
                "meta l4proto tcp dnat to 10.42.0.5:80"
            ]
        );
        pod["status"]["phase"] = "Failed".into();
        assert_eq!(rules(&pod), Rules::default());
        pod["spec"]["hostNetwork"] = true.into();
        assert!(!has_host_ports(&pod));
    }
}
