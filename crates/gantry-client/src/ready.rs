//! Trees of what was stored a moment ago. The server has one when it stores an object, and informers of the same process
//! make one when they are told of it: instead of letting its own go, the server leaves it here.

use bytes::Bytes;
use serde_json::Value;
use smol_str::SmolStr;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

/// So many are kept for those who have yet to be told; the oldest go.
const KEPT: usize = 128;

/// By the very bytes that are stored: as long as these are held, no others are at their place.
static READY: Mutex<VecDeque<(Bytes, Value)>> = Mutex::new(VecDeque::new());

fn ready() -> MutexGuard<'static, VecDeque<(Bytes, Value)>> {
    READY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The kinds of which informers read all objects, by group and plural.
static WANTED: RwLock<Vec<(SmolStr, SmolStr)>> = RwLock::new(Vec::new());

/// Asks for the trees of a kind's objects.
pub(crate) fn want(group: &str, plural: &str) {
    if !is_wanted(group, plural) {
        let mut wanted = WANTED.write().unwrap_or_else(PoisonError::into_inner);
        wanted.push((group.into(), plural.into()));
    }
}

/// Whether anyone asked for the trees of a kind's objects.
pub fn is_wanted(group: &str, plural: &str) -> bool {
    let wanted = WANTED.read().unwrap_or_else(PoisonError::into_inner);
    wanted.iter().any(|(g, p)| p == plural && g == group)
}

/// Leaves the tree of an object that is about to be stored as `json`, without `managedFields`.
pub fn offer(json: &Bytes, tree: Value) {
    let mut ready = ready();
    // Let go after the lock is.
    let oldest = (ready.len() >= KEPT).then(|| ready.pop_front());
    ready.push_back((json.clone(), tree));
    drop(ready);
    drop(oldest);
}

/// Takes the tree of what is stored as `json`, if it is there.
pub fn take(json: &Bytes) -> Option<Value> {
    let mut ready = ready();
    // The order is nearly that in which they are taken.
    let at = ready
        .iter()
        .position(|(of, _)| of.as_ptr() == json.as_ptr() && of.len() == json.len())?;
    ready.remove(at).map(|(_, tree)| tree)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_is_taken_once_by_its_bytes() {
        let text = || Bytes::from(String::from("a"));
        let (one, other) = (text(), text());
        offer(&one, json!(1));
        assert_eq!(take(&other), None);
        assert_eq!(take(&one.clone()), Some(json!(1)));
        assert_eq!(take(&one), None);
    }
}
