use super::*;
use crate::request::Served;
use gantry_store::{Memory, RangeRequest};

struct Bench {
    allocator: Arc<Allocator>,
    registry: Registry,
}

impl Bench {
    async fn new(range: &str) -> Bench {
        let registry = Registry::new(Arc::new(Memory::new()));
        Bench::over(registry, range).await
    }

    async fn over(registry: Registry, range: &str) -> Bench {
        let kinds = Served::new(gantry_api::kinds::builtin()).now();
        ensure_default_cidr(&registry, &kinds, Range::any(range).unwrap())
            .await
            .unwrap();
        let allocator = Allocator::start(&registry, &kinds).await.unwrap();
        Bench { allocator, registry }
    }

    async fn begin(&self, service: &mut Value, old: Option<&Value>) -> Result<Reservation, Status> {
        self.allocator.begin(service, old, false).await
    }

    /// Takes what a Service asks for, as a write that succeeds.
    async fn take(&self, service: &mut Value, old: Option<&Value>) {
        self.begin(service, old).await.unwrap().keep().await;
    }

    async fn refusal(&self, uid: &str, spec: Value) -> String {
        let refused = self.begin(&mut service(uid, spec), None).await;
        refused.err().unwrap().message
    }

    /// The IPAddresses there are, and the Services they are of.
    async fn recorded(&self) -> Vec<String> {
        let request = RangeRequest::all(b"/registry/ipaddresses/");
        let found = self.registry.store().range(request).await.unwrap();
        let of = |entry| {
            let object = crate::stored::decode(entry).unwrap();
            let parent = object["spec"]["parentRef"]["name"].as_str().unwrap().to_string();
            format!("{} {parent}", meta::name(&object))
        };
        found.entries.iter().map(of).collect()
    }

