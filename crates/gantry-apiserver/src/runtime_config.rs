//! Which versions of the built-in APIs are served: `--runtime-config`.
//! Source: k8s.io/apiserver/pkg/server/resourceconfig.

use gantry_api::features;
use gantry_api::kind::Kind;
use std::collections::BTreeMap;

/// What is turned on and off; without it generally available versions are on, beta and alpha ones off.
#[derive(Clone, Debug, Default)]
pub struct RuntimeConfig(BTreeMap<String, bool>);

/// Why a runtime config cannot be used. In upstream's words.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RuntimeConfigError {
    /// A key is neither `api/...` nor a group version, perhaps with a resource.
    #[error("runtime-config invalid key {0}")]
    Key(String),
    /// A value is not true or false.
    #[error("invalid value of {0}: {1}")]
    Value(String, String),
    /// Nothing would be served.
    #[error("invalid runtime-config with only api/all=false")]
    Nothing,
    /// A group does not exist.
    #[error("unknown api groups {0}")]
    Groups(String),
    /// A version of a group does not exist.
    #[error("group version {0} that has not been registered")]
    Version(String),
}

/// The keys that stand for many versions, the most particular last.
const WIDE: [&str; 4] = ["api/all", "api/ga", "api/beta", "api/alpha"];

impl RuntimeConfig {
    /// Reads `key=true,key=false,...`.
    pub fn parse(text: &str) -> Result<Self, RuntimeConfigError> {
        let mut config = BTreeMap::new();
        for pair in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let on = match value {
                "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
                "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
                other => return Err(RuntimeConfigError::Value(key.into(), other.into())),
            };
            if !WIDE.contains(&key) && !matches!(key.split('/').count(), 2 | 3) {
                return Err(RuntimeConfigError::Key(key.into()));
            }
            config.insert(key.to_string(), on);
        }
        if config.len() == 1 && config.get("api/all") == Some(&false) {
            return Err(RuntimeConfigError::Nothing);
        }
        Ok(RuntimeConfig(config))
    }

    /// The kinds that are served: those of features that are off never are.
    pub fn served(&self, mut kinds: Vec<Kind>) -> Result<Vec<Kind>, RuntimeConfigError> {
        for key in self.0.keys().filter(|key| !WIDE.contains(&key.as_str())) {
            let mut parts = key.split('/');
            let (group, version) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
            let group_version = format!("{group}/{version}");
            let mut of_group = kinds.iter().filter(|k| k.group == group).peekable();
            if of_group.peek().is_none() {
                return Err(RuntimeConfigError::Groups(group_version));
            }
            if !of_group.any(|k| k.version == version) {
                return Err(RuntimeConfigError::Version(group_version));
            }
        }
        kinds.retain(|kind| self.serves(kind) && kind.feature.is_none_or(features::enabled));
        Ok(kinds)
    }

    fn serves(&self, kind: &Kind) -> bool {
        let level = match &kind.version {
            v if v.contains("beta") => "api/beta",
            v if v.contains("alpha") => "api/alpha",
            _ => "api/ga",
        };
        let version = format!("{}/{}", kind.group, kind.version);
        let resource = format!("{version}/{}", kind.plural);
        let keys = [resource.as_str(), version.as_str(), level, "api/all"];
        let said = keys.into_iter().find_map(|key| self.0.get(key));
        said.copied().unwrap_or(level == "api/ga")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served() {
        let check = |text: &str, version: &str, expected: bool| {
            let kinds = RuntimeConfig::parse(text)
                .unwrap()
                .served(gantry_api::kinds::builtin())
                .unwrap();
            let found = kinds
                .iter()
                .any(|k| k.plural == "ipaddresses" && k.version == version);
            assert_eq!(found, expected, "{text} {version}");
        };
        check("", "v1", true);
        check("", "v1beta1", false);
        check("api/all", "v1beta1", true);
        check("api/all=true,api/beta=false", "v1beta1", false);
        check("networking.k8s.io/v1beta1=true", "v1beta1", true);
        check("networking.k8s.io/v1beta1/ipaddresses=true", "v1beta1", true);
        check("networking.k8s.io/v1beta1/servicecidrs=true", "v1beta1", false);
        check("networking.k8s.io/v1=false", "v1", false);
    }

    #[test]
    fn kinds_go_with_their_features() {
        let kinds = RuntimeConfig::parse("api/all=true").unwrap();
        let kinds = kinds.served(gantry_api::kinds::builtin()).unwrap();
        assert!(
            kinds
                .iter()
                .any(|k| k.plural == "resourceslices" && k.version == "v1beta1")
        );
        assert!(!kinds.iter().any(|k| k.plural == "devicetaintrules"));
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, expected: &str| {
            let served = RuntimeConfig::parse(text).and_then(|c| c.served(gantry_api::kinds::builtin()));
            assert_eq!(served.err().map(|e| e.to_string()), Some(expected.into()));
        };
        check("v1=true", "runtime-config invalid key v1");
        check("apps/v1=maybe", "invalid value of apps/v1: maybe");
        check("api/all=false", "invalid runtime-config with only api/all=false");
        check("a.b/v1=true", "unknown api groups a.b/v1");
        check(
            "apps/v3=true",
            "group version apps/v3 that has not been registered",
        );
    }
}
