//! Services' addresses as objects: ServiceCIDRs say which there are, IPAddresses whose they are.

mod common;

use gantry_apiserver::services::Range;
use gantry_apiserver::{Config, Server};
use gantry_auth::{AUTHENTICATED, MASTERS, User};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::{Memory, Store};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;

const SERVICES: &str = "/api/v1/namespaces/default/services";
const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";
const CIDRS: &str = "/apis/networking.k8s.io/v1/servicecidrs";

struct Bench {
    server: Server,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn over(store: Arc<dyn Store>) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &ServerNames::default()).unwrap();
        let config = Config {
            service_range: Range::parse("10.43.0.0/24").unwrap(),
            ..common::config(&pki)
        };
        let server = Server::new(store, config).await.unwrap();
        Bench {
            server,
            _folder: folder,
        }
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let root = User::new("root", &[MASTERS, AUTHENTICATED]);
        let accept = match path.contains("table") {
            true => "application/json;as=Table;g=meta.k8s.io;v=v1",
            false => "application/json",
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("accept", accept)
            .header("content-type", "application/json");
        let request = request.body(body.to_string().into()).unwrap();
        let response = self.server.local(root).send(request).await;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&bytes).unwrap())
    }

    async fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let (code, answer) = self.send(method, path, body).await;
        assert!(code < 300, "{method} {path}: {answer}");
        answer
    }

    /// The addresses there are, and whose they are, as kubectl shows them.
    async fn addresses(&self) -> Vec<String> {
        let table = self
            .done("GET", &format!("{ADDRESSES}?table"), &Value::Null)
            .await;
        let rows = table["rows"].as_array().unwrap().iter();
        rows.map(|row| {
            let cell = |i: usize| row["cells"][i].as_str().unwrap().to_string();
            format!("{} {}", cell(0), cell(1))
        })
        .collect()
    }
}

fn service(name: &str, spec: Value) -> Value {
    let mut service = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
    for (field, value) in spec.as_object().unwrap() {
        service["spec"][field] = value.clone();
    }
    service
}

#[tokio::test]
async fn every_address_has_its_object() {
    let bench = Bench::over(Arc::new(Memory::new())).await;
    let own = "10.43.0.1 services/default/kubernetes";
    assert_eq!(bench.addresses().await, [own]);
    let object = bench
        .done("GET", &format!("{ADDRESSES}/10.43.0.1"), &Value::Null)
        .await;
    assert_eq!(
        object["metadata"]["labels"],
        json!({"ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"})
    );
    let asked = service("a", json!({"clusterIP": "10.43.0.9"}));
    bench
        .done("POST", &format!("{SERVICES}?dryRun=All"), &asked)
        .await;
    assert_eq!(bench.addresses().await, [own]);
    bench.done("POST", SERVICES, &asked).await;
    assert_eq!(bench.addresses().await, [own, "10.43.0.9 services/default/a"]);
    // What it frees can be had again at once.
    for _ in 0..20 {
        bench.done("DELETE", &format!("{SERVICES}/a"), &json!({})).await;
        assert_eq!(bench.addresses().await, [own]);
        bench.done("POST", SERVICES, &asked).await;
    }
    // An address that someone else has noted is not given to a Service.
    let parent = json!({"resource": "gateways", "group": "example.com", "namespace": "default", "name": "g"});
    let noted = json!({"metadata": {"name": "10.43.0.10"}, "spec": {"parentRef": parent}});
    bench.done("POST", ADDRESSES, &noted).await;
    let (code, status) = bench
        .send(
            "POST",
            SERVICES,
            &service("b", json!({"clusterIP": "10.43.0.10"})),
        )
        .await;
    assert_eq!(
        (code, status["message"].as_str().unwrap()),
        (
            422,
            "Service \"b\" is invalid: spec.clusterIPs: Invalid value: [\"10.43.0.10\"]: failed to allocate IP \
             10.43.0.10: provided IP is already allocated"
        )
    );
}

#[tokio::test]
async fn service_cidrs_say_which_addresses_there_are() {
    let bench = Bench::over(Arc::new(Memory::new())).await;
    let default = bench
        .done("GET", &format!("{CIDRS}/kubernetes"), &Value::Null)
        .await;
    assert_eq!(default["spec"]["cidrs"], json!(["10.43.0.0/24"]));
    let condition = &default["status"]["conditions"][0];
    assert_eq!(condition["type"], "Ready");
    assert_eq!(condition["message"], "Kubernetes default Service CIDR is ready");

    let asked = service("a", json!({"clusterIP": "10.44.0.9"}));
    let (code, status) = bench.send("POST", SERVICES, &asked).await;
    let why = status["message"].as_str().unwrap();
    assert_eq!(code, 422);
    assert!(
        why.ends_with("the provided network does not match the current range"),
        "{why}"
    );
    let more = json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["10.44.0.0/28"]}});
    bench.done("POST", CIDRS, &more).await;
    let mut last = Value::Null;
    for _ in 0..100 {
        let (code, answer) = bench.send("POST", SERVICES, &asked).await;
        if code == 201 {
            assert_eq!(bench.addresses().await[1], "10.44.0.9 services/default/a");
            return;
        }
        last = answer;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the address cannot be had: {last}");
}

#[tokio::test]
async fn a_new_start_finds_what_was_taken() {
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let asked = service("a", json!({"type": "NodePort", "clusterIP": "10.43.0.9"}));
    Bench::over(store.clone())
        .await
        .done("POST", SERVICES, &asked)
        .await;
    let name = "/registry/ipaddresses/10.43.0.9";
    store.delete(name.into(), None).await.unwrap();
    let bench = Bench::over(store).await;
    assert_eq!(bench.addresses().await[1], "10.43.0.9 services/default/a");
    let (code, _) = bench
        .send("POST", SERVICES, &service("b", json!({"clusterIP": "10.43.0.9"})))
        .await;
    assert_eq!(code, 422);
}
