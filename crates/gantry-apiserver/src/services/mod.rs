//! What a Service takes from the cluster: its address, and its ports on every node.
//!
//! Source: pkg/registry/core/service/storage/alloc.go and ipallocator. Addresses are those that ServiceCIDRs have, and
//! each that is taken has an IPAddress object (`addresses.rs`). What is taken is known in memory, too: it is read from
//! the store at start and followed since (`state.rs`). Node ports are known in memory alone.

mod addresses;
mod default_cidr;
mod ports;
mod range;
mod shape;
mod state;

pub use range::{Range, RangeError};

use crate::follow;
use crate::registry::Registry;
use crate::request::Kinds;
use addresses::Addresses;
use gantry_api::field;
use gantry_api::kinds::service_addresses;
use gantry_api::meta;
use gantry_api::status::Status;
use gantry_store::ReadError;
use rand::Rng;
use serde_json::{Value, json};
use shape::{agree, beyond_this_cluster, carry_over, is_elsewhere, list, ports_mut, shed};
use state::{Item, Shared, items};
use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

pub use default_cidr::{ensure as ensure_default_cidr, keep as keep_default_cidr};

/// After this long a write has ended, even if nobody waited for it.
const SETTLED: Duration = Duration::from_secs(10);
/// How many addresses that were just taken by others are passed over until a write gives up.
const TRIES: usize = 64;

/// Hands out addresses and node ports.
pub struct Allocator {
    shared: Arc<Shared>,
    /// Where addresses are recorded, if IPAddresses are served.
    addresses: Option<Addresses>,
}

/// What a write has taken. It goes back when this is dropped, unless the write succeeded: see [`settle`].
pub struct Reservation {
    allocator: Arc<Allocator>,
    uid: String,
    /// The Service, as far as its addresses' objects name it.
    service: Value,
    taken: Vec<Item>,
    // Those of the addresses that have an object by this write.
    recorded: Vec<Ipv4Addr>,
    // What the write gives up when it succeeds.
    freed: Vec<Item>,
    // Whether the write is under way. If nobody waits for its end, it may have succeeded or not.
    in_doubt: bool,
}

/// Runs the write that something was taken for: if it succeeds that stays taken, if not it goes back.
pub async fn settle<T>(
    reservation: Option<Reservation>,
    write: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let Some(mut reservation) = reservation else {
        return write.await;
    };
    reservation.in_doubt = true;
    let result = write.await;
    match &result {
        Ok(_) => reservation.keep().await,
        // A store that cannot be asked may have stored it all the same.
        Err(status) => reservation.in_doubt = status.code >= 500,
    }
    result
}

impl Reservation {
    /// The write succeeded.
    async fn keep(mut self) {
        self.taken = Vec::new();
        self.recorded = Vec::new();
        let freed = std::mem::take(&mut self.freed);
        self.allocator.give_back(&self.service, &self.uid, &freed).await;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        if self.recorded.is_empty() && (!self.in_doubt || taken.is_empty()) {
            let mut state = self.allocator.shared.lock();
            taken.iter().for_each(|item| state.release(*item, &self.uid));
            return;
        }
        let (allocator, uid, service) = (self.allocator.clone(), self.uid.clone(), self.service.take());
        let in_doubt = self.in_doubt;
        tokio::spawn(async move {
            let taken = match in_doubt {
                true => allocator.not_stored(&service, &uid, taken).await,
                false => taken,
            };
            allocator.give_back(&service, &uid, &taken).await;
        });
    }
}

impl Allocator {
    /// Reads what is taken and what there is to take, and follows both.
    pub async fn start(registry: &Registry, kinds: &Kinds) -> Result<Arc<Self>, ReadError> {
        let kind = |group: &str, plural: &str| kinds.get(group, "v1", plural);
        let networking = "networking.k8s.io";
        let kinds = ["ipaddresses", "servicecidrs"].map(|plural| kind(networking, plural));
        let [addresses, networks] = kinds.each_ref().map(|kind| match kind {
            Some(kind) => kind.prefix(None),
            None => String::new(),
        });
        let services = kind("", "services");
        let prefix = services
            .as_ref()
            .map_or_else(String::new, |kind| kind.prefix(None));
        let shared = Arc::new(Shared::new([prefix, addresses, networks]));
        for prefix in shared.prefixes().iter().filter(|prefix| !prefix.is_empty()) {
            follow::start(&shared, registry.store(), prefix.clone()).await?;
        }
        let [kind, _] = kinds;
        Ok(Arc::new(Allocator {
            shared,
            addresses: kind.zip(services).map(|(kind, services)| Addresses {
                registry: registry.clone(),
                kind,
                services,
            }),
        }))
    }

