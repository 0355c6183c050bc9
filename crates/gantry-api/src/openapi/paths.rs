//! What is served where: each kind's paths and operations, in neither OpenAPI version's form.

use super::parameters::{self as p, Parameter};
use super::schemas;
use crate::kind::{Kind, Scope, Subresource};
use crate::schema::message_for;

/// A path and what can be done there.
pub(super) struct Path {
    pub path: String,
    pub operations: Vec<Operation>,
}

/// One method at one path.
pub(super) struct Operation {
    pub method: &'static str,
    pub id: String,
    /// Upstream's name of the action; empty for those that act on no kind.
    pub action: &'static str,
    /// Group, version and kind it acts on; empty for none.
    pub gvk: Option<(String, String, String)>,
    pub tag: String,
    pub description: String,
    /// Media types of the body.
    pub consumes: &'static [&'static str],
    /// Media types of the answer.
    pub produces: &'static [&'static str],
    pub parameters: Vec<Parameter>,
    pub body: Option<Body>,
    /// Codes of answers that are no errors.
    pub codes: &'static [u16],
    /// The definition of the answer; none when it is text.
    pub answer: Option<String>,
}

/// A request's body.
pub(super) struct Body {
    pub definition: String,
    pub required: bool,
}

pub(super) const ANY: &[&str] = &["*/*"];
pub(super) const OBJECT: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];
const STREAM: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
const LOG: &[&str] = &[
    "text/plain",
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];
const PATCH: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
/// What custom resources have no form for: protobuf, and patches that go by a table's merge keys.
const CUSTOM_OBJECT: &[&str] = &["application/json", "application/yaml"];
const CUSTOM_PATCH: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
];
pub(super) const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// The place of a group version: `/api/v1` or `/apis/apps/v1`.
pub(super) fn root(group: &str, version: &str) -> String {
    match group {
        "" => format!("/api/{version}"),
        _ => format!("/apis/{group}/{version}"),
    }
}

/// The paths of one kind.
pub(super) fn of_kind(kind: &Kind) -> Vec<Path> {
    Author::new(kind).paths()
}

/// `rbac.authorization.k8s.io` is `RbacAuthorization` in the ids of operations, and the core group `Core`.
pub(super) fn title(group: &str) -> String {
    match group.trim_end_matches(".k8s.io") {
        "" => "Core".into(),
        group => group.split('.').map(capital).collect(),
    }
}

/// `rbac.authorization.k8s.io` is `rbacAuthorization` in tags.
pub(super) fn tag(group: &str) -> String {
    let title = title(group);
    let mut letters = title.chars();
    let first = letters.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// Writes down one kind's operations.
struct Author<'a> {
    kind: &'a Kind,
    namespaced: bool,
    /// The kind's place, in a namespace if it has one.
    all: String,
}

impl<'a> Author<'a> {
    fn new(kind: &'a Kind) -> Self {
        let namespaced = kind.scope == Scope::Namespaced;
        let namespace = if namespaced { "/namespaces/{namespace}" } else { "" };
        let all = format!("{}{namespace}/{}", root(&kind.group, &kind.version), kind.plural);
        Author {
            kind,
            namespaced,
            all,
        }
    }

