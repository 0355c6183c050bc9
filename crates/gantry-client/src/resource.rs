//! Where the objects of a kind are served.

use gantry_api::kind::{Kind, Scope};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use smol_str::SmolStr;

/// Where the objects of a kind are served. Those that components name are constants of this module; others come from
/// discovery.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: SmolStr,
    /// Version.
    pub version: SmolStr,
    /// Such as `pods`.
    pub plural: SmolStr,
    /// Such as `Pod`.
    pub kind: SmolStr,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
}

/// What a path segment must not hold unescaped.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?');

impl Resource {
    const fn of(
        group: &'static str,
        version: &'static str,
        plural: &'static str,
        kind: &'static str,
        namespaced: bool,
    ) -> Self {
        Resource {
            group: SmolStr::new_static(group),
            version: SmolStr::new_static(version),
            plural: SmolStr::new_static(plural),
            kind: SmolStr::new_static(kind),
            namespaced,
        }
    }

    /// The resource of a kind.
    pub fn of_kind(kind: &Kind) -> Self {
        Resource {
            group: kind.group.clone(),
            version: kind.version.clone(),
            plural: kind.plural.clone(),
            kind: kind.kind.clone(),
            namespaced: kind.scope == Scope::Namespaced,
        }
    }

    /// `v1`, or `apps/v1`.
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.to_string(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// The path of a collection: of one namespace, or of all when `namespace` is empty.
    pub fn collection_path(&self, namespace: &str) -> String {
        let base = match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        match namespace {
            "" => format!("{base}/{}", self.plural),
            ns => format!(
                "{base}/namespaces/{}/{}",
                utf8_percent_encode(ns, SEGMENT),
                self.plural
            ),
        }
    }

    /// The path of an object, or of a subresource of it.
    pub fn object_path(&self, namespace: &str, name: &str, subresource: &str) -> String {
        let mut path = self.collection_path(namespace);
        path.push('/');
        path.extend(utf8_percent_encode(name, SEGMENT));
        if !subresource.is_empty() {
            path.push('/');
            path.push_str(subresource);
        }
        path
    }
}

macro_rules! resources {
    ($($name:ident = $group:literal $version:literal $plural:literal $kind:literal $namespaced:literal;)*) => {
        $(
            #[doc = concat!("`", $plural, "`")]
            pub const $name: Resource = Resource::of($group, $version, $plural, $kind, $namespaced);
        )*
        #[cfg(test)]
        const ALL: &[Resource] = &[$($name),*];
    };
}

resources! {
    CONFIG_MAPS = "" "v1" "configmaps" "ConfigMap" true;
    CUSTOM_RESOURCE_DEFINITIONS = "apiextensions.k8s.io" "v1" "customresourcedefinitions" "CustomResourceDefinition" false;
    ENDPOINTS = "" "v1" "endpoints" "Endpoints" true;
    EVENTS = "" "v1" "events" "Event" true;
    NAMESPACES = "" "v1" "namespaces" "Namespace" false;
    NODES = "" "v1" "nodes" "Node" false;
    PERSISTENT_VOLUMES = "" "v1" "persistentvolumes" "PersistentVolume" false;
    PERSISTENT_VOLUME_CLAIMS = "" "v1" "persistentvolumeclaims" "PersistentVolumeClaim" true;
    PODS = "" "v1" "pods" "Pod" true;
    SECRETS = "" "v1" "secrets" "Secret" true;
    SERVICES = "" "v1" "services" "Service" true;
    SERVICE_ACCOUNTS = "" "v1" "serviceaccounts" "ServiceAccount" true;
    DEPLOYMENTS = "apps" "v1" "deployments" "Deployment" true;
    REPLICA_SETS = "apps" "v1" "replicasets" "ReplicaSet" true;
    ENDPOINT_SLICES = "discovery.k8s.io" "v1" "endpointslices" "EndpointSlice" true;
    IP_ADDRESSES = "networking.k8s.io" "v1" "ipaddresses" "IPAddress" false;
    SERVICE_CIDRS = "networking.k8s.io" "v1" "servicecidrs" "ServiceCIDR" false;
    CLUSTER_ROLES = "rbac.authorization.k8s.io" "v1" "clusterroles" "ClusterRole" false;
    VOLUME_ATTRIBUTES_CLASSES = "storage.k8s.io" "v1" "volumeattributesclasses" "VolumeAttributesClass" false;
    LEASES = "coordination.k8s.io" "v1" "leases" "Lease" true;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_kinds() {
        let kinds: Vec<Resource> = gantry_api::kinds::builtin()
            .iter()
            .map(Resource::of_kind)
            .collect();
        for resource in ALL {
            assert!(kinds.contains(resource), "{resource:?}");
        }
    }

    #[test]
    fn paths() {
        let check = |path: String, expected: &str| assert_eq!(path, expected);
        check(PODS.collection_path(""), "/api/v1/pods");
        check(PODS.collection_path("a"), "/api/v1/namespaces/a/pods");
        check(NODES.object_path("", "n", "status"), "/api/v1/nodes/n/status");
        check(
            DEPLOYMENTS.object_path("a", "d/e", ""),
            "/apis/apps/v1/namespaces/a/deployments/d%2Fe",
        );
    }
}
