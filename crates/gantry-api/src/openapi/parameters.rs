//! The parameters of requests.

use crate::kind::Subresource;

/// One parameter of a request's path or query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Parameter {
    pub name: &'static str,
    /// `path` or `query`.
    pub place: &'static str,
    /// OpenAPI's type.
    pub type_: &'static str,
    pub description: &'static str,
}

const fn query(name: &'static str, type_: &'static str, description: &'static str) -> Parameter {
    Parameter {
        name,
        place: "query",
        type_,
        description,
    }
}

const fn path(name: &'static str, description: &'static str) -> Parameter {
    Parameter {
        name,
        place: "path",
        type_: "string",
        description,
    }
}

pub(super) const NAME: Parameter = path("name", "The object's name.");
pub(super) const NAMESPACE: Parameter = path("namespace", "The object's namespace.");
pub(super) const PATH: Parameter = path("path", "The path to pass on.");
pub(super) const PRETTY: Parameter = query("pretty", "string", "Whether the answer is indented.");

const DRY_RUN: Parameter = query(
    "dryRun",
    "string",
    "All: every step is taken, but nothing is stored.",
);
const CONTINUE: Parameter = query("continue", "string", "Where the last page of the list ended.");
const FIELD_SELECTOR: Parameter = query("fieldSelector", "string", "Only objects with these fields.");
const LABEL_SELECTOR: Parameter = query("labelSelector", "string", "Only objects with these labels.");
const LIMIT: Parameter = query("limit", "integer", "The largest number of objects in the answer.");
pub(super) const RESOURCE_VERSION: Parameter =
    query("resourceVersion", "string", "The state that is asked for.");
const RESOURCE_VERSION_MATCH: Parameter = query(
    "resourceVersionMatch",
    "string",
    "How resourceVersion is meant: Exact or NotOlderThan.",
);
const SEND_INITIAL_EVENTS: Parameter = query(
    "sendInitialEvents",
    "boolean",
    "Whether a watch begins with the objects that are there.",
);
const TIMEOUT: Parameter = query(
    "timeoutSeconds",
    "integer",
    "When the request ends, whatever happens.",
);

pub(super) const WRITE: &[Parameter] = &[
    DRY_RUN,
    query("fieldManager", "string", "The name of who makes the change."),
    query(
        "fieldValidation",
        "string",
        "What unknown and duplicate fields are: Ignore, Warn or Strict.",
    ),
];

pub(super) const FORCE: Parameter = query(
    "force",
    "boolean",
    "Whether apply takes fields over from other managers.",
);

pub(super) const LIST: &[Parameter] = &[
    query(
        "allowWatchBookmarks",
        "boolean",
        "Whether a watch may send bookmarks.",
    ),
    CONTINUE,
    FIELD_SELECTOR,
    LABEL_SELECTOR,
    LIMIT,
    RESOURCE_VERSION,
    RESOURCE_VERSION_MATCH,
    SEND_INITIAL_EVENTS,
    TIMEOUT,
    query("watch", "boolean", "Whether changes are sent instead of a list."),
];

pub(super) const DELETE: &[Parameter] = &[
    DRY_RUN,
    query(
        "gracePeriodSeconds",
        "integer",
        "How long the object may take to end; 0 is at once.",
    ),
    query(
        "orphanDependents",
        "boolean",
        "Deprecated: whether dependents stay. Use propagationPolicy.",
    ),
    query(
        "propagationPolicy",
        "string",
        "What becomes of dependents: Orphan, Background or Foreground.",
    ),
];

/// What deletecollection takes besides [`DELETE`].
pub(super) const SELECT: &[Parameter] = &[
    CONTINUE,
    FIELD_SELECTOR,
    LABEL_SELECTOR,
    LIMIT,
    RESOURCE_VERSION,
    RESOURCE_VERSION_MATCH,
    SEND_INITIAL_EVENTS,
    TIMEOUT,
];

const CONTAINER: Parameter = query(
    "container",
    "string",
    "The container; by default the pod's only one.",
);

/// The options of a subresource that connects.
pub(super) fn options(subresource: Subresource) -> Vec<Parameter> {
    let stream = |name| query(name, "boolean", "Whether this stream is connected.");
    let streams = [stream("stderr"), stream("stdin"), stream("stdout")];
    let tty = query("tty", "boolean", "Whether the container has a terminal.");
    match subresource {
        Subresource::Log => vec![
            CONTAINER,
            query("follow", "boolean", "Whether lines are sent as they come."),
            query(
                "insecureSkipTLSVerifyBackend",
                "boolean",
                "Whether the node's certificate is not checked.",
            ),
            query("limitBytes", "integer", "After how many bytes to stop."),
            query(
                "previous",
                "boolean",
                "Whether the container before the last restart is meant.",
            ),
            query("sinceSeconds", "integer", "Only lines that are not older."),
            query("stream", "string", "All, Stdout or Stderr."),
            query("tailLines", "integer", "Only so many of the last lines."),
            query("timestamps", "boolean", "Whether each line begins with its time."),
            PRETTY,
        ],
        Subresource::Exec => {
            let command = query(
                "command",
                "string",
                "The program, and its arguments, each a parameter.",
            );
            [&[command, CONTAINER, tty][..], &streams].concat()
        }
        Subresource::Attach => [&[CONTAINER, tty][..], &streams].concat(),
        Subresource::PortForward => vec![query("ports", "integer", "The ports to forward.")],
        Subresource::Proxy => vec![query("path", "string", "The path to pass on.")],
        _ => Vec::new(),
    }
}
