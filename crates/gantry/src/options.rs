//! The options of `gantry server`, on the command line and in a file.

use crate::datastore::Datastore;
use clap::Parser;
use gantry_api::features::Setting;
use gantry_apiserver::RuntimeConfig;
use serde_json::Value;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};

/// Options of `gantry server`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// A YAML file with any of the other options, such as `https-port: 6443`. The command line wins.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Where the cluster's data lives.
    #[arg(long, default_value = "/var/lib/gantry")]
    pub data_dir: PathBuf,
    /// Where its state is.
    #[command(flatten)]
    pub datastore: Datastore,
    /// Address the API listens on.
    #[arg(long, default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// Port the API listens on.
    #[arg(long, default_value_t = 6443)]
    pub https_port: u16,
    /// Address at which others reach the API; by default the node's.
    #[arg(long)]
    pub advertise_address: Option<IpAddr>,
    /// A further name or address the server's certificate covers. May be repeated.
    #[arg(long)]
    pub tls_san: Vec<String>,
    /// The pods' network.
    #[arg(long, default_value = "10.42.0.0/16", value_parser = network)]
    pub cluster_cidr: String,
    /// The services' network. Its tenth address is the cluster's DNS.
    #[arg(long, default_value = "10.43.0.0/16")]
    pub service_cidr: String,
    /// The cluster's DNS domain.
    #[arg(long, default_value = "cluster.local")]
    pub cluster_domain: String,
    /// This node's name; by default the host's.
    #[arg(long)]
    pub node_name: Option<String>,
    /// This node's address; by default that of its default route.
    #[arg(long)]
    pub node_ip: Option<IpAddr>,
    /// The secret that machines show to join the cluster. Whoever has it is in the group system:bootstrappers.
    #[arg(long, env = "GANTRY_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Runs the control plane alone, without a node.
    #[arg(long)]
    pub disable_agent: bool,
    /// API versions to serve or not, such as `resource.k8s.io/v1beta1=true,api/alpha=true`.
    #[arg(long, default_value = "", hide_default_value = true, value_parser = RuntimeConfig::parse)]
    pub runtime_config: RuntimeConfig,
    /// Features to turn on or off, such as `HPAScaleToZero=true`, by upstream's names. May be repeated.
    #[arg(long, value_delimiter = ',', value_name = "NAME=BOOL", value_parser = Setting::parse)]
    pub feature_gates: Vec<Setting>,
    /// Requests that read, and are under way at once; 0 for no limit.
    #[arg(long, default_value_t = 400)]
    pub max_requests_inflight: usize,
    /// Requests that change something, and are under way at once; 0 for no limit.
    #[arg(long, default_value_t = 200)]
    pub max_mutating_requests_inflight: usize,
    /// Socket of a containerd to use; by default gantry runs its own.
    #[arg(long)]
    pub containerd_endpoint: Option<PathBuf>,
}

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("the configuration file {0} cannot be read: {1}")]
    Read(String, std::io::Error),
    /// It is not what it should be.
    #[error("the configuration file {0} is wrong: {1}")]
    Content(String, String),
}

/// The command line with what the file that `config` names says put before the other options, which win over it.
pub fn with_file<C: Parser>(mut args: Vec<OsString>, config: &Path) -> Result<Vec<OsString>, ConfigError> {
    let name = config.display().to_string();
    let text = std::fs::read_to_string(config).map_err(|e| ConfigError::Read(name.clone(), e))?;
    let wrong = |why: String| ConfigError::Content(name.clone(), why);
    let values: Value = match text.trim() {
        "" => Value::Null,
        text => serde_saphyr::from_str(text).map_err(|e| wrong(e.to_string()))?,
    };
    let command = C::command();
    let server = command.find_subcommand("server");
    let known: Vec<&str> = server
        .into_iter()
        .flat_map(|c| c.get_arguments())
        .filter_map(|a| a.get_long())
        .filter(|name| *name != "config" && *name != "help")
        .collect();
    let mut added = Vec::new();
    let entries = match &values {
        Value::Null => return Ok(args),
        Value::Object(entries) => entries,
        _ => return Err(wrong("it must hold option: value lines".into())),
    };
    for (key, value) in entries {
        if !known.contains(&key.as_str()) {
            return Err(wrong(format!(
                "there is no option {key:?}; known are {}",
                known.join(", ")
            )));
        }
        let mut add = |value: &Value| -> Result<(), ConfigError> {
            added.push(match value {
                Value::String(text) => format!("--{key}={text}").into(),
                Value::Number(number) => format!("--{key}={number}").into(),
                Value::Bool(true) => format!("--{key}").into(),
                Value::Bool(false) => return Ok(()),
                _ => return Err(wrong(format!("{key} must be a text, a number, true or false"))),
            });
            Ok(())
        };
        match value {
            Value::Array(values) => values.iter().try_for_each(&mut add)?,
            // Options that hold name=value pairs, such as feature-gates.
            Value::Object(pairs) => {
                let pair = |(name, value): (&String, &Value)| match value {
                    Value::String(text) => format!("{name}={text}"),
                    value => format!("{name}={value}"),
                };
                let pairs: Vec<String> = pairs.iter().map(pair).collect();
                add(&pairs.join(",").into())?;
            }
            one => add(one)?,
        }
    }
    let at = args
        .iter()
        .position(|a| a == "server")
        .map_or(args.len(), |i| i + 1);
    args.splice(at..at, added);
    Ok(args)
}

