//! What the protection controllers share: a finalizer that holds an object for as long as others need it.
//!
//! Source: pkg/controller/volume/{pvcprotection,pvprotection,vacprotection}.

use crate::object::items;
use crate::runner::{Error, Next};
use gantry_api::meta;
use gantry_client::{Client, Resource};
use serde_json::{Value, json};

/// How objects of a resource are held.
pub(crate) struct Protection {
    /// The resource.
    pub(crate) resource: Resource,
    /// The finalizer. Admission puts it on new objects.
    pub(crate) finalizer: &'static str,
}

impl Protection {
    fn holds(&self, object: &Value) -> bool {
        items(&object["metadata"]["finalizers"]).any(|f| f == self.finalizer)
    }

    /// Whether there may be something to do: the object lacks the finalizer, or is being deleted and has it.
    pub(crate) fn concerns(&self, object: &Value) -> bool {
        meta::is_deleting(object) == self.holds(object)
    }

    /// Puts the finalizer on an object that is older than the admission of it, and takes it off one that is being deleted
    /// and not in use. `in_use` is asked only then.
    pub(crate) async fn settle(
        &self,
        client: &Client,
        object: &Value,
        in_use: impl Future<Output = Result<bool, Error>>,
    ) -> Result<Next, Error> {
        if !self.concerns(object) {
            return Ok(Next::Done);
        }
        let mut finalizers: Vec<Value> = items(&object["metadata"]["finalizers"]).cloned().collect();
        if !meta::is_deleting(object) {
            finalizers.push(self.finalizer.into());
        } else if in_use.await? {
            return Ok(Next::Done);
        } else {
            finalizers.retain(|f| f != self.finalizer);
        }
        let mut changed = object.clone();
        changed["metadata"]["finalizers"] = json!(finalizers);
        match client.update(&self.resource, &changed).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(Next::Done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_client::resource::PERSISTENT_VOLUMES;

    #[test]
    fn what_there_is_to_do() {
        let protection = Protection {
            resource: PERSISTENT_VOLUMES,
            finalizer: "a/b",
        };
        let check = |finalizers: &[&str], deleting: bool, expected: bool| {
            let mut object = json!({"metadata": {"finalizers": finalizers}});
            if deleting {
                object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            assert_eq!(protection.concerns(&object), expected, "{object}");
        };
        check(&[], false, true);
        check(&["c/d"], false, true);
        check(&["a/b"], false, false);
        check(&["a/b"], true, true);
        check(&["c/d"], true, false);
    }
}
