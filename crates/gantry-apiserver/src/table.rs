//! Tables: what `kubectl get` prints.

use crate::view::{self, Include, Meta};
use gantry_api::kind::{Column, Kind};
use serde_json::{Value, json};

/// The definitions of a kind's columns.
pub fn columns(kind: &Kind) -> Value {
    let column = |c: &Column| json!({"name": c.name, "type": c.type_, "format": c.format, "description": c.description, "priority": c.priority});
    kind.columns.iter().map(column).collect()
}

/// The row of an object, with ages as of `now`.
pub fn row(kind: &Kind, object: &Value, include: Include, meta: Meta, now: i64) -> Value {
    let printed = kind.hooks.printed(object);
    let cells: Vec<Value> = kind.columns.iter().map(|c| c.value(&printed, now)).collect();
    match include {
        Include::None => json!({"cells": cells, "object": null}),
        Include::Metadata => json!({"cells": cells, "object": view::metadata(object, meta)}),
        Include::Object => json!({"cells": cells, "object": object}),
    }
}

/// The time ages are given as of.
pub fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}
