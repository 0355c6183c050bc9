//! `metadata.managedFields`: who owns which fields.

use super::set::Set;
use super::shape::Shape;
use super::walk;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// So many managers that update are told apart; the oldest are merged into one.
const MAX_UPDATERS: usize = 10;
/// The manager that the oldest updates are merged into.
const ANCIENT: &str = "ancient-changes";

/// What a manager did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Server-side apply.
    Apply,
    /// Everything else.
    Update,
}

impl Operation {
    fn text(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

/// What tells managers apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Manager {
    /// Its name.
    pub name: String,
    /// What it did.
    pub operation: Operation,
    /// The version it wrote; empty for appliers, which are the same one in all versions.
    pub api_version: String,
    /// The subresource it wrote; empty for the object itself.
    pub subresource: String,
}

/// What a manager owns.
#[derive(Clone, Debug, PartialEq)]
pub struct Owned {
    /// The version the fields are of.
    pub api_version: String,
    /// When the manager last changed something, in RFC 3339.
    pub time: Option<String>,
    /// The fields.
    pub fields: Set,
}

/// All managers of an object.
pub type Managed = BTreeMap<Manager, Owned>;

impl Manager {
    /// A manager of one operation in one version.
    pub fn new(name: &str, operation: Operation, api_version: &str, subresource: &str) -> Self {
        Manager {
            name: if name.is_empty() { "unknown" } else { name }.into(),
            operation,
            api_version: match operation {
                Operation::Apply => String::new(),
                Operation::Update => api_version.into(),
            },
            subresource: subresource.into(),
        }
    }

    /// The same, of another version.
    pub fn with_version(&self, api_version: &str) -> Self {
        Manager::new(&self.name, self.operation, api_version, &self.subresource)
    }

    /// As conflicts name it.
    pub fn describe(&self) -> String {
        let mut text = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == Operation::Update {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }
}

/// Whether a client asks for ownership to be forgotten: an empty list, or one empty item.
pub fn is_reset(list: &Value) -> bool {
    match list.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([one]) => one.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}

/// Reads `managedFields`.
///
/// # Errors
///
/// What is wrong with it.
pub fn decode(shape: Shape, list: &Value) -> Result<Managed, String> {
    let mut managed = Managed::new();
    for (i, entry) in list.as_array().into_iter().flatten().enumerate() {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or("");
        let operation = match text("operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err("operation must be `Apply` or `Update`".into()),
        };
        if text("apiVersion").is_empty() {
            return Err("apiVersion must not be empty".into());
        }
        match text("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(format!("missing fieldsType in managed fields entry {i}")),
            other => {
                return Err(format!(
                    "invalid fieldsType {other:?} in managed fields entry {i}"
                ));
            }
        }
        let mut fields = match entry.get("fieldsV1") {
            Some(fields) => Set::decode(fields)?,
            None => Set::default(),
        };
        walk::reconcile(shape, &mut fields);
        let manager = Manager {
            name: text("manager").into(),
            ..Manager::new("", operation, text("apiVersion"), text("subresource"))
        };
        let owned = Owned {
            api_version: text("apiVersion").into(),
            time: Some(text("time").to_string()).filter(|t| !t.is_empty()),
            fields,
        };
        managed.insert(manager, owned);
    }
    Ok(managed)
}

/// `managedFields` of one manager, as JSON, with its fields in their FieldsV1 form.
pub fn one(manager: &Manager, fields: &str, time: &str) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let subresource = match manager.subresource.as_str() {
        "" => String::new(),
        name => format!(",\"subresource\":{}", text(name)),
    };
    let (version, name, operation) = (
        text(&manager.api_version),
        text(&manager.name),
        manager.operation.text(),
    );
    format!(
        "[{{\"apiVersion\":{version},\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{fields},\"manager\":{name},\
         \"operation\":\"{operation}\"{subresource},\"time\":{}}}]",
        text(time)
    )
}

/// Writes `managedFields`; `None` when there are no managers.
pub fn encode(managed: Managed) -> Option<Value> {
    if managed.is_empty() {
        return None;
    }
    let mut all: Vec<(Manager, Owned)> = managed.into_iter().collect();
    all.sort_by(|(a, owned_a), (b, owned_b)| {
        a.operation
            .cmp(&b.operation)
            .then_with(|| owned_a.time.cmp(&owned_b.time))
            .then_with(|| a.name.cmp(&b.name))
            .then_with(|| owned_a.api_version.cmp(&owned_b.api_version))
            .then_with(|| a.subresource.cmp(&b.subresource))
    });
    let entries = all.into_iter().map(|(manager, owned)| {
        let mut entry = Map::new();
        // Not by json!, which copies what it is given.
        let mut put = |name: &str, value: Value| entry.insert(name.into(), value);
        put("operation", manager.operation.text().into());
        put("apiVersion", owned.api_version.into());
        put("fieldsType", "FieldsV1".into());
        put("fieldsV1", owned.fields.encode());
        let optional = [
            ("manager", Some(manager.name)),
            ("subresource", Some(manager.subresource)),
            ("time", owned.time),
        ];
        for (name, text) in optional {
            if let Some(text) = text.filter(|t| !t.is_empty()) {
                put(name, text.into());
            }
        }
        Value::Object(entry)
    });
    Some(entries.collect())
}

/// Merges the oldest updates, so that not every name a client ever wrote under is kept.
pub fn cap_updaters(managed: &mut Managed) {
    let mut updaters: Vec<Manager> = managed
        .keys()
        .filter(|m| m.operation == Operation::Update)
        .cloned()
        .collect();
    let mut left = updaters.len();
    if left <= MAX_UPDATERS {
        return;
    }
    updaters.sort_by_cached_key(|m| (managed.get(m).and_then(|o| o.time.clone()), m.clone()));
    let mut first_of_version: BTreeMap<String, Manager> = BTreeMap::new();
    for updater in updaters {
        if left <= MAX_UPDATERS {
            break;
        }
        let Some(first) = first_of_version.get(&updater.api_version) else {
            first_of_version.insert(updater.api_version.clone(), updater);
            continue;
        };
        let bucket = Manager::new(ANCIENT, Operation::Update, &updater.api_version, "");
        if !managed.contains_key(&bucket)
            && let Some(owned) = managed.remove(first)
        {
            managed.insert(bucket.clone(), owned);
        }
        if updater != bucket
            && let Some(owned) = managed.remove(&updater)
            && let Some(ancient) = managed.get_mut(&bucket)
        {
            ancient.fields = ancient.fields.union(&owned.fields);
            // The later of the two.
            ancient.time = owned.time;
            left -= 1;
        }
    }
}
