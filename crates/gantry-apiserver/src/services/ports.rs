//! The ports that Services have on every node.

use super::state::{Item, State};
use super::{Allocator, Reservation, ports_mut};
use gantry_api::field;
use rand::Rng;
use serde_json::{Value, json};
use std::collections::HashMap;

const FIRST_PORT: u16 = 30000;
const LAST_PORT: u16 = 32767;

impl Allocator {
    /// Sees to it that a Service has its ports on the nodes.
    pub(super) fn ports(
        &self,
        spec: &mut Value,
        type_: &str,
        reservation: &mut Reservation,
    ) -> Result<(), field::Error> {
        let mut taken = self.shared.lock();
        let wants_ports = type_ == "NodePort"
            || (type_ == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] != json!(false));
        let local = type_ == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local";
        if local && spec["healthCheckNodePort"].as_u64().unwrap_or(0) == 0 {
            spec["healthCheckNodePort"] = self
                .free_port(&mut taken, reservation, "spec.healthCheckNodePort")?
                .into();
        }
        let mut by_port: HashMap<u64, u16> = HashMap::new();
        for (index, port) in ports_mut(spec).enumerate() {
            let number = port["port"].as_u64().unwrap_or(0);
            let at = format!("spec.ports[{index}].nodePort");
            let wanted = port["nodePort"].as_u64().unwrap_or(0);
            let node_port = match u16::try_from(wanted) {
                Ok(0) if !wants_ports => continue,
                // The same number under another protocol.
                Ok(0) if by_port.contains_key(&number) => by_port[&number],
                Ok(0) => self.free_port(&mut taken, reservation, &at)?,
                Ok(wanted) => {
                    let refuse = |why: &str| field::Error::invalid(at.clone(), json!(wanted), why);
                    take_port(wanted, &mut taken, reservation).map_err(|why| refuse(&why))?;
                    wanted
                }
                // The validation refuses it.
                Err(_) => continue,
            };
            port["nodePort"] = node_port.into();
            by_port.insert(number, node_port);
        }
        Ok(())
    }

    fn free_port(
        &self,
        taken: &mut State,
        reservation: &mut Reservation,
        at: &str,
    ) -> Result<u16, field::Error> {
        let count = LAST_PORT - FIRST_PORT + 1;
        let start = rand::rng().random_range(0..count);
        let port = (0..count)
            .map(|i| FIRST_PORT + (start + i) % count)
            .find(|port| taken.owner(Item::Port(*port)).is_none())
            .ok_or_else(|| {
                field::Error::invalid(at, json!(0), "failed to allocate a nodePort: range is full")
            })?;
        taken.take(Item::Port(port), &reservation.uid);
        reservation.taken.push(Item::Port(port));
        Ok(port)
    }
}

fn take_port(port: u16, taken: &mut State, reservation: &mut Reservation) -> Result<(), String> {
    let item = Item::Port(port);
    match taken.owner(item) {
        Some(owner) if owner == reservation.uid => return Ok(()),
        Some(_) => return Err("provided port is already allocated".into()),
        None => {}
    }
    if !(FIRST_PORT..=LAST_PORT).contains(&port) {
        return Err(format!(
            "provided port is not in the valid range. The range of valid ports is {FIRST_PORT}-{LAST_PORT}"
        ));
    }
    taken.take(item, &reservation.uid);
    reservation.taken.push(item);
    Ok(())
}
