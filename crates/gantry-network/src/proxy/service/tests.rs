use super::*;
use serde_json::json;

fn slice(endpoints: Value) -> Vec<Arc<Value>> {
    vec![Arc::new(json!({
        "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}, {"name": "dns", "protocol": "UDP", "port": 53}],
    }))]
}

fn service(spec: Value) -> Value {
    let mut service = json!({
        "metadata": {"namespace": "a", "name": "web"},
        "spec": {"clusterIP": "10.43.0.7", "type": "ClusterIP",
            "ports": [{"name": "http", "protocol": "TCP", "port": 80}]},
    });
    for (key, value) in spec.as_object().unwrap() {
        match key.as_str() {
            "labels" => service["metadata"]["labels"] = value.clone(),
            "status" => service["status"] = value.clone(),
            _ => service["spec"][key] = value.clone(),
        }
    }
    service
}

/// The rules as text, with the hashes of names left out.
fn text(rules: &Rules) -> String {
    let mut text = String::new();
    for (set, seconds) in &rules.sets {
        text += &format!("set {set} {seconds}\n");
    }
    let mut chains: Vec<_> = rules.chains.iter().collect();
    chains.sort_by_key(|(chain, _)| plain(chain));
    for (chain, lines) in chains {
        text += &format!("{chain}:\n");
        for line in lines {
            text += &format!("  {line}\n");
        }
    }
    for ((map, key), verdict) in &rules.elements {
        text += &format!("{map:?} {key} => {verdict}\n");
    }
    plain(&text)
}

fn plain(text: &str) -> String {
    let mut plain = String::new();
    for (i, part) in text.split('-').enumerate() {
        let hash = part.len() == 8 && part.chars().all(|c| c.is_ascii_hexdigit());
        if i > 0 && !hash {
            plain.push('-');
        }
        if !hash {
            plain += part;
        }
    }
    plain
}