    fn paths(&self) -> Vec<Path> {
        let name = &*self.kind.kind;
        let (object, list) = (self.definition(name), self.definition(&self.kind.list_kind));
        let status = || format!("{META}.Status");
        let options = || Body {
            definition: format!("{META}.DeleteOptions"),
            required: false,
        };
        let verb = |verb: &str| self.kind.verbs.contains(&verb);
        let one = format!("{}/{{name}}", self.all);
        let everywhere = format!(
            "{}/{}",
            root(&self.kind.group, &self.kind.version),
            self.kind.plural
        );
        let (mut at_all, mut at_one, mut paths) = (Vec::new(), Vec::new(), Vec::new());
        if verb("list") {
            at_all.push(Operation {
                parameters: p::LIST.to_vec(),
                produces: self.media(STREAM, CUSTOM_OBJECT),
                answer: Some(list.clone()),
                ..self.operation(
                    "get",
                    "list",
                    "list",
                    "",
                    &format!("list or watch {name} objects"),
                )
            });
            if self.namespaced {
                let operation = Operation {
                    id: format!("list{}{name}ForAllNamespaces", self.group_version()),
                    parameters: [p::LIST, &[p::PRETTY]].concat(),
                    produces: self.media(STREAM, CUSTOM_OBJECT),
                    answer: Some(list),
                    ..self.operation(
                        "get",
                        "list",
                        "list",
                        "",
                        &format!("list or watch {name} objects"),
                    )
                };
                paths.push(Path {
                    path: everywhere.clone(),
                    operations: vec![operation],
                });
            }
        }
        if verb("create") {
            let made = self.operation("post", "post", "create", "", &format!("create a {name}"));
            at_all.push(self.write(made, &object, &[200, 201, 202]));
        }
        if verb("deletecollection") {
            at_all.push(Operation {
                id: format!(
                    "delete{}Collection{}{name}",
                    self.group_version(),
                    self.in_namespace()
                ),
                parameters: match self.custom() {
                    true => p::LIST.to_vec(),
                    false => [p::DELETE, p::SELECT].concat(),
                },
                body: (!self.custom()).then(options),
                answer: Some(status()),
                ..self.operation(
                    "delete",
                    "deletecollection",
                    "delete",
                    "",
                    &format!("delete {name} objects"),
                )
            });
        }
        if verb("get") {
            at_one.push(self.read(&object, "", &format!("read the {name}")));
        }
        if verb("update") {
            let put = self.operation("put", "put", "replace", "", &format!("replace the {name}"));
            at_one.push(self.write(put, &object, &[200, 201]));
        }
        if verb("patch") {
            at_one.push(self.patch(&object, "", &format!("change the {name}")));
        }
        if verb("delete") {
            at_one.push(Operation {
                parameters: p::DELETE.to_vec(),
                body: Some(options()),
                codes: &[200, 202],
                answer: Some(match self.kind.returns_deleted {
                    true => object.clone(),
                    false => status(),
                }),
                ..self.operation("delete", "delete", "delete", "", &format!("delete the {name}"))
            });
        }
        self.add(&mut paths, self.all.clone(), at_all, &[p::PRETTY]);
        self.add(&mut paths, one.clone(), at_one, &[p::NAME, p::PRETTY]);
        if verb("watch") && !self.custom() {
            self.watches(&mut paths, &everywhere);
        }
        for subresource in &self.kind.subresources {
            self.subresource(&mut paths, *subresource, &one);
        }
        paths
    }

