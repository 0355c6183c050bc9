//! Query and answer, as CoreDNS's own tests have them where they ask the same.

use super::*;
use serde_json::{Value, json};

/// Services and slices of namespace `testns`.
pub(in crate::dns) fn model() -> Model {
    let mut model = Model::default();
    for namespace in ["testns", "default"] {
        model.namespace_changed(None, Some(&json!({"metadata": {"name": namespace}})));
    }
    let http = json!([{"name": "http", "protocol": "TCP", "port": 80}]);
    let service =
        |name: &str, spec: Value| json!({"metadata": {"namespace": "testns", "name": name}, "spec": spec});
    for (name, spec) in [
        ("svc1", json!({"clusterIPs": ["10.0.0.1"], "ports": http})),
        ("svc6", json!({"clusterIP": "1234:abcd::1", "ports": http})),
        (
            "dual",
            json!({"clusterIPs": ["10.0.0.3", "10::3"], "ports": http}),
        ),
        (
            "two",
            json!({"clusterIPs": ["10.0.0.4"], "ports": [
            {"name": "dns", "protocol": "UDP", "port": 53}, {"name": "dns-tcp", "protocol": "TCP", "port": 53}]}),
        ),
        ("hdls1", json!({"clusterIP": "None", "ports": http})),
        ("hdlsprtls", json!({"clusterIP": "None"})),
        ("unready", json!({"clusterIP": "None", "ports": http})),
        (
            "published",
            json!({"clusterIP": "None", "ports": http, "publishNotReadyAddresses": true}),
        ),
        (
            "external",
            json!({"type": "ExternalName", "externalName": "ext.interwebs.test"}),
        ),
        (
            "external-ip",
            json!({"type": "ExternalName", "externalName": "1.2.3.4"}),
        ),
        (
            "inner",
            json!({"type": "ExternalName", "externalName": "svc1.testns.svc.cluster.local."}),
        ),
        (
            "outer",
            json!({"type": "ExternalName", "externalName": "external.testns.svc.cluster.local"}),
        ),
        (
            "dangling",
            json!({"type": "ExternalName", "externalName": "none.testns.svc.cluster.local"}),
        ),
        (
            "loop",
            json!({"type": "ExternalName", "externalName": "loop.testns.svc.cluster.local"}),
        ),
    ] {
        model.service_changed(None, Some(&service(name, spec)));
    }
    let slice = |name: &str, service: &str, ports: &Value, endpoints: Value| {
        json!({
            "metadata": {"namespace": "testns", "name": name, "labels": {"kubernetes.io/service-name": service}},
            "ports": ports, "endpoints": endpoints,
        })
    };
    let at = |ip: &str| json!({"addresses": [ip]});
    let named = |ip: &str, host: &str| json!({"addresses": [ip], "hostname": host});
    let unready = json!([{"addresses": ["172.0.0.9"], "hostname": "pod-0", "conditions": {"ready": false}}]);
    let hdls = json!([
        at("172.0.0.2"),
        at("172.0.0.3"),
        named("172.0.0.4", "dup"),
        named("172.0.0.5", "dup")
    ]);
    for slice in [
        slice("svc1-a", "svc1", &http, json!([named("172.0.0.1", "ep1a")])),
        slice("hdls1-a", "hdls1", &http, hdls),
        slice(
            "hdls1-b",
            "hdls1",
            &http,
            json!([at("5678:abcd::1"), at("172.0.0.2")]),
        ),
        slice(
            "hdlsprtls-a",
            "hdlsprtls",
            &Value::Null,
            json!([at("172.0.0.20")]),
        ),
        slice("unready-a", "unready", &http, unready.clone()),
        slice("published-a", "published", &http, unready),
    ] {
        model.slice_changed(None, Some(&slice));
    }
    model
}

fn zone() -> Zone {
    Zone::new(
        Name::from_ascii("cluster.local.").unwrap(),
        "10.0.0.10".parse().unwrap(),
    )
}

