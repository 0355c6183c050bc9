//! A cluster without nodes: the API server in memory and all controllers on it.

use gantry_api::meta;
use gantry_apiserver::services::Range;
use gantry_apiserver::{Server, TlsFiles};
use gantry_auth::{MASTERS, User};
use gantry_client::resource::PODS;
use gantry_client::{Client, Informers, PatchType, Resource};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_controllers::{Config, Controllers};
use gantry_store::Memory;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// What does not come about within this time never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running cluster.
pub struct Cluster {
    pub client: Client,
    informers: Informers,
    _controllers: Controllers,
    _folder: tempfile::TempDir,
}

impl Cluster {
    pub async fn start(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &ServerNames::default()).unwrap();
        let identity = pki.server();
        let server = Server::new(
            Arc::new(Memory::new()),
            gantry_apiserver::Config {
                tls: TlsFiles {
                    certificate: &identity.certificate_pem,
                    key: &identity.key_pem,
                    client_ca: pki.ca_pem(),
                },
                service_account_key: pki.service_account_key_pem(),
                service_range: Range::parse("10.43.0.0/16").unwrap(),
                advertise: ([192, 0, 2, 1].into(), 6443),
                cluster_domain: "cluster.local",
                external_address: "127.0.0.1:6443".into(),
                join_token: None,
                kubelet_client: None,
            },
        );
        let server = server.await.unwrap();
        let local = server.local(User::new("system:gantry", &[MASTERS]));
        let client = local.client("test");
        let informers = Informers::new(client.clone());
        let config = Config {
            tokens: Some(server.tokens()),
            cluster_ca_pem: "an authority".into(),
            ..config
        };
        let controllers = gantry_controllers::start(client.clone(), informers.clone(), config);
        Cluster {
            client,
            informers,
            _controllers: controllers,
            _folder: folder,
        }
    }

    pub async fn create(&self, resource: &Resource, object: Value) -> Value {
        match self.client.create(resource, &object).await {
            Ok(created) => created,
            Err(error) => panic!("{object} cannot be created: {error}"),
        }
    }

    /// Waits until an object is as `wanted` says; it gets null for one that is not there. Returns the object.
    pub async fn until(&self, resource: &Resource, key: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let informer = self.informers.of(resource);
        let changed = Arc::new(Notify::new());
        let notify = changed.clone();
        informer.on_change(move |_| notify.notify_one());
        let look = async {
            informer.synced().await;
            loop {
                let object = informer.get_key(key).map(|o| (*o).clone()).unwrap_or_default();
                if wanted(&object) {
                    return object;
                }
                changed.notified().await;
            }
        };
        match tokio::time::timeout(PATIENCE, look).await {
            Ok(object) => object,
            Err(_) => panic!("{} {key} is still {:?}", resource.kind, informer.get_key(key)),
        }
    }

    /// Waits until some object of a resource is as `wanted` says.
    pub async fn until_any(&self, resource: &Resource, wanted: impl Fn(&Value) -> bool) -> Value {
        let informer = self.informers.of(resource);
        let changed = Arc::new(Notify::new());
        let notify = changed.clone();
        informer.on_change(move |_| notify.notify_one());
        let look = async {
            loop {
                if let Some(object) = informer.list().into_iter().find(|o| wanted(o)) {
                    return (*object).clone();
                }
                changed.notified().await;
            }
        };
        match tokio::time::timeout(PATIENCE, look).await {
            Ok(object) => object,
            Err(_) => panic!("none of these: {:#?}", informer.list()),
        }
    }
}

impl Cluster {
    /// Stands in for nodes: pods whose image `runs` become ready, and those that are deleted end at once.
    pub fn run_pods(&self, runs: fn(&str) -> bool) {
        let (send, mut pods) = tokio::sync::mpsc::unbounded_channel();
        self.informers.of(&PODS).on_change(move |change| {
            // Nobody listens once the test is over.
            let _ = change.new.map(|pod| send.send(pod.clone()));
        });
        let client = self.client.clone();
        tokio::spawn(async move {
            while let Some(pod) = pods.recv().await {
                let at = (meta::namespace(&pod), meta::name(&pod));
                let done = if meta::is_deleting(&pod) {
                    client
                        .delete(&PODS, at.0, at.1, &json!({"gracePeriodSeconds": 0}))
                        .await
                } else if pod["status"]["phase"] == "Pending"
                    && runs(pod["spec"]["containers"][0]["image"].as_str().unwrap_or(""))
                {
                    let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
                    let patch = json!({"status": {"phase": "Running", "conditions": [ready]}});
                    client
                        .patch(&PODS, at, "status", PatchType::Strategic, &patch)
                        .await
                } else {
                    continue;
                };
                assert!(
                    done.as_ref().is_ok() || done.as_ref().is_err_and(|e| e.is_not_found()),
                    "{done:?}"
                );
            }
        });
    }
}
