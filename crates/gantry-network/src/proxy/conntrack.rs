//! Makes the kernel forget flows that lead to endpoints that are gone. TCP finds out by itself; a UDP client that keeps
//! its port would be led there for as long as it sends.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::process::Command;

/// UDP flows to forget.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Flow {
    /// The Service's address; none when it is a port of the node.
    pub address: Option<Ipv4Addr>,
    /// The port that was asked.
    pub port: u16,
    /// The endpoint they lead to; none when they lead nowhere.
    pub endpoint: Option<Ipv4Addr>,
}

static MISSING: AtomicBool = AtomicBool::new(false);

/// Forgets these flows.
pub(super) async fn forget(flows: Vec<Flow>) {
    for flow in flows {
        let output = Command::new("conntrack").args(args(&flow)).output().await;
        match output {
            // It ends with 1 when there was no such flow.
            Ok(output) if output.status.code().is_some_and(|code| code <= 1) => {}
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr);
                tracing::warn!("UDP flows of {flow:?} are not forgotten: {}", text.trim());
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if !MISSING.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "conntrack is missing: UDP clients may go on talking to pods that are gone; \
                         install it with apt-get install conntrack"
                    );
                }
                return;
            }
            Err(error) => tracing::warn!("conntrack cannot be run: {error}"),
        }
    }
}

fn args(flow: &Flow) -> Vec<String> {
    let mut args = vec!["-D".into(), "-p".into(), "udp".into()];
    let mut add = |option: &str, value: String| args.extend([option.into(), value]);
    if let Some(address) = flow.address {
        add("--orig-dst", address.to_string());
    }
    add("--orig-port-dst", flow.port.to_string());
    if let Some(endpoint) = flow.endpoint {
        add("--reply-src", endpoint.to_string());
    }
    args
}
