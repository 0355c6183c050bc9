//! An IPAddress object for each Service's address: whoever stores it first has the address, whichever server it asked.
//!
//! Sources: pkg/registry/core/service/ipallocator/ipallocator.go, and its controller/repairip.go for [`repair`].

use super::Allocator;
use crate::options::FieldValidation;
use crate::pipeline::{self, Validated};
use crate::registry::{Registry, revision_of};
use crate::verbs::{TRIES, rfc3339, stamp};
use crate::warnings::Warnings;
use gantry_api::kind::Kind;
use gantry_api::meta;
use gantry_api::status::Status;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";
const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const MANAGER: &str = "ipallocator.k8s.io";
/// How often everything is looked at.
const PERIOD: Duration = Duration::from_secs(3 * 60);
/// A write may take so long to store the Service that an address is for.
const PATIENCE: time::Duration = time::Duration::seconds(60);

/// The IPAddress objects.
#[derive(Clone)]
pub struct Addresses {
    pub registry: Registry,
    pub kind: Arc<Kind>,
    pub services: Arc<Kind>,
}

impl Addresses {
    /// Makes the object of a Service's address; 409 when somebody has it.
    pub async fn create(&self, address: IpAddr, service: &Value) -> Result<(), Status> {
        let object = json!({
            "metadata": {"name": address, "labels": {FAMILY: family(address), MANAGED_BY: MANAGER}},
            "spec": {"parentRef": parent(service)},
        });
        let mut decoded = pipeline::decode(
            &self.kind,
            object.into(),
            FieldValidation::Ignore,
            &Warnings::default(),
        )?;
        stamp(decoded.metadata());
        decoded.default(&self.kind);
        let validated = decoded.admit_own(&self.kind).validate_create(&self.kind)?;
        self.registry.create(&self.kind, validated).await.map(|_| ())
    }

    /// Deletes the object of an address that a Service had. What is another's by now stays.
    pub async fn release(&self, address: IpAddr, service: &Value) {
        let is_own = |object: &Value| refers_to(object, service) && is_managed(object);
        if let Err(status) = self.delete(&address.to_string(), is_own).await {
            tracing::warn!("the IPAddress {address} is deleted later: {}", status.message);
        }
    }

    async fn delete(&self, name: &str, is_right: impl Fn(&Value) -> bool) -> Result<(), Status> {
        let mut result = Ok(());
        for _ in 0..TRIES {
            let mut object = match self.registry.get(&self.kind, None, name).await {
                Ok(object) if is_right(&object) && !meta::is_deleting(&object) => object,
                Err(status) if status.code != 404 => return Err(status),
                _ => return Ok(()),
            };
            let revision = revision_of(&object);
            let held = object["metadata"]["finalizers"]
                .as_array()
                .is_some_and(|held| !held.is_empty());
            result = match held {
                false => self.registry.delete(&self.kind, &object, revision).await,
                true => {
                    object["metadata"]["deletionTimestamp"] = rfc3339(OffsetDateTime::now_utc()).into();
                    object["metadata"]["deletionGracePeriodSeconds"] = 0.into();
                    let object = Validated::with_metadata_of(object);
                    self.registry
                        .update(&self.kind, object, revision)
                        .await
                        .map(|_| ())
                }
            };
            match &result {
                Err(status) if status.code == 409 => {}
                _ => break,
            }
        }
        result
    }