fn text(found: &Found) -> String {
    let lines = |records: &[Record]| {
        let mut lines: Vec<String> = records
            .iter()
            .map(|r| r.to_string().replace(" IN ", " "))
            .collect();
        lines.sort();
        lines.join("\n")
    };
    match (found.exists, found.answers.is_empty()) {
        (false, _) => "NXDOMAIN".to_string(),
        (true, true) => "NODATA".to_string(),
        (true, false) => {
            let mut text = lines(&found.answers);
            if !found.additionals.is_empty() {
                text = format!("{text}\n+\n{}", lines(&found.additionals));
            }
            if let Some(target) = &found.target {
                text = format!("{text}\n-> {target}");
            }
            text
        }
    }
}

fn ask(query: &str) -> String {
    let (name, type_) = query.split_once(' ').unwrap();
    let name = if name.ends_with('.') {
        name.to_string()
    } else {
        format!("{name}.cluster.local.")
    };
    let name = Name::from_ascii(name).unwrap();
    let (zone, model) = (zone(), model());
    let below = zone.labels_below(&name).expect("in the zone");
    text(&zone.look_up(&model, &name, &below, type_.parse().unwrap()))
}

fn check(query: &str, expected: &[&str]) {
    assert_eq!(
        ask(query)
            .replace("cluster.local.", "CL")
            .lines()
            .collect::<Vec<_>>(),
        expected,
        "{query}"
    );
}

#[test]
fn services() {
    check("svc1.testns.svc A", &["svc1.testns.svc.CL 30 A 10.0.0.1"]);
    check(
        "SvC1.TestNS.svc.Cluster.Local. A",
        &["SvC1.TestNS.svc.Cluster.Local. 30 A 10.0.0.1"],
    );
    check(
        "svc6.testns.svc AAAA",
        &["svc6.testns.svc.CL 30 AAAA 1234:abcd::1"],
    );
    check("dual.testns.svc A", &["dual.testns.svc.CL 30 A 10.0.0.3"]);
    check("dual.testns.svc AAAA", &["dual.testns.svc.CL 30 AAAA 10::3"]);
    check("two.testns.svc A", &["two.testns.svc.CL 30 A 10.0.0.4"]);
    check(
        "_http._tcp.svc1.testns.svc A",
        &["_http._tcp.svc1.testns.svc.CL 30 A 10.0.0.1"],
    );
    for type_ in ["AAAA", "TXT", "CNAME", "SOA", "NS", "MX", "HTTPS", "PTR"] {
        check(&format!("svc1.testns.svc {type_}"), &["NODATA"]);
    }
}

#[test]
fn ports() {
    let one = "SRV 0 100 80 svc1.testns.svc.CL";
    let extra = "svc1.testns.svc.CL 30 A 10.0.0.1";
    check(
        "svc1.testns.svc SRV",
        &[&format!("svc1.testns.svc.CL 30 {one}"), "+", extra],
    );
    check(
        "_http._tcp.svc1.testns.svc SRV",
        &[&format!("_http._tcp.svc1.testns.svc.CL 30 {one}"), "+", extra],
    );
    let dual = "dual.testns.svc.CL";
    check(
        "dual.testns.svc SRV",
        &[
            &format!("{dual} 30 SRV 0 50 80 {dual}"),
            "+",
            &format!("{dual} 30 A 10.0.0.3"),
            &format!("{dual} 30 AAAA 10::3"),
        ],
    );
    check(
        "_dns._udp.two.testns.svc SRV",
        &[
            "_dns._udp.two.testns.svc.CL 30 SRV 0 100 53 two.testns.svc.CL",
            "+",
            "two.testns.svc.CL 30 A 10.0.0.4",
        ],
    );
    check("_dns._tcp.two.testns.svc SRV", &["NXDOMAIN"]);
    check("_x._http._tcp.svc1.testns.svc SRV", &["NXDOMAIN"]);
    let owner = "_http._tcp.hdls1.testns.svc.CL";
    let host = |label: &str| format!("{label}.hdls1.testns.svc.CL");
    check(
        "_http._tcp.hdls1.testns.svc SRV",
        &[
            &format!("{owner} 30 SRV 0 16 80 {}", host("172-0-0-2")),
            &format!("{owner} 30 SRV 0 16 80 {}", host("172-0-0-3")),
            &format!("{owner} 30 SRV 0 16 80 {}", host("5678-abcd--1")),
            &format!("{owner} 30 SRV 0 16 80 {}", host("dup")),
            "+",
            &format!("{} 30 A 172.0.0.2", host("172-0-0-2")),
            &format!("{} 30 A 172.0.0.3", host("172-0-0-3")),
            &format!("{} 30 AAAA 5678:abcd::1", host("5678-abcd--1")),
            &format!("{} 30 A 172.0.0.4", host("dup")),
            &format!("{} 30 A 172.0.0.5", host("dup")),
        ],
    );
    check("hdlsprtls.testns.svc SRV", &["NODATA"]);
}

