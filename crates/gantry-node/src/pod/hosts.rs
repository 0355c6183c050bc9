//! A pod's host name and its /etc/hosts.

use crate::pod::spec;
use gantry_api::meta;
use serde_json::Value;
use std::fmt::Write as _;

/// Host names longer than this are cut, as the kernel takes no more.
const NAME_LIMIT: usize = 63;

/// The pod's host name, and its domain if it has a subdomain.
pub fn name(pod: &Value, cluster_domain: &str) -> (String, String) {
    let own = spec::text(&pod["spec"], "hostname");
    let mut name = if own.is_empty() { meta::name(pod) } else { own };
    if name.len() > NAME_LIMIT {
        name = name[..NAME_LIMIT].trim_end_matches(['-', '.']);
    }
    let domain = match spec::text(&pod["spec"], "subdomain") {
        "" => String::new(),
        subdomain => format!("{subdomain}.{}.svc.{cluster_domain}", meta::namespace(pod)),
    };
    (name.to_string(), domain)
}

/// The host name that the sandbox gets.
pub fn sandbox_name(pod: &Value, cluster_domain: &str) -> String {
    if spec::host_network(pod) {
        return String::new();
    }
    if let Some(name) = pod["spec"]["hostnameOverride"].as_str() {
        return name.to_string();
    }
    let (name, domain) = name(pod, cluster_domain);
    if spec::flag(&pod["spec"], "setHostnameAsFQDN") && !domain.is_empty() {
        return format!("{name}.{domain}");
    }
    name
}

/// The content of /etc/hosts. `node` is the node's own file, for pods in its network.
pub fn file(pod: &Value, ips: &[String], cluster_domain: &str, node: &str) -> String {
    let mut text = String::new();
    if spec::host_network(pod) {
        text.push_str("# Kubernetes-managed hosts file (host network).\n");
        text.push_str(node);
    } else {
        text.push_str("# Kubernetes-managed hosts file.\n");
        text.push_str("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
        text.push_str("fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\n");
        text.push_str("fe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n");
        let (name, domain) = name(pod, cluster_domain);
        for ip in ips {
            // Writing to a String cannot fail.
            let _ = match domain.as_str() {
                "" => writeln!(text, "{ip}\t{name}"),
                domain => writeln!(text, "{ip}\t{name}.{domain}\t{name}"),
            };
        }
    }
    let aliases = spec::list(&pod["spec"], "hostAliases");
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let names: Vec<&str> = spec::list(alias, "hostnames")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let _ = writeln!(text, "{}\t{}", spec::text(alias, "ip"), names.join("\t"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hosts_files() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"subdomain": "s",
            "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}});
        let text = file(&pod, &["10.0.0.1".into()], "cluster.local", "");
        assert!(text.contains("10.0.0.1\tp.s.n.svc.cluster.local\tp\n"), "{text}");
        assert!(
            text.ends_with("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"),
            "{text}"
        );
        let host = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"hostNetwork": true}});
        assert_eq!(
            file(&host, &[], "c", "1.1.1.1 x\n"),
            "# Kubernetes-managed hosts file (host network).\n1.1.1.1 x\n"
        );
    }

    #[test]
    fn host_names() {
        let check = |spec: Value, expected: &str| {
            let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec});
            assert_eq!(sandbox_name(&pod, "c"), expected, "{pod}");
        };
        check(json!({}), "p");
        check(json!({"hostname": "h", "subdomain": "s"}), "h");
        check(
            json!({"hostname": "h", "subdomain": "s", "setHostnameAsFQDN": true}),
            "h.s.n.svc.c",
        );
        check(json!({"hostNetwork": true}), "");
    }
}
