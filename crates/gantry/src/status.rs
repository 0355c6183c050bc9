//! `gantry status`: whether this machine's cluster works, and waiting until it does.

use crate::kubeconfig::{self, KubeconfigError};
use gantry_client::resource::{NODES, SERVICES};
use gantry_client::{Client, Https, ListOptions};
use http::Method;
use serde_json::Value;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

/// Options of `gantry status`.
#[derive(clap::Args)]
pub struct Options {
    /// Where the cluster's data lives.
    #[arg(long, default_value = "/var/lib/gantry")]
    data_dir: PathBuf,
    /// Waits so many seconds for all to be ready.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=3600))]
    wait: u64,
    /// The cluster has no node: only its API is looked at.
    #[arg(long)]
    disable_agent: bool,
}

/// Why the cluster does not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig is not there, or unusable.
    #[error("{0}; is gantry running? see --data-dir")]
    Kubeconfig(#[from] KubeconfigError),
    /// The kubeconfig's certificates are unusable.
    #[error(transparent)]
    Transport(#[from] gantry_client::TransportError),
    /// The API server does not answer, or refuses.
    #[error(transparent)]
    Api(#[from] gantry_client::Error),
    /// A part is not ready.
    #[error("{0}")]
    NotReady(String),
    /// The system refused threads.
    #[error("the runtime could not start: {0}")]
    Runtime(std::io::Error),
}

/// How often is looked while waiting, and how long one look may take.
const LOOK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs the command: a line for each part that is ready, and an error for the first that is not.
pub fn run(options: Options) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let began = Instant::now();
    let mut parts = vec![Part::Api];
    if !options.disable_agent {
        parts.extend([Part::Nodes, Part::Dns]);
    }
    runtime.block_on(async {
        for part in parts {
            loop {
                let found = match tokio::time::timeout(PATIENCE, part.look(&options)).await {
                    Ok(found) => found,
                    Err(_) => Err(Error::NotReady(format!("no answer within {PATIENCE:?}"))),
                };
                match found {
                    Ok(text) => {
                        println!("{text} ({} ms)", began.elapsed().as_millis());
                        break;
                    }
                    Err(error) if began.elapsed().as_secs() >= options.wait => return Err(error),
                    Err(_) => tokio::time::sleep(LOOK).await,
                }
            }
        }
        Ok(())
    })
}

/// What has to be ready, in the order it comes up.
#[derive(Clone, Copy)]
enum Part {
    Api,
    Nodes,
    Dns,
}

impl Part {
    /// What to say of it when it is ready.
    async fn look(self, options: &Options) -> Result<String, Error> {
        let access = kubeconfig::read(&options.data_dir.join("admin.kubeconfig"))?;
        let transport = Https::new(&access.server, &access.ca_pem, access.identity)?;
        let client = Client::new(Arc::new(transport), "gantry-status");
        match self {
            Part::Api => {
                let version = client.raw(Method::GET, "/version", None).await?;
                let version = version["gitVersion"].as_str().unwrap_or("unknown");
                Ok(format!("the API answers at {}: {version}", access.server))
            }
            Part::Nodes => {
                let nodes = client.list(&NODES, "", &ListOptions::default()).await?.items;
                if let Some(node) = nodes.iter().find(|n| !is_ready(n)) {
                    return Err(Error::NotReady(format!("node {} is not ready", name(node))));
                }
                let names: Vec<&str> = nodes.iter().map(name).collect();
                match names.is_empty() {
                    true => Err(Error::NotReady("there is no node".into())),
                    false => Ok(format!("ready nodes: {}", names.join(", "))),
                }
            }
            Part::Dns => {
                let dns = client.get(&SERVICES, "kube-system", "kube-dns").await?;
                let api = client.get(&SERVICES, "default", "kubernetes").await?;
                let (dns, api) = (cluster_ip(&dns), cluster_ip(&api));
                match (dns, api) {
                    (Some(dns), Some(api)) if knows(dns, api).await => Ok(format!("DNS answers at {dns}")),
                    _ => Err(Error::NotReady("the cluster's DNS does not answer".into())),
                }
            }
        }
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or("")
}

fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn cluster_ip(service: &Value) -> Option<Ipv4Addr> {
    service["spec"]["clusterIP"].as_str()?.parse().ok()
}

/// Whether a name server knows the name of an address.
async fn knows(server: Ipv4Addr, address: Ipv4Addr) -> bool {
    let ask = async {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        socket.connect((server, 53)).await?;
        socket.send(&question(address)).await?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).await?;
        Ok::<bool, std::io::Error>(is_known(&answer[..length]))
    };
    matches!(tokio::time::timeout(PATIENCE / 2, ask).await, Ok(Ok(true)))
}

/// A DNS question for the name of an address (RFC 1035, 4.1 and 3.5).
fn question(address: Ipv4Addr) -> Vec<u8> {
    let mut message = vec![0x67, 0x61, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let [a, b, c, d] = address.octets().map(|part| part.to_string());
    for label in [&d, &c, &b, &a, "in-addr", "arpa"] {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    // The root, type PTR, class IN.
    message.extend_from_slice(&[0, 0, 12, 0, 1]);
    message
}

/// Whether an answer to [`question`] has a record.
fn is_known(answer: &[u8]) -> bool {
    let [0x67, 0x61, flags, code, _, _, high, low, ..] = answer else {
        return false;
    };
    flags & 0x80 != 0 && code & 0x0f == 0 && u16::from_be_bytes([*high, *low]) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers() {
        let question = question(Ipv4Addr::new(10, 43, 0, 1));
        assert_eq!(
            &question[12..],
            b"\x011\x010\x0243\x0210\x07in-addr\x04arpa\0\0\x0c\0\x01"
        );
        let check = |flags: [u8; 2], records: u8, expected: bool| {
            let answer = [&[0x67, 0x61], &flags[..], &[0, 1, 0, records, 0, 0, 0, 0]].concat();
            assert_eq!(is_known(&answer), expected, "{answer:?}");
        };
        check([0x84, 0], 1, true);
        check([0x84, 0], 0, false);
        check([0x84, 2], 1, false);
        check([0x04, 0], 1, false);
        assert!(!is_known(&[0x67]));
    }
}
