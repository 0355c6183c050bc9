//! What a kind is: its descriptor and its hooks. Routes, discovery, tables, keys and caches derive from these.

use crate::custom_resource::Custom;
use crate::features::Feature;
use crate::field;
use crate::schema::{self, Schema};
use crate::structural::json_path::JsonPath;
use crate::version::Version;
use serde_json::Value;
use smol_str::SmolStr;
use std::borrow::Cow;

/// One served resource. Built-in kinds make theirs at start; a CustomResourceDefinition makes one at run time.
pub struct Kind {
    /// API group; empty for the core group.
    pub group: SmolStr,
    /// Version served and, unless the hooks convert, stored.
    pub version: SmolStr,
    /// What every client is told that uses a kind whose end is near.
    pub deprecation: Option<Deprecation>,
    /// The feature without which it is not served.
    pub feature: Option<Feature>,
    /// Other versions in which the same stored objects are served. Each becomes a kind of its own.
    pub other_versions: Vec<Version>,
    /// The kind's name, such as `Pod`.
    pub kind: SmolStr,
    /// The resource's name in paths, such as `pods`.
    pub plural: SmolStr,
    /// The name of a list's kind, such as `PodList`.
    pub list_kind: SmolStr,
    /// The name for one, such as `pod`.
    pub singular: SmolStr,
    /// Short names for kubectl.
    pub short_names: Vec<SmolStr>,
    /// Categories, such as `all`.
    pub categories: Vec<SmolStr>,
    /// Whether objects live in namespaces.
    pub scope: Scope,
    /// The verbs served, in alphabetical order.
    pub verbs: &'static [&'static str],
    /// Where objects stand in the store: `/registry/<storage_prefix>/[<namespace>/]<name>`, laid out as upstream's.
    pub storage_prefix: SmolStr,
    /// Whether deleting an object answers with the object instead of a `Status`.
    pub returns_deleted: bool,
    /// Subresources served under an object.
    pub subresources: Vec<Subresource>,
    /// Whether a write of the status leaves the metadata as it is.
    pub status_alone: bool,
    /// Field selectors beyond `metadata.name` and `metadata.namespace`: label and the path it reads. A part of a path
    /// that is a number is a list's item; of several paths, joined by `|`, the first that is there is read.
    pub selectable_fields: Vec<(SmolStr, SmolStr)>,
    /// Columns of the table that kubectl prints.
    pub columns: Vec<Column>,
    /// What only kinds have that a CustomResourceDefinition makes.
    pub custom: Option<Custom>,
    /// The kind's own behaviour.
    pub hooks: Box<dyn Hooks>,
}

/// What is said of a kind whose end is near.
#[derive(Clone, Debug)]
pub enum Deprecation {
    /// Upstream's schedule for a built-in kind, in minor versions of Kubernetes.
    Since {
        /// Which one deprecated it.
        version: u32,
        /// Which one will not serve it.
        removed: Option<u32>,
        /// What to use instead, such as `apps/v1 Deployment`.
        replacement: &'static str,
    },
    /// The words of a CustomResourceDefinition.
    Said(String),
}

impl Deprecation {
    /// The release that will not serve the kind any more, such as `1.29`; empty if none is named.
    pub fn removed_release(&self) -> SmolStr {
        match self {
            Deprecation::Since {
                removed: Some(minor), ..
            } => smol_str::format_smolstr!("1.{minor}"),
            _ => SmolStr::default(),
        }
    }
}

impl Deprecation {
    /// Of a version that is not stable: three releases pass until it goes.
    pub fn unstable_since(version: u32) -> Self {
        Deprecation::Since {
            version,
            removed: Some(version + 3),
            replacement: "",
        }
    }
}

/// The verbs of a kind that is stored.
pub const STORED: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// The same of custom resources, in the order in which upstream names them.
pub const STORED_CUSTOM: &[&str] = &[
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];

/// The verbs of a kind that is a question: it is answered at once, and nothing is stored.
pub const ANSWERED: &[&str] = &["create"];