#[track_caller]
fn check(spec: Value, endpoints: Value, expected: &str) {
    let found = text(&rules(&service(spec), &slice(endpoints), "here", "10.42.0.0/16"));
    let trim = |t: &str| {
        t.lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(trim(&found), trim(expected));
}

fn end(ip: &str, node: &str) -> Value {
    json!({"addresses": [ip], "nodeName": node, "conditions": {"ready": true, "serving": true, "terminating": false}})
}

#[test]
fn a_cluster_address_leads_to_ready_endpoints() {
    let mut gone = end("10.42.0.9", "here");
    gone["conditions"] = json!({"ready": false, "serving": true, "terminating": true});
    check(
        json!({}),
        json!([end("10.42.0.5", "here"), end("10.42.1.6", "there"), gone]),
        "endpoint-a/web/tcp/http/10.42.0.5/8080:
           ip saddr 10.42.0.5 jump masquerade-later
           meta l4proto tcp dnat to 10.42.0.5:8080
         endpoint-a/web/tcp/http/10.42.1.6/8080:
           ip saddr 10.42.1.6 jump masquerade-later
           meta l4proto tcp dnat to 10.42.1.6:8080
         service-a/web/tcp/http:
           ip daddr 10.43.0.7 ip saddr != 10.42.0.0/16 jump masquerade-later
           numgen random mod 2 vmap { 0 : goto endpoint-a/web/tcp/http/10.42.0.5/8080, 1 : goto endpoint-a/web/tcp/http/10.42.1.6/8080 }
         Services 10.43.0.7 . tcp . 80 => goto service-a/web/tcp/http",
    );
}

#[test]
fn without_endpoints_it_is_refused() {
    let unready = json!([{"addresses": ["10.42.0.5"], "conditions": {"ready": false}}]);
    let refused = "Refused 10.43.0.7 . tcp . 80 => goto refuse";
    check(json!({}), unready, refused);
    let port = json!([{"name": "http", "protocol": "TCP", "port": 80, "nodePort": 30080}]);
    check(
        json!({"type": "NodePort", "ports": port}),
        json!([]),
        "Refused 10.43.0.7 . tcp . 80 => goto refuse
         RefusedPorts tcp . 30080 => goto refuse",
    );
    // Endpoints elsewhere are no reason to say that there are none.
    let local = json!({"internalTrafficPolicy": "Local"});
    check(
        local,
        json!([end("10.42.1.6", "there")]),
        "Refused 10.43.0.7 . tcp . 80 => goto discard",
    );
}

#[test]
fn endpoints_that_end_are_the_last_resort() {
    let ending = json!([{"addresses": ["10.42.0.5"], "conditions": {"ready": false, "serving": true, "terminating": true}}]);
    let found = rules(&service(json!({})), &slice(ending), "here", "10.42.0.0/16");
    assert!(text(&found).contains("dnat to 10.42.0.5:8080"));
}

#[test]
fn some_services_are_not_the_proxys() {
    for spec in [
        json!({"clusterIP": "None"}),
        json!({"type": "ExternalName", "clusterIP": ""}),
        json!({"labels": {"service.kubernetes.io/service-proxy-name": "other"}}),
        json!({"labels": {"service.kubernetes.io/headless": ""}}),
    ] {
        check(spec, json!([end("10.42.0.5", "here")]), "");
    }
}

#[test]
fn outside_traffic_keeps_its_source_where_it_may() {
    let ports = json!([{"name": "http", "protocol": "TCP", "port": 80, "nodePort": 30080}]);
    check(
        json!({"type": "LoadBalancer", "ports": ports, "externalTrafficPolicy": "Local",
            "loadBalancerSourceRanges": ["192.0.2.0/24"],
            "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}, {"ip": "203.0.113.10", "ipMode": "Proxy"}]}}}),
        json!([end("10.42.1.6", "there")]),
        "endpoint-a/web/tcp/http/10.42.1.6/8080:
           ip saddr 10.42.1.6 jump masquerade-later
           meta l4proto tcp dnat to 10.42.1.6:8080
         external-a/web/tcp/http:
           ip saddr 10.42.0.0/16 goto service-a/web/tcp/http
           fib saddr type local jump masquerade-later
           fib saddr type local goto service-a/web/tcp/http
           drop
         firewall-a/web/tcp/http:
           ip saddr != { 192.0.2.0/24 } drop
           goto external-a/web/tcp/http
         service-a/web/tcp/http:
           ip daddr 10.43.0.7 ip saddr != 10.42.0.0/16 jump masquerade-later
           numgen random mod 1 vmap { 0 : goto endpoint-a/web/tcp/http/10.42.1.6/8080 }
         Services 10.43.0.7 . tcp . 80 => goto service-a/web/tcp/http
         Services 203.0.113.9 . tcp . 80 => goto firewall-a/web/tcp/http
         Ports tcp . 30080 => goto external-a/web/tcp/http",
    );
}

#[test]
fn clients_stay_with_their_endpoint() {
    check(
        json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
            "externalIPs": ["203.0.113.9"]}),
        json!([end("10.42.0.5", "here")]),
        "set affinity-60-a/web/tcp/http/10.42.0.5/8080 60
         endpoint-a/web/tcp/http/10.42.0.5/8080:
           ip saddr 10.42.0.5 jump masquerade-later
           update @affinity-60-a/web/tcp/http/10.42.0.5/8080 { ip saddr }
           meta l4proto tcp dnat to 10.42.0.5:8080
         external-a/web/tcp/http:
           jump masquerade-later
           goto service-a/web/tcp/http
         service-a/web/tcp/http:
           ip daddr 10.43.0.7 ip saddr != 10.42.0.0/16 jump masquerade-later
           ip saddr @affinity-60-a/web/tcp/http/10.42.0.5/8080 goto endpoint-a/web/tcp/http/10.42.0.5/8080
           numgen random mod 1 vmap { 0 : goto endpoint-a/web/tcp/http/10.42.0.5/8080 }
         Services 10.43.0.7 . tcp . 80 => goto service-a/web/tcp/http
         Services 203.0.113.9 . tcp . 80 => goto external-a/web/tcp/http",
    );
}

#[test]
fn names_are_valid_and_apart() {
    let long = "n".repeat(63);
    let (a, b) = (
        name("endpoint", &[&long, &long, "a"]),
        name("endpoint", &[&long, &long, "b"]),
    );
    assert_ne!(a, b);
    assert!(a.len() <= NAME_LIMIT);
    assert!(!name("service", &["a/web", "tcp", ""]).ends_with('/'));
}

#[test]
fn nftables_takes_the_rules() {
    use super::super::ruleset::{Ruleset, Unit};
    use std::io::Write;
    use std::process::{Command, Stdio};
    // SAFETY: geteuid only reads.
    if unsafe { libc::geteuid() } != 0 || Command::new("nft").arg("--version").output().is_err() {
        eprintln!("skipped: this needs root and nft");
        return;
    }
    let config = super::super::Config {
        node_name: "here".into(),
        pod_cidr: "10.42.0.0/24".into(),
        cluster_cidr: "10.42.0.0/16".into(),
    };
    let port = |name: &str, protocol: &str, number: u16, node: u16| json!({"name": name, "protocol": protocol, "port": number, "nodePort": node});
    let spec = json!({"type": "LoadBalancer", "sessionAffinity": "ClientIP", "externalIPs": ["203.0.113.9"],
        "ports": [port("http", "TCP", 80, 30080), port("dns", "UDP", 53, 30053), port("none", "SCTP", 9, 30009)],
        "loadBalancerSourceRanges": ["192.0.2.0/24", "198.51.100.0/24"],
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.10"}]}}});
    for policy in ["Cluster", "Local"] {
        let mut service = service(spec.clone());
        service["spec"]["externalTrafficPolicy"] = policy.into();
        let mut set = Ruleset::new(&config);
        let ends = slice(json!([end("10.42.0.5", "here"), end("10.42.1.6", "there")]));
        set.set(
            Unit::Service("a/web".into()),
            rules(&service, &ends, "here", "10.42.0.0/16"),
        );
        let mut nft = Command::new("nft")
            .args(["-c", "-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        nft.stdin
            .take()
            .unwrap()
            .write_all(set.whole().as_bytes())
            .unwrap();
        let output = nft.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{}", set.whole());
    }
}

/// nft refuses a transaction as a whole when a rule leads to a chain or set that is not there.
#[test]
fn what_rules_lead_to_is_there() {
    let conditions = [
        json!({"ready": true}),
        json!({"ready": false, "serving": true, "terminating": true}),
        json!({"ready": false}),
    ];
    let ports = json!([{"name": "http", "protocol": "TCP", "port": 80, "nodePort": 30080}]);
    for (here, there) in conditions
        .iter()
        .flat_map(|h| conditions.iter().map(move |t| (h, t)))
    {
        for (inside, outside) in [
            ("Cluster", "Cluster"),
            ("Cluster", "Local"),
            ("Local", "Cluster"),
            ("Local", "Local"),
        ] {
            let spec = json!({"type": "NodePort", "ports": ports, "sessionAffinity": "ClientIP",
                "internalTrafficPolicy": inside, "externalTrafficPolicy": outside});
            let ends = json!([
                {"addresses": ["10.42.0.5"], "nodeName": "here", "conditions": here},
                {"addresses": ["10.42.1.6"], "nodeName": "there", "conditions": there},
            ]);
            let found = rules(&service(spec), &slice(ends), "here", "10.42.0.0/16");
            for line in found.chains.values().flatten().chain(found.elements.values()) {
                for (word, next) in line.split([' ', ',']).zip(line.split([' ', ',']).skip(1)) {
                    let shared = ["refuse", "discard", "masquerade-later"].contains(&next);
                    if ["goto", "jump"].contains(&word) && !shared {
                        assert!(
                            found.chains.contains_key(next),
                            "{inside} {outside} {here} {there}: {line}"
                        );
                    }
                    if let Some(set) = next.strip_prefix('@') {
                        assert!(
                            found.sets.contains_key(set),
                            "{inside} {outside} {here} {there}: {line}"
                        );
                    }
                }
            }
        }
    }
}
