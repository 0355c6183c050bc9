//! ComponentStatus: how the parts of the control plane do, asked of them anew each time. Deprecated, and still read.
//!
//! Source: pkg/registry/core/componentstatus/rest.go.

use crate::answered::{Answer, Answered};
use crate::call::Call;
use crate::health;
use crate::respond::Body;
use crate::table;
use crate::verbs::Api;
use crate::view::{self, View};
use gantry_api::kind::{Cell, Column, Deprecation, Kind, Scope};
use gantry_api::meta;
use gantry_api::selector::Labels;
use gantry_api::status::Status;
use http::Response;
use serde_json::{Value, json};

/// The parts, under upstream's names. Controllers and scheduler run in the server's process and as long as it does.
const COMPONENTS: [&str; 3] = ["controller-manager", STORE, "scheduler"];
const STORE: &str = "etcd-0";

/// The kind.
pub static ANSWERED: Answered = Answered {
    group: "",
    kind: "ComponentStatus",
    plural: "componentstatuses",
    scope: Scope::Cluster,
    complete,
    answer: Answer::Call(|api, call| {
        Box::pin(async move {
            match call.verb {
                "get" => get(api, &call).await,
                _ => list(api, &call).await,
            }
        })
    }),
};

fn complete(kind: &mut Kind) {
    let column = |name: &'static str, format: &'static str, cell| Column {
        name: name.into(),
        type_: "string".into(),
        format: format.into(),
        description: "".into(),
        priority: 0,
        cell: Cell::Made(cell),
    };
    kind.deprecation = Some(Deprecation::Since {
        version: 19,
        removed: None,
        replacement: "",
    });
    kind.short_names = vec!["cs".into()];
    kind.verbs = &["get", "list"];
    kind.columns = vec![
        column("Name", "name", |o, _| meta::name(o).into()),
        column("Status", "", |o, _| match o["conditions"][0]["status"].as_str() {
            Some("True") => "Healthy".into(),
            _ => "Unhealthy".into(),
        }),
        column("Message", "", |o, _| {
            o["conditions"][0]["message"].as_str().unwrap_or("").into()
        }),
        column("Error", "", |o, _| {
            o["conditions"][0]["error"].as_str().unwrap_or("").into()
        }),
    ];
}

/// Answers for one component.
async fn get(api: &Api, call: &Call) -> Result<Response<Body>, Status> {
    let name = call.name()?;
    if !COMPONENTS.contains(&name) {
        return Err(Status::internal(format!("Component not found: {name}")));
    }
    call.answer(200, &component(api, name).await)
}

/// Answers for all components.
async fn list(api: &Api, call: &Call) -> Result<Response<Body>, Status> {
    let labels = Labels::parse(call.options.text("labelSelector"))?;
    let mut items = Vec::new();
    for name in COMPONENTS {
        items.push(component(api, name).await);
    }
    items.retain(|item| labels.matches(item));
    let kind = &call.target.kind;
    let list = match call.view(true)? {
        View::Whole => {
            json!({"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": items})
        }
        View::Table(include, meta) => {
            let rows = items
                .iter()
                .map(|item| table::row(kind, item, include, meta, table::now()));
            json!({
                "kind": "Table", "apiVersion": meta.api_version(), "metadata": {},
                "columnDefinitions": table::columns(kind), "rows": rows.collect::<Vec<_>>(),
            })
        }
        View::Metadata(meta) => json!({
            "kind": "PartialObjectMetadataList", "apiVersion": meta.api_version(), "metadata": {},
            "items": items.iter().map(|item| view::metadata(item, meta)).collect::<Vec<_>>(),
        }),
    };
    Ok(call.respond(200, &list))
}

async fn component(api: &Api, name: &str) -> Value {
    let found = match name {
        STORE => health::store(api).await,
        _ => Ok(()),
    };
    let condition = match found {
        Ok(()) => json!({"type": "Healthy", "status": "True", "message": "ok"}),
        Err(error) => json!({"type": "Healthy", "status": "False", "error": error}),
    };
    json!({
        "kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name}, "conditions": [condition],
    })
}