/// Whether objects live in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In the cluster as a whole.
    Cluster,
    /// In a namespace.
    Namespaced,
}

/// A part of an object, or an action on it, with a path of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subresource {
    /// `status`: the whole object, of which only the status is written.
    Status,
    /// `scale`: an `autoscaling/v1 Scale` over `spec.replicas` and `status.replicas`.
    Scale,
    /// `binding` of pods: gives a pod its node.
    Binding,
    /// `finalize` of namespaces: writes `spec.finalizers`.
    Finalize,
    /// `token` of service accounts: issues a token.
    Token,
    /// `log` of pods: a container's output.
    Log,
    /// `exec` of pods: runs a command in a container.
    Exec,
    /// `attach` of pods: joins a container's streams.
    Attach,
    /// `portforward` of pods: streams to a pod's ports.
    PortForward,
    /// `proxy` of pods, services and nodes: passes an HTTP request on.
    Proxy,
    /// `eviction` of pods: deletes one if its disruption budgets allow.
    Eviction,
    /// `ephemeralcontainers` of pods: the whole pod, of which only the ephemeral containers are written.
    EphemeralContainers,
    /// `approval` of certificate signing requests: the whole request, of which only the conditions are written.
    Approval,
    /// `resize` of pods: the whole pod, of which only the containers' resources are written.
    Resize,
}

impl Subresource {
    /// The last part of its path.
    pub fn name(self) -> &'static str {
        match self {
            Subresource::Status => "status",
            Subresource::Scale => "scale",
            Subresource::Binding => "binding",
            Subresource::Finalize => "finalize",
            Subresource::Token => "token",
            Subresource::Log => "log",
            Subresource::Exec => "exec",
            Subresource::Attach => "attach",
            Subresource::PortForward => "portforward",
            Subresource::Proxy => "proxy",
            Subresource::Eviction => "eviction",
            Subresource::EphemeralContainers => "ephemeralcontainers",
            Subresource::Approval => "approval",
            Subresource::Resize => "resize",
        }
    }

    /// The verbs served at its path.
    pub fn verbs(self) -> &'static [&'static str] {
        match self {
            Subresource::Status
            | Subresource::Scale
            | Subresource::EphemeralContainers
            | Subresource::Approval
            | Subresource::Resize => &["get", "patch", "update"],
            Subresource::Finalize => &["update"],
            Subresource::Binding | Subresource::Token | Subresource::Eviction => &["create"],
            Subresource::Log => &["get"],
            Subresource::Exec | Subresource::Attach | Subresource::PortForward => &["create", "get"],
            Subresource::Proxy => &["create", "delete", "get", "patch", "update"],
        }
    }

    /// Whether requests to it are passed on to a node instead of touching the stored object.
    pub fn connects(self) -> bool {
        matches!(
            self,
            Subresource::Log
                | Subresource::Exec
                | Subresource::Attach
                | Subresource::PortForward
                | Subresource::Proxy
        )
    }

    /// The kind its bodies have, under `kind`.
    pub fn body(self, kind: &Kind) -> SubresourceBody {
        let foreign = |group: &'static str, name: &'static str| SubresourceBody {
            group_version: Some((group, "v1")),
            kind: name.into(),
        };
        let local = |name: SmolStr| SubresourceBody {
            group_version: None,
            kind: name,
        };
        match self {
            Subresource::Scale => foreign("autoscaling", "Scale"),
            Subresource::Token => foreign("authentication.k8s.io", "TokenRequest"),
            Subresource::Eviction => foreign("policy", "Eviction"),
            Subresource::Binding => local("Binding".into()),
            Subresource::Exec => local("PodExecOptions".into()),
            Subresource::Attach => local("PodAttachOptions".into()),
            Subresource::PortForward => local("PodPortForwardOptions".into()),
            Subresource::Proxy => local(smol_str::format_smolstr!("{}ProxyOptions", kind.kind)),
            Subresource::Status
            | Subresource::Finalize
            | Subresource::Log
            | Subresource::EphemeralContainers
            | Subresource::Approval
            | Subresource::Resize => local(kind.kind.clone()),
        }
    }
}