    /// The deprecated paths for watches.
    fn watches(&self, paths: &mut Vec<Path>, everywhere: &str) {
        let base = root(&self.kind.group, &self.kind.version);
        let watched = |path: &str| format!("{base}/watch{}", &path[base.len()..]);
        let name = &*self.kind.kind;
        let operation = |action: &'static str, suffix: &str| Operation {
            id: format!(
                "watch{}{}{name}{suffix}",
                self.group_version(),
                self.in_namespace()
            ),
            parameters: p::LIST.to_vec(),
            produces: STREAM,
            answer: Some(format!("{META}.WatchEvent")),
            ..self.operation(
                "get",
                action,
                "watch",
                "",
                "deprecated: list with the parameter watch",
            )
        };
        if self.namespaced {
            let mut all = operation("watchlist", "");
            all.id = format!("watch{}{name}ListForAllNamespaces", self.group_version());
            all.parameters.push(p::PRETTY);
            paths.push(Path {
                path: watched(everywhere),
                operations: vec![all],
            });
        }
        let list = operation("watchlist", "List");
        self.add(paths, watched(&self.all), vec![list], &[p::PRETTY]);
        let one = watched(&format!("{}/{{name}}", self.all));
        self.add(paths, one, vec![operation("watch", "")], &[p::NAME, p::PRETTY]);
    }

    fn subresource(&self, paths: &mut Vec<Path>, subresource: Subresource, one: &str) {
        let path = format!("{one}/{}", subresource.name());
        let suffix = capital(subresource.name());
        let body = subresource.body(self.kind);
        let gvk = self.gvk_of(&body.group_version, &body.kind);
        let about = |verb: &str| format!("{verb} the {} of the {}", subresource.name(), self.kind.kind);
        if subresource == Subresource::Log {
            let operation = Operation {
                parameters: p::options(subresource),
                produces: LOG,
                ..self.operation("get", "get", "read", &suffix, &about("read"))
            };
            self.add(paths, path, vec![operation], &[p::NAME]);
            return;
        }
        if subresource.connects() {
            let methods: &[&'static str] = match subresource {
                Subresource::Proxy => &["delete", "get", "head", "options", "patch", "post", "put"],
                _ => &["get", "post"],
            };
            let connect = |with_path: &str| -> Vec<Operation> {
                let operation = |method: &&'static str| {
                    let (named, kind) = (capital(method), &self.kind.kind);
                    let id = format!(
                        "connect{}{named}{}{kind}{suffix}{with_path}",
                        self.group_version(),
                        self.in_namespace()
                    );
                    Operation {
                        id,
                        produces: ANY,
                        parameters: p::options(subresource),
                        gvk: Some(gvk.clone()),
                        ..self.operation(method, "connect", "", "", &about("connect to"))
                    }
                };
                methods.iter().map(operation).collect()
            };
            if subresource == Subresource::Proxy {
                let deep = format!("{path}/{{path}}");
                self.add(paths, deep, connect("WithPath"), &[p::NAME, p::PATH]);
            }
            self.add(paths, path, connect(""), &[p::NAME]);
            return;
        }
        let object = definition(&gvk);
        let operations = subresource.verbs().iter().map(|verb| {
            let operation = match *verb {
                "get" => self.read(&object, &suffix, &about("read")),
                "patch" => self.patch(&object, &suffix, &about("change")),
                "update" => {
                    let put = self.operation("put", "put", "replace", &suffix, &about("replace"));
                    self.write(put, &object, &[200, 201])
                }
                _ => {
                    let post = self.operation("post", "post", "create", &suffix, &about("create"));
                    self.write(post, &object, &[200, 201, 202])
                }
            };
            match self.custom() {
                true => operation,
                false => Operation {
                    gvk: Some(gvk.clone()),
                    ..operation
                },
            }
        });
        let operations = operations.collect();
        self.add(paths, path, operations, &[p::NAME, p::PRETTY]);
    }

    /// Adds a path whose operations all have the parameters `common`, and the namespace.
    fn add(&self, paths: &mut Vec<Path>, path: String, operations: Vec<Operation>, common: &[Parameter]) {
        let namespace = self.namespaced.then_some(p::NAMESPACE);
        let with = |mut operation: Operation| {
            operation
                .parameters
                .extend(common.iter().copied().chain(namespace));
            operation
        };
        let operations: Vec<Operation> = operations.into_iter().map(with).collect();
        if !operations.is_empty() {
            paths.push(Path { path, operations });
        }
    }

    fn write(&self, operation: Operation, object: &str, codes: &'static [u16]) -> Operation {
        Operation {
            parameters: p::WRITE.to_vec(),
            body: Some(Body {
                definition: object.into(),
                required: true,
            }),
            codes,
            answer: Some(object.into()),
            ..operation
        }
    }

    fn read(&self, object: &str, suffix: &str, description: &str) -> Operation {
        Operation {
            parameters: match self.custom() {
                true => vec![p::RESOURCE_VERSION],
                false => Vec::new(),
            },
            answer: Some(object.into()),
            ..self.operation("get", "get", "read", suffix, description)
        }
    }

    fn patch(&self, object: &str, suffix: &str, description: &str) -> Operation {
        Operation {
            consumes: self.media(PATCH, CUSTOM_PATCH),
            parameters: [p::WRITE, &[p::FORCE]].concat(),
            body: Some(Body {
                definition: format!("{META}.Patch"),
                required: true,
            }),
            codes: if self.custom() { &[200] } else { &[200, 201] },
            answer: Some(object.into()),
            ..self.operation("patch", "patch", "patch", suffix, description)
        }
    }

    fn operation(
        &self,
        method: &'static str,
        action: &'static str,
        verb: &str,
        suffix: &str,
        description: &str,
    ) -> Operation {
        let (place, name) = (self.in_namespace(), &self.kind.kind);
        Operation {
            method,
            id: format!("{verb}{}{place}{name}{suffix}", self.group_version()),
            action,
            gvk: Some(self.gvk_of(&None, name)),
            tag: format!("{}_{}", tag(&self.kind.group), self.kind.version),
            description: description.into(),
            consumes: self.media(ANY, CUSTOM_OBJECT),
            produces: self.media(OBJECT, CUSTOM_OBJECT),
            parameters: Vec::new(),
            body: None,
            codes: &[200],
            answer: None,
        }
    }

    /// The media types of built-in kinds, or those of custom resources.
    fn media(
        &self,
        built_in: &'static [&'static str],
        custom: &'static [&'static str],
    ) -> &'static [&'static str] {
        if self.custom() { custom } else { built_in }
    }

    /// Upstream writes down custom resources' operations apart from those of built-in kinds, and not quite alike.
    fn custom(&self) -> bool {
        self.kind.custom.is_some()
    }

    fn group_version(&self) -> String {
        format!("{}{}", title(&self.kind.group), capital(&self.kind.version))
    }

    fn in_namespace(&self) -> &'static str {
        if self.namespaced { "Namespaced" } else { "" }
    }

    fn gvk_of(&self, foreign: &Option<(&'static str, &'static str)>, kind: &str) -> (String, String, String) {
        let (group, version) = foreign.unwrap_or((&self.kind.group, &self.kind.version));
        (group.into(), version.into(), kind.into())
    }

    fn definition(&self, kind: &str) -> String {
        definition(&self.gvk_of(&None, kind))
    }
}

/// The name of a kind's definition; that of the kind itself when there is no table of it.
fn definition((group, version, kind): &(String, String, String)) -> String {
    match message_for(group, version, kind) {
        Some(message) => message.name.into(),
        None if group.contains('.') => schemas::custom_name(group, version, kind),
        None => kind.clone(),
    }
}
