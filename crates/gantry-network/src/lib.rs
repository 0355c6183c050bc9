//! The network of one node: pods by CNI plugins, Services by the [`proxy`], names by [`dns`].

pub mod dns;
pub mod proxy;

use serde_json::json;
use std::path::{Path, PathBuf};

const PLUGINS: &str = "/usr/lib/cni";
const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// Why there is no pod network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A plugin is not there.
    #[error(
        "{0} is missing: install it with apt-get install containernetworking-plugins, or use --disable-agent"
    )]
    Plugin(PathBuf),
    /// A file cannot be written.
    #[error("{0} cannot be written: {1}; run as root, or use --disable-agent")]
    Write(PathBuf, std::io::Error),
}

/// Writes the CNI configuration into `conf_dir` and lets the kernel forward between pods. Addresses are handed out
/// from `pod_cidr`; which are taken is kept below `data_dir`.
pub fn configure(conf_dir: &Path, data_dir: &Path, pod_cidr: &str) -> Result<(), NetworkError> {
    for plugin in ["ptp", "host-local", "loopback"] {
        let path = Path::new(PLUGINS).join(plugin);
        if !path.is_file() {
            return Err(NetworkError::Plugin(path));
        }
    }
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |e| NetworkError::Write(path, e)
    };
    std::fs::write(FORWARD, "1").map_err(failed(Path::new(FORWARD)))?;
    std::fs::create_dir_all(conf_dir).map_err(failed(conf_dir))?;
    let path = conf_dir.join("10-gantry.conflist");
    // Half a file would be read by containerd, which watches the directory.
    let draft = conf_dir.join(".10-gantry.draft");
    std::fs::write(&draft, conflist(data_dir, pod_cidr)).map_err(failed(&draft))?;
    std::fs::rename(&draft, &path).map_err(failed(&path))
}

/// Each pod has a link of its own to the node, so that all its traffic is routed. Between pods on one bridge it would
/// be switched, past the proxy's rules, unless the module br_netfilter is there.
fn conflist(data_dir: &Path, pod_cidr: &str) -> String {
    json!({
        "cniVersion": "0.4.0",
        "name": "gantry",
        "plugins": [{
            "type": "ptp",
            "ipam": {
                "type": "host-local", "dataDir": data_dir.join("ipam"), "ranges": [[{"subnet": pod_cidr}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_names_the_pods_network() {
        let text = conflist(Path::new("/data"), "10.42.0.0/24");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let ipam = &value["plugins"][0]["ipam"];
        assert_eq!(ipam["ranges"][0][0]["subnet"], "10.42.0.0/24");
        assert_eq!(ipam["dataDir"], "/data/ipam");
    }
}