impl Options {
    /// This node's address.
    pub fn node_address(&self) -> IpAddr {
        self.node_ip
            .or_else(route_address)
            .unwrap_or(Ipv4Addr::LOCALHOST.into())
    }

    /// Where others reach the API.
    pub fn advertised(&self) -> IpAddr {
        self.advertise_address.unwrap_or_else(|| self.node_address())
    }

    /// Where this machine's users reach the API.
    pub fn local_address(&self) -> IpAddr {
        match self.bind_address {
            all if all.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            one => one,
        }
    }

    /// This node's part of the pods' network: its first /24.
    pub fn pod_cidr(&self) -> String {
        match self.cluster_cidr.split_once('/') {
            Some((base, bits)) if bits.parse::<u8>().is_ok_and(|b| b < 24) => format!("{base}/24"),
            _ => self.cluster_cidr.clone(),
        }
    }

    /// This node's name.
    pub fn name(&self) -> String {
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = self.node_name.clone().unwrap_or_else(host);
        name.trim().to_ascii_lowercase()
    }
}

/// An IPv4 network that nodes can take their /24 from.
fn network(text: &str) -> Result<String, String> {
    let wrong =
        || format!("{text:?} is no network for pods: give one with 8 to 24 bits, such as 10.42.0.0/16");
    let (base, bits) = text.split_once('/').ok_or_else(wrong)?;
    let base: Ipv4Addr = base.parse().map_err(|_| wrong())?;
    let bits: u32 = bits.parse().map_err(|_| wrong())?;
    let whole = (8..=24).contains(&bits) && base.to_bits().trailing_zeros() >= 32 - bits;
    whole.then(|| text.to_string()).ok_or_else(wrong)
}

/// The address that the kernel would send from to the outside; asking sends nothing.
fn route_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // An address kept for documentation (RFC 5737): any that only the default route leads to will do.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    socket.local_addr().ok().map(|a| a.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cli;

    fn read(text: &str, args: &[&str]) -> Result<Options, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let args = [&["gantry", "server"], args]
            .concat()
            .into_iter()
            .map(OsString::from)
            .collect();
        let args = with_file::<Cli>(args, file.path()).map_err(|e| e.to_string())?;
        match Cli::try_parse_from(args).map_err(|e| e.to_string())?.command {
            crate::Command::Server(options) => Ok(*options),
            _ => Err("another command".into()),
        }
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let text = "https-port: 7443\ncluster-domain: a.b\ndisable-agent: true\ntls-san: [a, b]\n";
        let options = read(text, &["--https-port", "8443", "--tls-san", "z"]).unwrap();
        assert_eq!(
            (
                options.https_port,
                options.cluster_domain.as_str(),
                options.disable_agent
            ),
            (8443, "a.b", true)
        );
        assert_eq!(options.tls_san, ["a", "b", "z"]);
        assert_eq!(read("", &[]).unwrap().https_port, 6443);
    }

    #[test]
    fn etcd_is_named_in_either_place() {
        let check = |text: &str, args: &[&str]| {
            let store = read(text, args).unwrap().datastore;
            assert_eq!(
                store.datastore_endpoint,
                ["https://a:2379", "https://b:2379"],
                "{text}"
            );
            assert_eq!(store.datastore_cafile, Some("ca".into()), "{text}");
        };
        check(
            "datastore-endpoint: [https://a:2379, https://b:2379]\ndatastore-cafile: ca",
            &[],
        );
        check(
            "datastore-endpoint: https://a:2379,https://b:2379\ndatastore-cafile: ca",
            &[],
        );
        let args = [
            "--datastore-endpoint=https://a:2379,https://b:2379",
            "--datastore-cafile=ca",
        ];
        check("", &args);
    }

    #[test]
    fn feature_gates_have_three_forms() {
        let check = |text: &str, args: &[&str]| {
            let settings = read(text, args).unwrap().feature_gates;
            let expected = ["AllBeta=false", "HPAScaleToZero=true"].map(|s| Setting::parse(s).unwrap());
            assert_eq!(settings, expected, "{text}");
        };
        check("", &["--feature-gates", "AllBeta=false,HPAScaleToZero=true"]);
        check(
            "feature-gates: AllBeta=false",
            &["--feature-gates=HPAScaleToZero=true"],
        );
        check("feature-gates: [AllBeta=false, HPAScaleToZero=true]", &[]);
        check("feature-gates:\n  HPAScaleToZero: true\n  AllBeta: false\n", &[]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |text: &str, part: &str| {
            let why = read(text, &[]).err().unwrap();
            assert!(why.contains(part), "{text:?} said {why}");
        };
        check("port: 1", "there is no option \"port\"");
        check("- a", "it must hold option: value lines");
        check("https-port: [[1]]", "https-port must be a text");
        check("https-port: {a: 1}", "invalid value 'a=1'");
        check(
            "feature-gates: {Nothing: true}",
            "unrecognized feature gate: Nothing",
        );
        check(
            "feature-gates: {HPAScaleToZero: perhaps}",
            "invalid value of HPAScaleToZero=perhaps",
        );
        check("https-port: many", "invalid value 'many'");
        check("cluster-cidr: pods", "\"pods\" is no network for pods");
        check("cluster-cidr: 10.42.0.1/16", "give one with 8 to 24 bits");
        check("a: [", "is wrong");
        check("datastore-cafile: a", "--datastore-endpoint");
        check(
            "datastore-endpoint: https://a\ndatastore-certfile: a",
            "--datastore-keyfile",
        );
    }
}
