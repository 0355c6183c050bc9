//! Objects that a component shares with the server of the same process: the bytes as they are stored, read when somebody
//! asks, and never held twice.

use crate::ready;
use crate::trimmed::{Outline, Trimmed};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

/// An object's JSON, cheap to clone.
#[derive(Clone, Debug)]
pub struct Shared {
    json: Bytes,
    /// The resourceVersion, which stored objects do not hold; 0 if the JSON tells it.
    revision: u64,
}

/// An event of a watch within a process.
#[derive(Clone, Debug)]
pub struct SharedEvent {
    /// `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
    pub type_: &'static str,
    /// The object; a Status after an error.
    pub object: Shared,
}

/// The events of a watch within a process, as they happen.
#[async_trait]
pub trait SharedEvents: Send {
    /// The next events; `None` at the watch's end.
    async fn next(&mut self) -> Option<Vec<SharedEvent>>;
}

impl Shared {
    /// An object whose JSON is complete.
    pub fn complete(json: impl Into<Bytes>) -> Self {
        Shared {
            json: json.into(),
            revision: 0,
        }
    }

    /// An object as it is stored, without the resourceVersion that it has.
    pub fn stored(json: Bytes, revision: u64) -> Self {
        Shared { json, revision }
    }

    /// The object, without who owns which field.
    pub(crate) fn read(&self) -> Result<Value, serde_json::Error> {
        let object = match ready::take(&self.json) {
            Some(object) => object,
            None => serde_json::from_slice::<Trimmed>(&self.json)?.0,
        };
        Ok(self.versioned(object))
    }

    /// The object's metadata alone.
    pub(crate) fn outline(&self) -> Result<Value, serde_json::Error> {
        let Outline(object) = serde_json::from_slice(&self.json)?;
        Ok(self.versioned(object))
    }

    fn versioned(&self, mut object: Value) -> Value {
        if self.revision > 0
            && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        {
            metadata.insert("resourceVersion".into(), self.revision.to_string().into());
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_stored_gets_its_revision() {
        let check = |shared: Shared, whole: Value, outline: Value| {
            assert_eq!(shared.read().unwrap(), whole);
            assert_eq!(shared.outline().unwrap(), outline);
        };
        let json = br#"{"kind":"Pod","metadata":{"name":"a","managedFields":[1]},"spec":{"metadata":{}}}"#;
        check(
            Shared::stored(json.as_slice().into(), 7),
            json!({"kind": "Pod", "metadata": {"name": "a", "resourceVersion": "7"}, "spec": {"metadata": {}}}),
            json!({"metadata": {"name": "a", "resourceVersion": "7"}}),
        );
        let json = br#"{"metadata":{"resourceVersion":"5"},"spec":{}}"#.as_slice();
        check(
            Shared::complete(json),
            json!({"metadata": {"resourceVersion": "5"}, "spec": {}}),
            json!({"metadata": {"resourceVersion": "5"}}),
        );
        assert!(Shared::complete("[").read().is_err());
    }
}
