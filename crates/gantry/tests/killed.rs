//! kill -9 of the whole server at random moments while clients write: every acknowledged write is there afterwards, and
//! revisions never go back. `GANTRY_KILLS` says how often; the store's own harness kills its writer a hundred times.

#[path = "../src/kubeconfig.rs"]
mod kubeconfig;

use gantry_client::resource::CONFIG_MAPS;
use gantry_client::{Client, Error, Https, ListOptions, PatchType};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const KILLS: u32 = 10;
const WRITERS: usize = 8;
/// Each writer's objects.
const OBJECTS: usize = 20;
const NAMESPACE: &str = "default";

/// What is known of an object: the value of its one key, if it exists.
type Known = Option<String>;

/// The last acknowledged state of each object, and what may have come of a write that nobody acknowledged.
#[derive(Default)]
struct Record {
    known: BTreeMap<String, (Known, Option<Known>)>,
    revision: u64,
}

struct Server(Child);

impl Server {
    fn start(data: &Path, port: u16) -> Server {
        let child = Command::new(env!("CARGO_BIN_EXE_gantry"))
            .args(["server", "--disable-agent", "--bind-address", "127.0.0.1"])
            .args(["--https-port", &port.to_string(), "--data-dir"])
            .arg(data)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("gantry starts");
        Server(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().expect("the server can be killed");
        self.0.wait().expect("the server can be waited for");
    }
}

/// A client of the server; waits until that answers.
async fn connect(data: &Path) -> Client {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Ok(access) = kubeconfig::read(&data.join("admin.kubeconfig")) {
            let transport = Https::new(&access.server, &access.ca_pem, access.identity);
            let client = Client::new(Arc::new(transport.expect("a transport")), "killed");
            if client
                .get(&CONFIG_MAPS, NAMESPACE, "kube-root-ca.crt")
                .await
                .is_ok()
            {
                return client;
            }
        }
        assert!(Instant::now() < end, "the server does not answer");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn revision(object: &Value) -> u64 {
    let text = object["metadata"]["resourceVersion"].as_str().unwrap_or("");
    text.parse().unwrap_or_else(|_| panic!("no revision: {object}"))
}

/// Writes until the server does not answer any more.
async fn write(client: Client, writer: usize, round: u32, mut record: Record) -> Record {
    for i in 0.. {
        let name = format!("w{writer}-{}", i % OBJECTS);
        let at = (NAMESPACE, name.as_str());
        let value = format!("{round}-{i}");
        let known = record.known.get(&name).and_then(|(known, _)| known.clone());
        let (wanted, answer): (Known, Result<Value, Error>) = match (known, i % 5) {
            (None, _) => {
                let metadata = json!({"name": name, "namespace": NAMESPACE});
                let map = json!({"metadata": metadata, "data": {"v": value}});
                (Some(value), client.create(&CONFIG_MAPS, &map).await)
            }
            (Some(_), 3) => (None, client.delete(&CONFIG_MAPS, at.0, at.1, &Value::Null).await),
            (Some(_), _) => {
                let patch = json!({"data": {"v": value}});
                let answer = client.patch(&CONFIG_MAPS, at, "", PatchType::Merge, &patch).await;
                (Some(value), answer)
            }
        };
        match answer {
            Ok(object) => {
                if wanted.is_some() {
                    let revision = revision(&object);
                    assert!(
                        revision > record.revision,
                        "{name}: {revision} after {}",
                        record.revision
                    );
                    record.revision = revision;
                }
                record.known.insert(name, (wanted, None));
            }
            Err(Error::Status { message, .. }) => panic!("{name}: {message}"),
            Err(_) => {
                let (known, _) = record.known.remove(&name).unwrap_or_default();
                record.known.insert(name, (known, Some(wanted)));
                break;
            }
        }
    }
    record
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_outlive_the_server() {
    let kills = std::env::var("GANTRY_KILLS").map_or(KILLS, |n| n.parse().expect("GANTRY_KILLS is a number"));
    let data = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    drop(taken);
    let mut records: Vec<Record> = (0..WRITERS).map(|_| Record::default()).collect();
    let mut writes = 0;
    for round in 0..=kills {
        let server = Server::start(data.path(), port);
        let client = connect(data.path()).await;
        let list = client
            .list(&CONFIG_MAPS, NAMESPACE, &ListOptions::default())
            .await;
        let list = list.expect("a list");
        let newest: u64 = list.revision.parse().expect("a revision");
        let found: BTreeMap<&str, &Value> = list
            .items
            .iter()
            .map(|map| (map["metadata"]["name"].as_str().unwrap_or(""), map))
            .collect();
        for record in &mut records {
            assert!(newest >= record.revision, "{newest} after {}", record.revision);
            for (name, (known, maybe)) in &mut record.known {
                let stands = found
                    .get(name.as_str())
                    .map(|map| map["data"]["v"].as_str().unwrap_or("").to_string());
                assert!(
                    stands == *known || Some(&stands) == maybe.as_ref(),
                    "{name} is {stands:?}; acknowledged: {known:?}, not acknowledged: {maybe:?}"
                );
                (*known, *maybe) = (stands, None);
            }
            record.revision = record.revision.max(newest);
        }
        if round == kills {
            break;
        }
        let before: u64 = newest;
        let writers = std::mem::take(&mut records).into_iter().enumerate();
        let writers: Vec<_> = writers
            .map(|(i, record)| tokio::spawn(write(client.clone(), i, round, record)))
            .collect();
        // Spread over the phases of a commit, and of the server's start.
        tokio::time::sleep(Duration::from_micros(u64::from(round * 7919 % 400) * 1000)).await;
        drop(server);
        for writer in writers {
            records.push(writer.await.expect("the writer ended well"));
        }
        writes += records.iter().map(|r| r.revision).max().unwrap_or(before) - before;
    }
    assert!(writes > 0, "nothing was written");
    println!("{kills} kills, {writes} revisions");
}