/// The kind of a subresource's bodies.
pub struct SubresourceBody {
    /// Group and version, when they are not those of the resource itself.
    pub group_version: Option<(&'static str, &'static str)>,
    /// The kind's name.
    pub kind: SmolStr,
}

/// One column of a kind's table.
pub struct Column {
    /// Heading, such as `Name`.
    pub name: SmolStr,
    /// OpenAPI type: `string`, `integer`, `date`.
    pub type_: SmolStr,
    /// OpenAPI format; `name` marks the name column.
    pub format: SmolStr,
    /// What it shows, for people.
    pub description: SmolStr,
    /// 0 is always shown; 1 only with `-o wide`.
    pub priority: i32,
    /// The value of an object's cell.
    pub cell: Cell,
}

/// How a cell's value comes from an object.
pub enum Cell {
    /// It is made. Ages are given relative to `now` (Unix seconds).
    Made(fn(object: &Value, now: i64) -> Value),
    /// It is what stands at a path, as the column's type.
    At(JsonPath),
}

/// What a kind does of its own. All hooks are pure; they see objects as trees.
///
/// Order on create: `default`, `prepare_create`, `validate`, `validate_create`. On update: `default`,
/// `prepare_update`, `validate`, `validate_update`; through a subresource `prepare_subresource` and
/// `validate_subresource` stand for `prepare_update` and `validate_update`.
///
/// `to_storage` is called last before an object is encoded for the store, `from_storage` first after it was decoded:
/// all other hooks, selectors and columns see the kind's own form.
pub trait Hooks: Send + Sync {
    /// Fills in defaults.
    fn default(&self, object: &mut Value) {
        let _ = object;
    }

    /// Sets what a client may not: clears the status, starts the generation.
    fn prepare_create(&self, object: &mut Value) {
        if let Some(map) = object.as_object_mut() {
            map.remove("status");
        }
    }

    /// Notes who asks for a new object, before `prepare_create`. `requester` gives `username`, `uid`, `groups` and
    /// `extra`.
    fn note_requester(&self, object: &mut Value, requester: &dyn Fn() -> Value) {
        let _ = (object, requester);
    }

    /// Keeps what an ordinary update may not change. The server has kept the status when it is a subresource.
    fn prepare_update(&self, object: &mut Value, old: &Value) {
        let _ = (object, old);
    }

    /// Checks a whole object. `metadata` has been checked already.
    fn validate(&self, object: &Value) -> Vec<field::Error> {
        let _ = object;
        Vec::new()
    }

    /// Checks what holds only for a new object.
    fn validate_create(&self, object: &Value) -> Vec<field::Error> {
        let _ = object;
        Vec::new()
    }

    /// Keeps what an update through a subresource may not change. The server has kept the spec of a status update.
    fn prepare_subresource(&self, subresource: Subresource, object: &mut Value, old: &Value) {
        let _ = subresource;
        self.prepare_update(object, old);
    }

    /// Checks a change through a subresource.
    fn validate_subresource(
        &self,
        subresource: Subresource,
        object: &Value,
        old: &Value,
    ) -> Vec<field::Error> {
        match subresource {
            Subresource::Status => Vec::new(),
            _ => self.validate_update(object, old),
        }
    }

