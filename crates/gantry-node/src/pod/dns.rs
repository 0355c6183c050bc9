//! What goes into a pod's resolv.conf. Source: upstream's pkg/kubelet/network/dns.

use crate::cri::v1;
use crate::pod::spec;
use gantry_api::meta;
use serde_json::Value;
use std::net::IpAddr;

const MAX_SERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;

/// The pod's DNS configuration; `host` is the node's own resolv.conf.
pub fn config(pod: &Value, cluster_dns: IpAddr, cluster_domain: &str, host: &str) -> v1::DnsConfig {
    let policy = spec::text(&pod["spec"], "dnsPolicy");
    let host_network = spec::host_network(pod);
    let mut dns = match policy {
        "None" => v1::DnsConfig::default(),
        "Default" => parse(host),
        "ClusterFirst" if host_network => parse(host),
        _ => {
            let namespace = meta::namespace(pod);
            let mut searches = vec![
                format!("{namespace}.svc.{cluster_domain}"),
                format!("svc.{cluster_domain}"),
                cluster_domain.to_string(),
            ];
            searches.extend(parse(host).searches);
            v1::DnsConfig {
                servers: vec![cluster_dns.to_string()],
                searches,
                options: vec!["ndots:5".into()],
            }
        }
    };
    let own = &pod["spec"]["dnsConfig"];
    let texts = |field: &str| -> Vec<String> {
        spec::list(own, field)
            .iter()
            .filter_map(|v| v.as_str().map(String::from))
            .collect()
    };
    dns.servers.extend(texts("nameservers"));
    dns.searches.extend(texts("searches"));
    for option in spec::list(own, "options") {
        let name = spec::text(option, "name");
        let same = |o: &String| o.split(':').next() == Some(name);
        dns.options.retain(|o| !same(o));
        dns.options.push(match spec::text(option, "value") {
            "" => name.to_string(),
            value => format!("{name}:{value}"),
        });
    }
    dns.servers = unique(dns.servers, MAX_SERVERS);
    dns.searches = unique(dns.searches, MAX_SEARCHES);
    dns
}

fn unique(list: Vec<String>, limit: usize) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for item in list {
        if kept.len() < limit && !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

fn parse(text: &str) -> v1::DnsConfig {
    let mut dns = v1::DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or("");
        let rest = words.map(String::from);
        match first {
            "nameserver" => dns.servers.extend(rest.take(1)),
            // The last one counts.
            "search" => {
                dns.searches = rest
                    .map(|s| s.trim_end_matches('.').to_string())
                    .filter(|s| !s.is_empty())
                    .collect()
            }
            "options" => dns.options = rest.collect(),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn policies() {
        let check = |spec: Value, expected: (&[&str], &[&str], &[&str])| {
            let pod = json!({"metadata": {"namespace": "n"}, "spec": spec});
            let dns = config(
                &pod,
                IpAddr::from([10, 43, 0, 10]),
                "cluster.local",
                "nameserver 1.1.1.1\nsearch lan\n",
            );
            assert_eq!(
                (&dns.servers[..], &dns.searches[..], &dns.options[..]),
                (
                    &expected.0.iter().map(ToString::to_string).collect::<Vec<_>>()[..],
                    &expected.1.iter().map(ToString::to_string).collect::<Vec<_>>()[..],
                    &expected.2.iter().map(ToString::to_string).collect::<Vec<_>>()[..]
                ),
                "{pod}"
            );
        };
        let cluster: &[&str] = &["n.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan"];
        check(
            json!({"dnsPolicy": "ClusterFirst"}),
            (&["10.43.0.10"], cluster, &["ndots:5"]),
        );
        check(
            json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true}),
            (&["1.1.1.1"], &["lan"], &[]),
        );
        check(
            json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true}),
            (&["10.43.0.10"], cluster, &["ndots:5"]),
        );
        check(json!({"dnsPolicy": "Default"}), (&["1.1.1.1"], &["lan"], &[]));
        check(
            json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["2.2.2.2"], "searches": ["x"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}}),
            (&["2.2.2.2"], &["x"], &["ndots:2", "edns0"]),
        );
        check(
            json!({"dnsPolicy": "ClusterFirst", "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}}),
            (&["10.43.0.10"], cluster, &["ndots:1"]),
        );
    }
}
