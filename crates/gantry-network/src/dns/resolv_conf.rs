//! The name servers of the node.

use super::forward::Forwarder;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How many are asked at most.
const SERVERS: usize = 15;
const PORT: u16 = 53;
/// How often the file is looked at: nodes move between networks.
const PERIOD: Duration = Duration::from_secs(5);

/// Reads the name servers of a resolv.conf, without `own`: asking ourselves would never end.
pub(super) fn read(path: &Path, own: SocketAddr) -> std::io::Result<Vec<SocketAddr>> {
    Ok(servers(&std::fs::read_to_string(path)?, own))
}

fn servers(text: &str, own: SocketAddr) -> Vec<SocketAddr> {
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then_some(())?;
        words.next()?.parse::<IpAddr>().ok()
    });
    let mut servers: Vec<SocketAddr> = Vec::new();
    let is_own = |server: &SocketAddr| {
        *server == own || (own.port() == PORT && own.ip().is_unspecified() && server.ip().is_loopback())
    };
    for server in addresses.map(|a| SocketAddr::new(a, PORT)) {
        if !is_own(&server) && !servers.contains(&server) && servers.len() < SERVERS {
            servers.push(server);
        }
    }
    servers
}

/// Tells the forwarder when the file names others. Runs until dropped.
pub(super) async fn follow(path: PathBuf, own: SocketAddr, forwarder: Arc<Forwarder>) {
    let mut readable = true;
    loop {
        match read(&path, own) {
            Ok(servers) => {
                readable = true;
                if forwarder.set_servers(servers.clone()) {
                    tracing::info!("names outside of the cluster are asked of {servers:?}");
                }
            }
            Err(error) if readable => {
                tracing::warn!(
                    "{} cannot be read, its last name servers stay: {error}",
                    path.display()
                );
                readable = false;
            }
            Err(_) => {}
        }
        tokio::time::sleep(PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_file_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        let forwarder = Arc::new(Forwarder::new(Vec::new()));
        let own = "10.43.0.10:53".parse().unwrap();
        let mut task = tokio::task::JoinSet::new();
        task.spawn(follow(path.clone(), own, forwarder.clone()));
        let check = async |text: Option<&str>, expected: &[&str]| {
            match text {
                Some(text) => std::fs::write(&path, text).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            // Of the paused clock.
            tokio::time::sleep(PERIOD * 2).await;
            let expected: Vec<SocketAddr> = expected.iter().map(|e| e.parse().unwrap()).collect();
            assert_eq!(*forwarder.servers(), *expected, "{text:?}");
        };
        check(Some("nameserver 192.0.2.1"), &["192.0.2.1:53"]).await;
        check(Some("nameserver 192.0.2.2"), &["192.0.2.2:53"]).await;
        check(None, &["192.0.2.2:53"]).await;
        check(Some("nameserver 192.0.2.3"), &["192.0.2.3:53"]).await;
    }

    #[test]
    fn name_servers() {
        let check = |text: &str, expected: &[&str]| {
            let found = servers(text, "10.43.0.10:53".parse().unwrap());
            let expected: Vec<SocketAddr> = expected.iter().map(|e| e.parse().unwrap()).collect();
            assert_eq!(found, expected, "{text:?}");
        };
        check("", &[]);
        check(
            "search a b\nnameserver 192.0.2.1\n nameserver\t192.0.2.2 # b\n",
            &["192.0.2.1:53", "192.0.2.2:53"],
        );
        check(
            "#nameserver 192.0.2.1\nnameserver x\nnameserver\n;nameserver 192.0.2.3\n",
            &[],
        );
        check(
            "nameserver 10.43.0.10\nnameserver 127.0.0.53\nnameserver 127.0.0.53\n",
            &["127.0.0.53:53"],
        );
        check("nameserver fd00::1\n", &["[fd00::1]:53"]);
        let many: String = (0..20).map(|i| format!("nameserver 192.0.2.{i}\n")).collect();
        assert_eq!(servers(&many, "10.43.0.10:53".parse().unwrap()).len(), SERVERS);
    }
}
