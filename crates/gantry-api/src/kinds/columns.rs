//! Columns that several kinds share, and the texts in them. Source: pkg/printers/internalversion/printers.go.

use super::values::{entries, list, text};
use crate::apply::validate::go;
use crate::kind::{Cell, Column};
use crate::schema;
use serde_json::Value;
use smol_str::SmolStr;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What a field of every object's metadata is, for people.
pub fn described(field: &str) -> String {
    let metadata = schema::message("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    metadata
        .and_then(|m| m.field(field))
        .map(schema::Field::description)
        .unwrap_or_default()
}

/// The object's name.
pub fn name_column() -> Column {
    Column {
        format: SmolStr::new_static("name"),
        description: described("name").into(),
        ..column("Name", "string", |o, _| crate::meta::name(o).into())
    }
}

/// The time since the object's creation.
pub fn age_column() -> Column {
    Column {
        description: described("creationTimestamp").into(),
        ..column("Age", "string", |o, now| {
            age(crate::meta::text(o, "creationTimestamp"), now).into()
        })
    }
}

/// The moment of the object's creation. Kinds that upstream has no printer for show it instead of an age.
pub fn created_column() -> Column {
    Column {
        description: described("creationTimestamp").into(),
        ..column("Created At", "date", |o, _| {
            crate::meta::text(o, "creationTimestamp").into()
        })
    }
}

/// A column that is always shown.
pub fn column(name: &'static str, type_: &'static str, cell: fn(&Value, i64) -> Value) -> Column {
    Column {
        name: SmolStr::new_static(name),
        type_: SmolStr::new_static(type_),
        format: SmolStr::default(),
        description: SmolStr::default(),
        priority: 0,
        cell: Cell::Made(cell),
    }
}

/// A column that is shown with `-o wide`.
pub fn wide(name: &'static str, type_: &'static str, cell: fn(&Value, i64) -> Value) -> Column {
    Column {
        priority: 1,
        ..column(name, type_, cell)
    }
}

/// The wide columns of kinds that make pods from a template: containers, images and selector.
pub fn template_columns() -> [Column; 3] {
    fn of(object: &Value, field: &str) -> Value {
        let containers = list(&object["spec"]["template"]["spec"]["containers"]);
        super::values::joined(containers.iter().map(|c| text(&c[field])), ",").into()
    }
    [
        wide("Containers", "string", |o, _| of(o, "name")),
        wide("Images", "string", |o, _| of(o, "image")),
        wide("Selector", "string", |o, _| {
            label_selector(&o["spec"]["selector"]).into()
        }),
    ]
}

/// Access modes in short, always in the same order.
pub fn access_modes(modes: &Value) -> String {
    let short = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let given = short
        .iter()
        .filter(|(mode, _)| list(modes).iter().any(|m| m == mode));
    super::values::joined(given.map(|(_, short)| *short), ",")
}

/// The storage class of a volume or claim; an older annotation goes before the field.
pub fn class(object: &Value) -> &str {
    let older = &object["metadata"]["annotations"][STORAGE_CLASS];
    text(if older.is_null() {
        &object["spec"]["storageClassName"]
    } else {
        older
    })
}

/// The annotation that named storage classes once.
pub const STORAGE_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// The phase of an object, unless it is going.
pub fn phase(object: &Value) -> &str {
    match crate::meta::is_deleting(object) {
        true => "Terminating",
        false => text(&object["status"]["phase"]),
    }
}

/// A text, or `<none>`.
pub fn or_none(value: &str) -> Value {
    if value.is_empty() { "<none>" } else { value }.into()
}

/// A map as `a=b,c=d`, or `<none>`.
pub fn labels(map: &Value) -> String {
    let pairs: Vec<String> = entries(map).map(|(k, v)| format!("{k}={}", text(v))).collect();
    if pairs.is_empty() {
        "<none>".into()
    } else {
        pairs.join(",")
    }
}

/// A LabelSelector as text.
pub fn label_selector(selector: &Value) -> String {
    let mut parts: Vec<(&str, String)> = entries(&selector["matchLabels"])
        .map(|(k, v)| (k.as_str(), format!("{k}={}", text(v))))
        .collect();
    for expression in list(&selector["matchExpressions"]) {
        let key = text(&expression["key"]);
        let mut values: Vec<&str> = list(&expression["values"]).iter().map(text).collect();
        values.sort_unstable();
        let values = values.join(",");
        parts.push((
            key,
            match text(&expression["operator"]) {
                "In" => format!("{key} in ({values})"),
                "NotIn" => format!("{key} notin ({values})"),
                "Exists" => key.to_string(),
                _ => format!("!{key}"),
            },
        ));
    }
    parts.sort_by(|a, b| a.0.cmp(b.0));
    if parts.is_empty() {
        return "<none>".into();
    }
    parts
        .into_iter()
        .map(|(_, text)| text)
        .collect::<Vec<_>>()
        .join(",")
}

/// The first texts of a list, and how many more there are.
pub fn first_three(mut all: Vec<String>) -> String {
    const SHOWN: usize = 3;
    let count = all.len();
    if count == 0 {
        return "<unset>".into();
    }
    all.truncate(SHOWN);
    let shown = all.join(",");
    match count.checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown} + {more} more..."),
        _ => shown,
    }
}

/// The time from one RFC 3339 moment to another, or to `now` when there is no other.
pub fn between(since: &str, until: &str, now: i64) -> String {
    let until = OffsetDateTime::parse(until, &Rfc3339).map_or(now, |until| until.unix_timestamp());
    age(since, until)
}

impl Column {
    /// The value of an object's cell.
    pub fn value(&self, object: &Value, now: i64) -> Value {
        match &self.cell {
            Cell::Made(make) => make(object, now),
            Cell::At(path) => path
                .first(object)
                .map_or(Value::Null, |value| self.of_type(value, now)),
        }
    }

    /// A value found by its path, as the column's type; what is of another type is not shown.
    fn of_type(&self, value: &Value, now: i64) -> Value {
        match (self.type_.as_str(), value) {
            (_, Value::Null) => Value::Null,
            ("string", Value::Object(_) | Value::Array(_)) => value.to_string().into(),
            ("string", value) => go(value).into(),
            ("integer", value) => match (value.as_i64(), value.as_f64()) {
                (Some(number), _) => number.into(),
                (None, Some(number)) => (number as i64).into(),
                (None, None) => Value::Null,
            },
            ("number", value) => value.as_f64().map_or(Value::Null, Value::from),
            ("boolean", Value::Bool(_)) => value.clone(),
            ("date", Value::String(since)) => match OffsetDateTime::parse(since, &Rfc3339) {
                Ok(_) => age(since, now).into(),
                Err(_) => "<invalid>".into(),
            },
            _ => Value::Null,
        }
    }
}

/// The time since an RFC 3339 moment, as upstream's duration.HumanDuration words it.
pub fn age(since: &str, now: i64) -> String {
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
    use serde_json::json;

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

    #[test]
    fn selectors() {
        let check = |value: Value, text: &str| assert_eq!(label_selector(&value), text);
        check(json!({}), "<none>");
        check(json!({"matchLabels": {"b": "1", "a": "2"}}), "a=2,b=1");
        let expressions =
            json!([{"key": "t", "operator": "In", "values": ["y", "x"]}, {"key": "s", "operator": "Exists"}]);
        check(
            json!({"matchLabels": {"z": "1"}, "matchExpressions": expressions}),
            "s,t in (x,y),z=1",
        );
    }
}