    /// Waits until the IPAddresses are these: what a failed write had goes a moment later.
    async fn expect(&self, expected: &[&str]) {
        for _ in 0..100 {
            if self.recorded().await == expected {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(self.recorded().await, expected);
    }
}

fn service(uid: &str, spec: Value) -> Value {
    json!({"metadata": {"name": uid, "namespace": "default", "uid": uid}, "spec": spec})
}

#[tokio::test]
async fn what_is_taken_is_not_given_again() {
    let bench = Bench::new("10.0.0.0/29").await;
    let mut kept = Vec::new();
    for uid in ["a", "b", "c", "d", "e", "f"] {
        let mut service = service(uid, json!({"type": "ClusterIP"}));
        bench.take(&mut service, None).await;
        kept.push(service["spec"]["clusterIP"].as_str().unwrap().to_string());
    }
    kept.sort();
    kept.dedup();
    assert_eq!(kept.len(), 6);
    assert_eq!(
        bench.refusal("g", json!({"type": "ClusterIP"})).await,
        "Internal error occurred: failed to allocate a serviceIP for Service \"g\": range is full"
    );
}

#[tokio::test]
async fn a_failed_write_gives_back() {
    let bench = Bench::new("10.0.0.0/24").await;
    let spec =
        json!({"type": "NodePort", "clusterIP": "10.0.0.9", "ports": [{"port": 1, "nodePort": 30001}]});
    drop(bench.begin(&mut service("a", spec.clone()), None).await.unwrap());
    bench.expect(&[]).await;
    bench.take(&mut service("b", spec.clone()), None).await;
    bench.expect(&["10.0.0.9 b"]).await;
    let check = async |spec: Value, expected: &str| {
        let why = bench.refusal("c", spec).await;
        assert!(why.contains(expected), "{why}");
    };
    check(
        spec,
        "spec.clusterIPs: Invalid value: [\"10.0.0.9\"]: failed to allocate IP 10.0.0.9: provided IP is already allocated",
    )
    .await;
    let ports = json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": 30001}]});
    check(
        ports,
        "spec.ports[0].nodePort: Invalid value: 30001: provided port is already",
    )
    .await;
    for outside in ["10.0.1.1", "10.0.0.0", "10.0.0.255"] {
        let why =
            format!("failed to allocate IP {outside}: the provided network does not match the current range");
        check(json!({"type": "ClusterIP", "clusterIP": outside}), &why).await;
    }
    bench.expect(&["10.0.0.9 b"]).await;
}

#[tokio::test]
async fn an_update_keeps_what_it_leaves_out() {
    let bench = Bench::new("10.0.0.0/24").await;
    let port = |port: u32, protocol: &str| json!({"port": port, "protocol": protocol});
    let mut old = service(
        "a",
        json!({"type": "NodePort", "ports": [port(53, "TCP"), port(53, "UDP"), port(80, "TCP")]}),
    );
    bench.take(&mut old, None).await;
    let ports = |service: &Value, i: usize| service["spec"]["ports"][i]["nodePort"].as_u64().unwrap();
    assert_eq!(ports(&old, 0), ports(&old, 1));
    let mut new = service("a", json!({"type": "NodePort", "ports": [port(80, "TCP")]}));
    bench.take(&mut new, Some(&old)).await;
    assert_eq!(new["spec"]["clusterIP"], old["spec"]["clusterIP"]);
    assert_eq!(ports(&new, 0), ports(&old, 2));
    let port = Item::Port(u16::try_from(ports(&old, 0)).unwrap());
    assert_eq!(
        bench.allocator.shared.lock().owner(port),
        None,
        "the port that is no longer used is given back"
    );
}

#[tokio::test]
async fn an_address_goes_with_its_service() {
    let bench = Bench::new("10.0.0.0/24").await;
    let mut old = service("a", json!({"type": "ClusterIP", "clusterIP": "10.0.0.9"}));
    bench.take(&mut old, None).await;
    bench.expect(&["10.0.0.9 a"]).await;
    let mut new = service(
        "a",
        json!({"type": "ExternalName", "externalName": "example.com"}),
    );
    bench.take(&mut new, Some(&old)).await;
    assert_eq!(bench.recorded().await, [""; 0]);
    let mut other = service("b", json!({"type": "ClusterIP", "clusterIP": "10.0.0.9"}));
    bench.take(&mut other, None).await;
    bench.allocator.release(&other).await;
    assert_eq!(bench.recorded().await, [""; 0]);
    let mut dry = service("c", json!({"type": "ClusterIP", "clusterIP": "10.0.0.9"}));
    drop(bench.allocator.begin(&mut dry, None, true).await.unwrap());
    assert_eq!(bench.recorded().await, [""; 0]);
}

#[tokio::test]
async fn two_servers_give_no_address_twice() {
    let one = Bench::new("10.0.0.0/29").await;
    let other = Bench::over(one.registry.clone(), "10.0.0.0/29").await;
    let mut all = HashSet::new();
    for i in 0..3 {
        let of = |name: &str| service(&format!("{name}{i}"), json!({"type": "ClusterIP"}));
        let (mut a, mut b) = (of("a"), of("b"));
        let (first, second) = tokio::join!(one.begin(&mut a, None), other.begin(&mut b, None));
        first.unwrap().keep().await;
        second.unwrap().keep().await;
        // Who changes it asks a server that may not have heard of it yet.
        other.take(&mut a.clone(), Some(&a)).await;
        all.extend([a, b].map(|service| service["spec"]["clusterIP"].as_str().unwrap().to_string()));
    }
    assert_eq!(all.len(), 6);
    assert_eq!(one.recorded().await.len(), 6);
    let taken = all.iter().next().unwrap();
    let given = json!({"type": "ClusterIP", "clusterIP": taken});
    let why = other.refusal("c", given).await;
    assert!(why.ends_with("provided IP is already allocated"), "{why}");
}

#[tokio::test]
async fn what_does_not_agree_is_repaired() {
    let bench = Bench::new("10.0.0.0/24").await;
    let store = bench.registry.store().clone();
    let put = async |key: &str, object: Value| {
        let bytes = object.to_string();
        store
            .put(key.to_string().into(), bytes.into(), None)
            .await
            .unwrap();
    };
    let stored = |name: &str, address: &str| {
        let mut service = service(
            name,
            json!({"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address]}),
        );
        (service["apiVersion"], service["kind"]) = ("v1".into(), "Service".into());
        service
    };
    let object = |address: &str, of: &str, created: &str, managed: bool| {
        let mut labels = json!({"ipaddress.kubernetes.io/ip-family": "IPv4"});
        if managed {
            labels["ipaddress.kubernetes.io/managed-by"] = "ipallocator.k8s.io".into();
        }
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
            "metadata": {"name": address, "uid": address, "creationTimestamp": created, "labels": labels},
            "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": of}},
        })
    };
    let (long_ago, now) = ("2020-01-01T00:00:00Z", meta::now());
    put(
        "/registry/services/specs/default/lacks",
        stored("lacks", "10.0.0.1"),
    )
    .await;
    put("/registry/services/specs/default/has", stored("has", "10.0.0.2")).await;
    put(
        "/registry/services/specs/default/outside",
        stored("outside", "10.9.0.2"),
    )
    .await;
    let place = |address: &str| format!("/registry/ipaddresses/{address}");
    let all = [
        ("10.0.0.2", "gone", long_ago, true),
        ("10.0.0.3", "gone", long_ago, true),
        ("10.0.0.4", "coming", &now, true),
        ("10.0.0.5", "gone", long_ago, false),
        ("10.0.0.6", "has", long_ago, true),
    ];
    for (address, of, created, managed) in all {
        put(&place(address), object(address, of, created, managed)).await;
    }
    bench.allocator.repair().await.unwrap();
    bench
        .expect(&[
            "10.0.0.1 lacks",
            "10.0.0.2 has",
            "10.0.0.4 coming",
            "10.0.0.5 gone",
        ])
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_write_that_nobody_waits_for_may_have_succeeded() {
    let bench = Bench::new("10.0.0.0/24").await;
    let spec = json!({"type": "ClusterIP", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"]});
    let store = bench.registry.store().clone();
    let abandon = async |name: &str, stored: bool| {
        let mut object = service(name, spec.clone());
        let reservation = bench.begin(&mut object, None).await.unwrap();
        (object["apiVersion"], object["kind"]) = ("v1".into(), "Service".into());
        let write = async {
            if stored {
                let key = format!("/registry/services/specs/default/{name}");
                store
                    .put(key.into(), object.to_string().into(), None)
                    .await
                    .unwrap();
            }
            std::future::pending::<Result<(), Status>>().await
        };
        let waiting = settle(Some(reservation), write);
        assert!(
            tokio::time::timeout(Duration::from_secs(1), waiting)
                .await
                .is_err()
        );
    };
    abandon("lost", false).await;
    assert_eq!(bench.recorded().await, ["10.0.0.9 lost"], "not known yet");
    tokio::time::sleep(SETTLED * 2).await;
    assert_eq!(bench.recorded().await, [""; 0]);
    abandon("kept", true).await;
    tokio::time::sleep(SETTLED * 2).await;
    assert_eq!(bench.recorded().await, ["10.0.0.9 kept"]);
    let given = json!({"type": "ClusterIP", "clusterIP": "10.0.0.9"});
    assert!(bench.refusal("other", given).await.ends_with("already allocated"));
}
