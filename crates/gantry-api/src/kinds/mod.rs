//! The built-in kinds, one file each. To add one, write its file and name it in the list below.

use crate::kind::{ALL_VERBS, Column, Kind, NoHooks, Scope};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

macro_rules! kinds {
    ($($group:ident { $($kind:ident),* $(,)? })*) => {
        $(mod $group { $(pub mod $kind;)* })*

        /// All built-in kinds.
        pub fn builtin() -> Vec<Kind> {
            vec![$($($group::$kind::kind(),)*)*]
        }
    };
}

kinds! {
    core { config_map, endpoints, event, namespace, node, pod, secret, service, service_account }
    apps { deployment, replica_set }
    coordination { lease }
    discovery { endpoint_slice }
    rbac { cluster_role, cluster_role_binding, role, role_binding }
}

/// A kind with the usual names, the name and age columns, and no behaviour; its file changes what differs.
fn usual(group: &str, kind: &str, plural: &str, scope: Scope) -> Kind {
    Kind {
        group: group.into(),
        version: "v1".into(),
        kind: kind.into(),
        plural: plural.into(),
        singular: kind.to_lowercase().into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        scope,
        storage_prefix: plural.into(),
        verbs: ALL_VERBS,
        subresources: Vec::new(),
        selectable_fields: Vec::new(),
        columns: vec![name_column(), age_column()],
        hooks: Box::new(NoHooks),
    }
}

fn name_column() -> Column {
    Column {
        format: "name",
        ..column("Name", "string", |o, _| crate::meta::name(o).into())
    }
}

fn age_column() -> Column {
    column("Age", "string", |o, now| {
        age(crate::meta::text(o, "creationTimestamp"), now).into()
    })
}

fn column(name: &'static str, type_: &'static str, cell: fn(&Value, i64) -> Value) -> Column {
    Column {
        name,
        type_,
        format: "",
        priority: 0,
        cell,
    }
}

/// A number of an object, 0 when absent.
fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// How many entries a map or list has.
fn size(value: &Value) -> usize {
    value
        .as_object()
        .map(|m| m.len())
        .or(value.as_array().map(Vec::len))
        .unwrap_or(0)
}

/// Sets a field that is absent.
fn default_to(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(map) = object.as_object_mut() {
        map.entry(field).or_insert_with(|| value.into());
    }
}

/// Starts the generation, and takes no status from a client.
fn start_generation(object: &mut Value) {
    object["metadata"]["generation"] = 1.into();
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
    }
}

/// Counts the generation up when the spec changes.
fn count_generation(object: &mut Value, old: &Value) {
    if object["spec"] != old["spec"] {
        object["metadata"]["generation"] = (number(&old["metadata"]["generation"]) + 1).into();
    }
}

/// The time since an RFC 3339 moment, as upstream's duration.HumanDuration words it.
fn age(since: &str, now: i64) -> String {
    let Ok(since) = OffsetDateTime::parse(since, &Rfc3339) else {
        return "<unknown>".into();
    };
    let seconds = (now - since.unix_timestamp()).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let pair = |big: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{big}{unit}"),
        _ => format!("{big}{unit}{small}{small_unit}"),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, "m", seconds % 60, "s"),
        600..10800 => format!("{minutes}m"),
        10800..28800 => pair(hours, "h", minutes % 60, "m"),
        28800..172800 => format!("{hours}h"),
        172800..691200 => pair(days, "d", hours % 24, "h"),
        691200..63072000 => format!("{days}d"),
        63072000..252288000 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_in_order() {
        for kind in builtin() {
            assert!(
                crate::schema::message_for(&kind.group, &kind.version, &kind.kind).is_some(),
                "{} has no schema",
                kind.kind
            );
            assert_eq!(kind.columns[0].name, "Name", "{}", kind.kind);
        }
    }

    #[test]
    fn ages() {
        let check = |seconds: i64, text: &str| assert_eq!(age("1970-01-01T00:00:00Z", seconds), text);
        check(0, "0s");
        check(119, "119s");
        check(121, "2m1s");
        check(600, "10m");
        check(10800, "3h");
        check(10860, "3h1m");
        check(100_000, "27h");
        check(200_000, "2d7h");
        check(700_000, "8d");
        assert_eq!(age("nonsense", 1), "<unknown>");
    }
}
