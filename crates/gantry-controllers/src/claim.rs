//! Adoption and release: a controller owns what its selector chooses, unless that has a controller already.

use crate::object::{controller_of, controller_reference, text, uid};
use crate::runner::Error;
use crate::selector;
use gantry_api::meta;
use gantry_client::{Client, PatchType, Resource};
use serde_json::{Value, json};
use std::sync::Arc;

/// Whoever claims objects.
pub(crate) struct Claimant<'a> {
    /// Writes.
    pub(crate) client: &'a Client,
    /// The resource of the controlling object.
    pub(crate) resource: &'a Resource,
    /// The controlling object.
    pub(crate) owner: &'a Value,
    /// Its `LabelSelector`.
    pub(crate) selector: &'a Value,
}

impl Claimant<'_> {
    /// The `candidates` that are the owner's: adopts those without a controller that its selector chooses, releases
    /// those that it no longer does.
    pub(crate) async fn claim(
        &self,
        dependents: &Resource,
        candidates: Vec<Arc<Value>>,
    ) -> Result<Vec<Arc<Value>>, Error> {
        let mut owned = Vec::new();
        let mut may_adopt = false;
        for object in candidates {
            let chosen = selector::matches(self.selector, &object["metadata"]["labels"]);
            match controller_of(&object) {
                Some(reference) if text(&reference["uid"]) != uid(self.owner) => {}
                Some(_) if chosen => owned.push(object),
                Some(_) if meta::is_deleting(self.owner) => {}
                Some(_) => self.release(dependents, &object).await?,
                None if !chosen || meta::is_deleting(self.owner) || meta::is_deleting(&object) => {}
                None => {
                    if !may_adopt {
                        self.check_alive().await?;
                        may_adopt = true;
                    }
                    if let Some(adopted) = self.adopt(dependents, &object).await? {
                        owned.push(Arc::new(adopted));
                    }
                }
            }
        }
        Ok(owned)
    }

    /// The cache may not know yet that the owner is being deleted; an orphan adopted then would be deleted with it.
    async fn check_alive(&self) -> Result<(), Error> {
        let (namespace, name) = (meta::namespace(self.owner), meta::name(self.owner));
        let fresh = self.client.get(self.resource, namespace, name).await?;
        if uid(&fresh) != uid(self.owner) {
            return Err(Error::NotYet(format!(
                "original {} {namespace}/{name} is gone: got uid {}, wanted {}",
                self.resource.kind,
                uid(&fresh),
                uid(self.owner)
            )));
        }
        if meta::is_deleting(&fresh) {
            return Err(Error::NotYet(format!("{namespace}/{name} has just been deleted")));
        }
        Ok(())
    }

    async fn adopt(&self, dependents: &Resource, object: &Value) -> Result<Option<Value>, Error> {
        let patch = json!({"metadata": {
            "uid": uid(object),
            "ownerReferences": [controller_reference(self.resource, self.owner)],
        }});
        self.patch(dependents, object, &patch).await
    }

    async fn release(&self, dependents: &Resource, object: &Value) -> Result<(), Error> {
        let patch = json!({"metadata": {
            "uid": uid(object),
            "ownerReferences": [{"$patch": "delete", "uid": uid(self.owner)}],
        }});
        self.patch(dependents, object, &patch).await.map(drop)
    }

    async fn patch(
        &self,
        dependents: &Resource,
        object: &Value,
        patch: &Value,
    ) -> Result<Option<Value>, Error> {
        let place = (meta::namespace(object), meta::name(object));
        match self
            .client
            .patch(dependents, place, "", PatchType::Strategic, patch)
            .await
        {
            Ok(patched) => Ok(Some(patched)),
            // Gone, or another by the same name: nothing to claim.
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