    /// The form of an object that is stored. Kinds that share stored objects convert here.
    fn to_storage<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        Cow::Borrowed(object)
    }

    /// Turns a stored object into the kind's own form.
    #[allow(clippy::wrong_self_convention, reason = "the hook, not the object, is self")]
    fn from_storage(&self, object: &mut Value) {
        let _ = object;
    }

    /// The form of an object that the columns read.
    fn printed<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        Cow::Borrowed(object)
    }

    /// Checks a change.
    fn validate_update(&self, object: &Value, old: &Value) -> Vec<field::Error> {
        let _ = (object, old);
        Vec::new()
    }

    /// Whether an update makes an object that is not there.
    fn creates_on_update(&self) -> bool {
        false
    }

    /// Whether dependents stay when who deletes the object says nothing about them.
    fn orphans_by_default(&self) -> bool {
        false
    }

    /// What is told to whoever deletes an object and says nothing about its dependents; empty for nothing.
    fn deletion_warning(&self) -> &'static str {
        ""
    }

    /// Whether an update must name the version it changes.
    fn needs_version(&self) -> bool {
        false
    }

    /// The rule for names of this kind.
    fn validate_name(&self, name: &str) -> Result<(), String> {
        crate::meta::validate_subdomain(name)
    }

    /// Whether names' rule is one for `generateName`, too.
    fn validates_generate_name(&self) -> bool {
        true
    }

    /// Where `scale` finds its numbers.
    fn scale(&self) -> ScalePaths<'_> {
        ScalePaths {
            spec_replicas: "spec.replicas",
            status_replicas: "status.replicas",
            selector: None,
        }
    }

    /// Notes in an object that its deletion was asked for, when that is news.
    fn begin_deletion(&self, object: &mut Value, now: &str) {
        let _ = (object, now);
    }

    /// What a client is told of a new or changed object beside the answer.
    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let _ = (object, old);
        Vec::new()
    }

    /// Seconds a deleted object is given to shut down; `None` for kinds that go at once.
    fn grace_period(&self, object: &Value) -> Option<i64> {
        let _ = object;
        None
    }
}

/// Where `scale` finds its numbers in an object: paths of fields joined by dots.
#[derive(Clone, Copy, Debug)]
pub struct ScalePaths<'a> {
    /// The replicas wanted.
    pub spec_replicas: &'a str,
    /// The replicas there are.
    pub status_replicas: &'a str,
    /// The selector as text; without one, `spec.selector.matchLabels` is it.
    pub selector: Option<&'a str>,
}

/// Hooks of a kind that has no behaviour of its own.
pub struct NoHooks;

impl Hooks for NoHooks {}

impl Kind {
    /// What its objects look like: a table for built-in kinds, a structural schema for custom resources.
    pub fn schema(&self) -> Option<Schema<'_>> {
        match &self.custom {
            Some(custom) => Some(Schema::Structural(&custom.schema)),
            None => schema::message_for(&self.group, &self.version, &self.kind).map(Schema::Table),
        }
    }

    /// What users of the kind are told if its end is near.
    pub fn deprecation_warning(&self) -> Option<String> {
        let (version, removed, replacement) = match self.deprecation.as_ref()? {
            Deprecation::Said(text) => return Some(text.clone()),
            Deprecation::Since {
                version,
                removed,
                replacement,
            } => (version, removed, replacement),
        };
        let mut text = format!(
            "{} {} is deprecated in v1.{version}+",
            self.api_version(),
            self.kind
        );
        if let Some(removed) = removed {
            text.push_str(&format!(", unavailable in v1.{removed}+"));
        }
        if !replacement.is_empty() {
            text.push_str(&format!("; use {replacement}"));
        }
        Some(text)
    }

    /// The verbs that discovery offers: no new objects of a kind whose definition goes.
    pub fn offered_verbs(&self) -> &'static [&'static str] {
        match &self.custom {
            Some(custom) if custom.terminating => &["delete", "deletecollection", "get", "list", "watch"],
            _ => self.verbs,
        }
    }

    /// `v1`, or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Whether the kind has this subresource.
    pub fn has(&self, subresource: Subresource) -> bool {
        self.subresources.contains(&subresource)
    }

    /// The store's key prefix of all objects, or of those in one namespace. It ends with a slash.
    pub fn prefix(&self, namespace: Option<&str>) -> String {
        self.key(namespace, "")
    }

    /// The store's key of one object.
    pub fn key(&self, namespace: Option<&str>, name: &str) -> String {
        // Made several times a request: no formatting.
        match namespace {
            Some(ns) => ["/registry/", &self.storage_prefix, "/", ns, "/", name].concat(),
            None => ["/registry/", &self.storage_prefix, "/", name].concat(),
        }
    }
}