#[test]
fn endpoints() {
    let all: Vec<String> = (2..6)
        .map(|i| format!("hdls1.testns.svc.CL 30 A 172.0.0.{i}"))
        .collect();
    check(
        "hdls1.testns.svc A",
        &all.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    check(
        "hdls1.testns.svc AAAA",
        &["hdls1.testns.svc.CL 30 AAAA 5678:abcd::1"],
    );
    check(
        "hdlsprtls.testns.svc A",
        &["hdlsprtls.testns.svc.CL 30 A 172.0.0.20"],
    );
    check("hdlsprtls.testns.svc AAAA", &["NODATA"]);
    check(
        "172-0-0-3.hdls1.testns.svc A",
        &["172-0-0-3.hdls1.testns.svc.CL 30 A 172.0.0.3"],
    );
    check(
        "172-0-0-20.hdlsprtls.testns.svc A",
        &["172-0-0-20.hdlsprtls.testns.svc.CL 30 A 172.0.0.20"],
    );
    check(
        "5678-abcd--1.hdls1.testns.svc AAAA",
        &["5678-abcd--1.hdls1.testns.svc.CL 30 AAAA 5678:abcd::1"],
    );
    check(
        "DUP.hdls1.testns.svc A",
        &[
            "DUP.hdls1.testns.svc.CL 30 A 172.0.0.4",
            "DUP.hdls1.testns.svc.CL 30 A 172.0.0.5",
        ],
    );
    check("dup.hdls1.testns.svc AAAA", &["NODATA"]);
    check("172-0-0-4.hdls1.testns.svc A", &["NXDOMAIN"]);
    check("*.hdls1.testns.svc A", &["NXDOMAIN"]);
    check(
        "ep1a.svc1.testns.svc A",
        &["ep1a.svc1.testns.svc.CL 30 A 172.0.0.1"],
    );
    check("unready.testns.svc A", &["NXDOMAIN"]);
    check("pod-0.unready.testns.svc A", &["NXDOMAIN"]);
    check(
        "published.testns.svc A",
        &["published.testns.svc.CL 30 A 172.0.0.9"],
    );
    check(
        "pod-0.published.testns.svc A",
        &["pod-0.published.testns.svc.CL 30 A 172.0.0.9"],
    );
}

#[test]
fn aliases() {
    let to = |name: &str, target: &str| format!("{name}.testns.svc.CL 30 CNAME {target}");
    let outside = to("external", "ext.interwebs.test.");
    check("external.testns.svc CNAME", &[&outside]);
    check("external.testns.svc A", &[&outside, "-> ext.interwebs.test."]);
    check("external.testns.svc AAAA", &[&outside, "-> ext.interwebs.test."]);
    check("external.testns.svc SRV", &["NODATA"]);
    check("external.testns.svc TXT", &["NODATA"]);
    check("endpoint.external.testns.svc CNAME", &["NXDOMAIN"]);
    check("_http._tcp.external.testns.svc SRV", &["NXDOMAIN"]);
    check("external-ip.testns.svc A", &["NXDOMAIN"]);
    check(
        "inner.testns.svc A",
        &[
            &to("inner", "svc1.testns.svc.CL"),
            "svc1.testns.svc.CL 30 A 10.0.0.1",
        ],
    );
    check("inner.testns.svc AAAA", &["NODATA"]);
    check(
        "outer.testns.svc A",
        &[
            &outside,
            &to("outer", "external.testns.svc.CL"),
            "-> ext.interwebs.test.",
        ],
    );
    check("dangling.testns.svc A", &["NODATA"]);
    check("loop.testns.svc A", &["NODATA"]);
}

#[test]
fn branches() {
    for name in [
        "",
        "svc.",
        "pod.",
        "dns.",
        "testns.svc.",
        "testns.pod.",
        "dns-version.",
    ] {
        check(&format!("{name}cluster.local. A"), &["NODATA"]);
    }
    for name in [
        "x",
        "none.svc",
        "none.pod",
        "svc0.testns.svc",
        "svc1.none.svc",
        "x.y.z",
        "a.ns.dns",
        "*.svc",
    ] {
        for type_ in ["A", "AAAA", "TXT", "SRV", "NS", "SOA", "CNAME"] {
            check(&format!("{name} {type_}"), &["NXDOMAIN"]);
        }
    }
    check("dns-version TXT", &["dns-version.CL 28800 TXT 1.1.0"]);
    check("ns.dns A", &["ns.dns.CL 30 A 10.0.0.10"]);
    check("ns.dns AAAA", &["NODATA"]);
    check(
        "cluster.local. NS",
        &["CL 30 NS ns.dns.CL", "+", "ns.dns.CL 30 A 10.0.0.10"],
    );
    let soa = ask("cluster.local. SOA");
    // The serial is the clock's.
    let words: Vec<&str> = soa
        .split(' ')
        .enumerate()
        .filter(|(i, _)| *i != 5)
        .map(|(_, w)| w)
        .collect();
    let expected = "cluster.local. 30 SOA ns.dns.cluster.local. hostmaster.cluster.local. 7200 1800 86400 30";
    assert_eq!(words.join(" "), expected);
}

#[test]
fn pods() {
    check(
        "10-240-0-1.testns.pod A",
        &["10-240-0-1.testns.pod.CL 30 A 10.240.0.1"],
    );
    check("10-240-0-1.testns.pod AAAA", &["NODATA"]);
    check(
        "fd00--1.testns.pod AAAA",
        &["fd00--1.testns.pod.CL 30 AAAA fd00::1"],
    );
    check("10-240-0-1.none.pod A", &["NXDOMAIN"]);
    check("blah.testns.pod A", &["NXDOMAIN"]);
    check("x.10-240-0-1.testns.pod A", &["NXDOMAIN"]);
    check("10-240-0-256.testns.pod A", &["NXDOMAIN"]);
}

#[test]
fn pointers() {
    let check = |ip: &str, expected: &[&str]| {
        let name = Name::from(ip.parse::<IpAddr>().unwrap());
        let records = zone().pointers(&model(), &name, ip.parse().unwrap());
        let targets: Vec<String> = records.iter().map(|r| r.data.to_string()).collect();
        assert_eq!(
            targets,
            expected
                .iter()
                .map(|e| format!("{e}.testns.svc.cluster.local."))
                .collect::<Vec<_>>()
        );
    };
    check("10.0.0.1", &["svc1"]);
    check("10::3", &["dual"]);
    check("172.0.0.1", &["ep1a.svc1"]);
    check("172.0.0.2", &["172-0-0-2.hdls1"]);
    check("172.0.0.4", &["dup.hdls1"]);
    check("172.0.0.9", &["pod-0.published"]);
    check("5678:abcd::1", &["5678-abcd--1.hdls1"]);
    check("192.0.2.1", &[]);
}

#[test]
fn names_of_other_zones() {
    let below = |name: &str| zone().labels_below(&Name::from_ascii(name).unwrap());
    assert_eq!(below("example.com."), None);
    assert_eq!(below("local."), None);
    assert_eq!(below("xcluster.local."), None);
    assert_eq!(
        below("a.b.CLUSTER.local."),
        Some(vec!["a".to_string(), "b".to_string()])
    );
}