    /// Sees to it, now and from time to time, that the addresses of Services and the IPAddress objects agree.
    pub async fn repair(self: &Arc<Self>) -> Result<(), Status> {
        addresses::repair(self).await
    }

    /// Gives a Service what it asks for and does not have yet; `old` is what stands now. A dry run records nothing.
    pub async fn begin(
        self: &Arc<Self>,
        service: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
    ) -> Result<Reservation, Status> {
        let uid = meta::text(old.unwrap_or(service), "uid").to_string();
        if let Some(old) = old {
            shed(&mut service["spec"], &old["spec"]);
            carry_over(&mut service["spec"], &old["spec"]);
            // Another server may have stored it a moment ago.
            self.shared.lock().note_service(old);
        }
        let (namespace, name) = (meta::namespace(service), meta::name(service));
        let mut reservation = Reservation {
            allocator: self.clone(),
            uid,
            service: json!({"metadata": {"namespace": namespace, "name": name}}),
            taken: Vec::new(),
            recorded: Vec::new(),
            freed: Vec::new(),
            in_doubt: false,
        };
        let type_ = service["spec"]["type"]
            .as_str()
            .unwrap_or("ClusterIP")
            .to_string();
        if type_ != "ExternalName" {
            agree(&mut service["spec"], old.map(|old| &old["spec"]));
            let spec = &service["spec"];
            let mut errors = service_addresses(spec);
            if errors.is_empty() {
                errors = beyond_this_cluster(spec);
            }
            if !errors.is_empty() {
                return Err(Status::invalid("", "Service", meta::name(service), &errors));
            }
            self.address(service, &mut reservation, dry_run).await?;
            let result = self.ports(&mut service["spec"], &type_, &mut reservation);
            result.map_err(|error| Status::invalid("", "Service", meta::name(service), &[error]))?;
        }
        let held: HashSet<Item> = items(service).collect();
        reservation.freed = old
            .into_iter()
            .flat_map(items)
            .filter(|item| !held.contains(item))
            .collect();
        Ok(reservation)
    }

    /// Takes back what a Service had that is gone.
    pub async fn release(&self, service: &Value) {
        let all: Vec<Item> = items(service).collect();
        self.give_back(service, meta::text(service, "uid"), &all).await;
        self.shared.lock().forget(service);
    }

    /// What a Service does not have after all, once a write that was under way has ended in one way or the other.
    async fn not_stored(&self, service: &Value, uid: &str, mut taken: Vec<Item>) -> Vec<Item> {
        tokio::time::sleep(SETTLED).await;
        let Some(addresses) = &self.addresses else {
            return taken;
        };
        let (namespace, name) = (meta::namespace(service), meta::name(service));
        let found = addresses.registry.get(&addresses.services, Some(namespace), name);
        match found.await {
            Ok(stored) if meta::text(&stored, "uid") == uid => {
                let has: HashSet<Item> = items(&stored).collect();
                taken.retain(|item| !has.contains(item));
            }
            Err(status) if status.code != 404 => {
                tracing::warn!("what {namespace}/{name} has stays taken: {}", status.message);
                taken.clear();
            }
            _ => {}
        }
        taken
    }

    async fn give_back(&self, service: &Value, uid: &str, items: &[Item]) {
        for item in items {
            if let (Item::Address(address), Some(addresses)) = (item, &self.addresses) {
                addresses.release((*address).into(), service).await;
                self.shared.lock().note_object(*address, false);
            }
            self.shared.lock().release(*item, uid);
        }
    }