    /// Gives every Service's address its object, and deletes the objects of addresses that no Service has.
    async fn repair(&self, holds: impl Fn(IpAddr) -> bool) -> Result<(), Status> {
        let place = |object: &Value| {
            (
                meta::namespace(object).to_string(),
                meta::name(object).to_string(),
            )
        };
        let all = self
            .registry
            .all(&self.services, &self.services.prefix(None))
            .await?;
        let services: HashMap<_, _> = all.iter().map(|service| (place(service), service)).collect();
        let of = |object: &Value| {
            let reference = &object["spec"]["parentRef"];
            let text = |field: &str| reference[field].as_str().unwrap_or_default().to_string();
            services.get(&(text("namespace"), text("name"))).copied()
        };
        let objects = self.registry.all(&self.kind, &self.kind.prefix(None)).await?;
        let by_name: HashMap<_, _> = objects
            .iter()
            .map(|object| (meta::name(object), object))
            .collect();
        for service in &all {
            for address in addresses(service) {
                let name = address.to_string();
                let found = by_name.get(name.as_str()).copied();
                match found {
                    _ if !holds(address) => {
                        let (namespace, own) = (meta::namespace(service), meta::name(service));
                        tracing::warn!(
                            "the address {address} of the service {namespace}/{own} is in no ServiceCIDR"
                        );
                        continue;
                    }
                    Some(object) if refers_to(object, service) && is_labelled(object, address) => continue,
                    // Two Services have one address: the object is the other's.
                    Some(object)
                        if !refers_to(object, service) && of(object).is_some() && is_service(object) =>
                    {
                        continue;
                    }
                    Some(_) => self.delete(&name, |_| true).await?,
                    None => {}
                }
                match self.create(address, service).await {
                    Err(status) if status.code == 409 => {}
                    other => other?,
                }
            }
        }
        for object in objects.iter().filter(|object| is_managed(object)) {
            let service = of(object).filter(|_| is_service(object));
            let has = |service: &Value| addresses(service).any(|own| own.to_string() == meta::name(object));
            let leaked = !is_service(object) || age(object) > PATIENCE;
            if !service.is_some_and(has) && leaked {
                tracing::warn!(
                    "no service has the IPAddress {}: it is deleted",
                    meta::name(object)
                );
                let revision = revision_of(object);
                self.delete(meta::name(object), |now| revision_of(now) == revision)
                    .await?;
            }
        }
        Ok(())
    }
}

fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}

fn parent(service: &Value) -> Value {
    json!({"group": "", "resource": "services", "namespace": meta::namespace(service), "name": meta::name(service)})
}

fn is_service(object: &Value) -> bool {
    let reference = &object["spec"]["parentRef"];
    reference["group"].as_str().unwrap_or_default().is_empty() && reference["resource"] == "services"
}

fn refers_to(object: &Value, service: &Value) -> bool {
    let reference = &object["spec"]["parentRef"];
    let same = |field: &str| reference[field] == service["metadata"][field];
    is_service(object) && same("namespace") && same("name")
}

fn is_managed(object: &Value) -> bool {
    object["metadata"]["labels"][MANAGED_BY] == MANAGER
}

fn is_labelled(object: &Value, address: IpAddr) -> bool {
    is_managed(object) && object["metadata"]["labels"][FAMILY] == family(address)
}

fn addresses(service: &Value) -> impl Iterator<Item = IpAddr> {
    let texts = service["spec"]["clusterIPs"].as_array().into_iter().flatten();
    texts.filter_map(|text| text.as_str()?.parse().ok())
}

fn age(object: &Value) -> time::Duration {
    let since = OffsetDateTime::parse(meta::text(object, "creationTimestamp"), &Rfc3339);
    since.map_or(time::Duration::MAX, |since| OffsetDateTime::now_utc() - since)
}

/// Sees to it now, and again and again for as long as the allocator lives.
pub async fn repair(allocator: &Arc<Allocator>) -> Result<(), Status> {
    once(allocator).await?;
    tokio::spawn(again(Arc::downgrade(allocator)));
    Ok(())
}

async fn once(allocator: &Allocator) -> Result<(), Status> {
    let Some(addresses) = &allocator.addresses else {
        return Ok(());
    };
    // IPv6 addresses come from networks that this server gives nothing out of, and are let be.
    let holds = |address: IpAddr| match address {
        IpAddr::V4(address) => allocator.shared.lock().holds(address),
        IpAddr::V6(_) => false,
    };
    addresses.repair(holds).await
}

async fn again(allocator: Weak<Allocator>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        let Some(allocator) = allocator.upgrade() else {
            return;
        };
        if let Err(status) = once(&allocator).await {
            tracing::warn!(
                "the IPAddresses of services are looked at again later: {}",
                status.message
            );
        }
    }
}
