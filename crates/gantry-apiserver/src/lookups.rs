//! Objects that many requests look up, each read from its JSON once per version: namespaces, service accounts, classes.

use crate::stored::decode_as;
use bytes::Bytes;
use gantry_api::kind::Kind;
use gantry_api::status::Status;
use gantry_store::{Entry, Revision};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// So many are kept; when there are more, all are read anew.
const KEPT: usize = 1024;

/// What was read, by the key in the store.
#[derive(Default)]
pub struct Lookups(Mutex<HashMap<Bytes, (Revision, Arc<Value>)>>);

impl Lookups {
    /// The object in an entry, in the one form in which its kind is looked up.
    pub fn read(&self, kind: &Kind, entry: &Entry) -> Result<Arc<Value>, Status> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((revision, object)) = kept.get(&entry.key)
            && *revision == entry.mod_revision
        {
            return Ok(object.clone());
        }
        let object = Arc::new(decode_as(kind, entry)?);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(entry.key.clone(), (entry.mod_revision, object.clone()));
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_read_once() {
        let mut kinds = gantry_api::kinds::builtin().into_iter();
        let kind = kinds.find(|k| k.kind == "Namespace").unwrap();
        let lookups = Lookups::default();
        let read = |mod_revision: Revision, name: &str| {
            let entry = Entry {
                key: "/registry/namespaces/a".into(),
                value: format!(r#"{{"metadata":{{"name":"{name}"}}}}"#).into(),
                create_revision: 1,
                mod_revision,
                version: 1,
            };
            lookups.read(&kind, &entry).unwrap()
        };
        let first = read(5, "a");
        assert!(Arc::ptr_eq(&first, &read(5, "a")));
        let second = read(6, "b");
        assert_eq!(second["metadata"]["name"], "b");
        assert_eq!(second["metadata"]["resourceVersion"], "6");
    }
}