    /// Sees to it that a Service has its address.
    async fn address(
        &self,
        service: &mut Value,
        reservation: &mut Reservation,
        dry_run: bool,
    ) -> Result<(), Status> {
        let spec = &service["spec"];
        let given = spec["clusterIP"].as_str().unwrap_or("").to_string();
        let name = meta::name(service).to_string();
        let address = match given.as_str() {
            "None" => given,
            "" => {
                let full = || {
                    Status::internal(format!(
                        "failed to allocate a serviceIP for Service {name:?}: range is full"
                    ))
                };
                self.any_address(reservation, dry_run)
                    .await?
                    .ok_or_else(full)?
                    .to_string()
            }
            // What is no address is the validation's to say.
            _ => {
                if let Ok(address) = given.parse::<Ipv4Addr>() {
                    let taken = self.this_address(address, reservation, dry_run).await?;
                    taken.map_err(|why| {
                        let why = format!("failed to allocate IP {address}: {why}");
                        let error = field::Error::invalid("spec.clusterIPs", json!([given]), why);
                        Status::invalid("", "Service", &name, &[error])
                    })?;
                }
                given
            }
        };
        let spec = &mut service["spec"];
        spec["clusterIP"] = address.as_str().into();
        spec["clusterIPs"] = json!([address]);
        // Who names the endpoints of a headless Service itself may name such of any family.
        let elsewhere = is_elsewhere(spec);
        if spec["ipFamilyPolicy"].is_null() {
            let policy = if elsewhere {
                "RequireDualStack"
            } else {
                "SingleStack"
            };
            spec["ipFamilyPolicy"] = policy.into();
        }
        let mut families: Vec<Value> = list(&spec["ipFamilies"]).cloned().collect();
        if families.is_empty() {
            families.push("IPv4".into());
        }
        if elsewhere && families.len() < 2 && spec["ipFamilyPolicy"] != "SingleStack" {
            let other = if families[0] == "IPv4" { "IPv6" } else { "IPv4" };
            families.push(other.into());
        }
        spec["ipFamilies"] = families.into();
        Ok(())
    }

    /// Takes an address that nobody has; `None` when there is none.
    async fn any_address(
        &self,
        reservation: &mut Reservation,
        dry_run: bool,
    ) -> Result<Option<Ipv4Addr>, Status> {
        for _ in 0..TRIES {
            let address = {
                let mut state = self.shared.lock();
                let start = |count| rand::rng().random_range(0..count);
                let Some(address) = state.free_address(start) else {
                    return Ok(None);
                };
                state.take(Item::Address(address), &reservation.uid);
                address
            };
            reservation.taken.push(Item::Address(address));
            if dry_run || self.record(address, reservation).await? {
                return Ok(Some(address));
            }
            // Another server was faster.
            reservation.taken.pop();
            let mut state = self.shared.lock();
            state.release(Item::Address(address), &reservation.uid);
            state.note_object(address, true);
        }
        Ok(None)
    }

    /// Takes the address that is asked for, or says why it cannot be had.
    async fn this_address(
        &self,
        address: Ipv4Addr,
        reservation: &mut Reservation,
        dry_run: bool,
    ) -> Result<Result<(), &'static str>, Status> {
        // Like upstream, a dry run looks only whether there is such an address.
        if dry_run && self.shared.lock().holds(address) {
            return Ok(Ok(()));
        }
        const TAKEN: &str = "provided IP is already allocated";
        let item = Item::Address(address);
        {
            let mut state = self.shared.lock();
            match state.owner(item) {
                Some(owner) if owner == reservation.uid => return Ok(Ok(())),
                Some(_) => return Ok(Err(TAKEN)),
                None if !state.holds(address) => {
                    return Ok(Err("the provided network does not match the current range"));
                }
                None => state.take(item, &reservation.uid),
            }
        }
        reservation.taken.push(item);
        match self.record(address, reservation).await? {
            true => Ok(Ok(())),
            false => Ok(Err(TAKEN)),
        }
    }

    /// Stores the object that makes an address a Service's; `false` if there is one already.
    async fn record(&self, address: Ipv4Addr, reservation: &mut Reservation) -> Result<bool, Status> {
        let Some(addresses) = &self.addresses else {
            return Ok(true);
        };
        match addresses.create(address.into(), &reservation.service).await {
            Ok(()) => {
                reservation.recorded.push(address);
                Ok(true)
            }
            Err(status) if status.code == 409 => Ok(false),
            Err(status) => Err(status),
        }
    }
}

#[cfg(test)]
mod tests;
