//! Proves of a history that it could be that of one store that does one thing at a time.
//!
//! The log, read from the store at the end, says what happened in which order. It must hold every acknowledged write as it
//! was acknowledged, and every list must show what stood at its revision, no earlier than writes acknowledged before.
//! Then, for each key, an order of its requests is searched in which every answer is right and none comes before an
//! answer that preceded its call (Wing and Gong, "Testing and Verifying Concurrent Objects"). Values are unique, so
//! the key's whole state is the revision of its last write.

use super::{Ask, Log, Request, Seen, Told};
use std::collections::{BTreeMap, HashSet};

/// What a request did to its key, as far as it is known.
#[derive(Clone, Debug)]
enum Step {
    /// Found it so.
    See(Option<u64>),
    /// Wrote it, if it stood as demanded.
    Set { pre: Option<u64>, new: u64 },
    /// Deleted it as it stood so.
    Remove(u64),
    /// Deleted it, if it stood as demanded, or did nothing.
    MayRemove { pre: Option<u64> },
}

/// A step and when it may have been taken.
#[derive(Debug)]
struct Moment {
    step: Step,
    call: usize,
    answer: usize,
}

fn holds(pre: Option<u64>, state: Option<u64>) -> bool {
    pre.is_none_or(|pre| pre == state.unwrap_or(0))
}

impl Step {
    /// The state it leaves; none if it cannot be taken. Some have two ways to go.
    fn take(&self, state: Option<u64>, way: usize) -> Option<Option<u64>> {
        match (self, way) {
            (Step::See(seen), 0) => (*seen == state).then_some(state),
            (Step::Set { pre, new }, 0) => (holds(*pre, state) && state < Some(*new)).then_some(Some(*new)),
            (Step::Remove(old), 0) => (state == Some(*old)).then_some(None),
            (Step::MayRemove { pre }, 0) => (state.is_some() && holds(*pre, state)).then_some(None),
            (Step::MayRemove { .. }, 1) => Some(state),
            _ => None,
        }
    }
}

/// Checks everything; says what is wrong.
pub fn history(requests: &[Request], log: &Log) -> Result<(), String> {
    writes(requests, log)?;
    ranges(requests, log)?;
    let keys: HashSet<&str> = requests
        .iter()
        .filter(|r| r.ask != Ask::Range)
        .map(|r| r.key.as_str())
        .collect();
    for key in keys {
        let moments = moments(key, requests, log)?;
        if !linearizable(&moments) {
            return Err(format!("{key}: no order of its requests explains {moments:#?}"));
        }
    }
    Ok(())
}

/// Acknowledged writes are in the log; all of the log was asked for.
fn writes(requests: &[Request], log: &Log) -> Result<(), String> {
    let mut acked: BTreeMap<u64, &Request> = BTreeMap::new();
    for request in requests {
        let Told::Wrote(revision, _) = &request.told else {
            continue;
        };
        let value = match &request.ask {
            Ask::Put { value, .. } => Some(value.clone()),
            _ => None,
        };
        let expected = (request.key.clone(), value);
        if log.get(revision) != Some(&expected) {
            return Err(format!("{request:?} is {:?} in the log", log.get(revision)));
        }
        if let Some(other) = acked.insert(*revision, request) {
            return Err(format!(
                "revision {revision} was given to {other:?} and {request:?}"
            ));
        }
    }
    // Revisions follow real time. Scanned from the newest: nothing older may have been called after a newer was answered.
    let mut earliest_answer = usize::MAX;
    for (revision, request) in acked.iter().rev() {
        if request.call > earliest_answer {
            return Err(format!(
                "revision {revision}, {request:?}, is older than a write before it"
            ));
        }
        earliest_answer = earliest_answer.min(request.answer);
    }
    let asked = |key: &str, value: &Option<String>| {
        requests.iter().any(|r| match &r.ask {
            Ask::Put { value: v, .. } => r.key == key && Some(v) == value.as_ref(),
            Ask::Delete { .. } => r.key == key && value.is_none(),
            _ => false,
        })
    };
    let unasked = log
        .iter()
        .find(|(r, (key, value))| !acked.contains_key(r) && !asked(key, value));
    unasked.map_or(Ok(()), |unasked| Err(format!("nobody asked for {unasked:?}")))
}

/// A list shows exactly what stood at its revision, which is no older than what was acknowledged before it.
fn ranges(requests: &[Request], log: &Log) -> Result<(), String> {
    for request in requests {
        let Told::All(revision, all) = &request.told else {
            continue;
        };
        let mut stood = BTreeMap::new();
        for (at, (key, value)) in log.range(..=revision) {
            match value {
                Some(value) => stood.insert(key.clone(), (*at, value.clone())),
                None => stood.remove(key),
            };
        }
        if &stood != all {
            return Err(format!("{request:?} should show {stood:?}"));
        }
        let late = requests.iter().find(|r| {
            r.answer < request.call && matches!(&r.told, Told::Wrote(written, _) if written > revision)
        });
        if let Some(late) = late {
            return Err(format!("{request:?} lacks {late:?}"));
        }
    }
    Ok(())
}

/// The steps of one key.
fn moments(key: &str, requests: &[Request], log: &Log) -> Result<Vec<Moment>, String> {
    let mut moments = Vec::new();
    for request in requests.iter().filter(|r| r.key == key || r.ask == Ask::Range) {
        let happened = |value: &str| {
            let found = log.iter().find(|(_, (_, v))| v.as_deref() == Some(value));
            found.map(|(revision, _)| *revision)
        };
        let step = match (&request.ask, &request.told) {
            (Ask::Put { pre, .. }, Told::Wrote(new, _)) => Step::Set { pre: *pre, new: *new },
            (Ask::Put { pre, value }, Told::Unknown) => match happened(value) {
                Some(new) => Step::Set { pre: *pre, new },
                None => continue,
            },
            (Ask::Delete { pre }, Told::Wrote(_, Some((old, _)))) if holds(*pre, Some(*old)) => {
                Step::Remove(*old)
            }
            (Ask::Delete { pre }, Told::Unknown) => Step::MayRemove { pre: *pre },
            (Ask::Put { pre, .. } | Ask::Delete { pre }, Told::Stands(seen)) => {
                let fits = holds(*pre, seen.as_ref().map(|(r, _)| *r));
                // A deletion of nothing is no refusal, and says the same.
                let nothing = seen.is_none() && matches!(request.ask, Ask::Delete { .. });
                if fits && !nothing {
                    return Err(format!("{request:?} was refused without a reason"));
                }
                see(seen, key, log)?
            }
            (Ask::Get, Told::Stands(seen)) => see(seen, key, log)?,
            (Ask::Range, Told::All(_, all)) => see(&all.get(key).cloned(), key, log)?,
            (Ask::Get | Ask::Range, Told::Unknown) => continue,
            _ => return Err(format!("{request:?} makes no sense")),
        };
        moments.push(Moment {
            step,
            call: request.call,
            answer: request.answer,
        });
    }
    Ok(moments)
}

fn see(seen: &Seen, key: &str, log: &Log) -> Result<Step, String> {
    match seen {
        None => Ok(Step::See(None)),
        Some((revision, value)) => match log.get(revision) {
            Some((k, Some(v))) if k == key && v == value => Ok(Step::See(Some(*revision))),
            other => Err(format!("{key} was seen as {seen:?}, and the log has {other:?}")),
        },
    }
}

/// Whether the steps, which are in order of their calls, can be taken one at a time.
fn linearizable(moments: &[Moment]) -> bool {
    let mut taken = vec![false; moments.len()];
    let mut known = HashSet::new();
    // What was taken and which way, in order, with the state before it.
    let mut path: Vec<(usize, usize, Option<u64>)> = Vec::new();
    // What to try from here on; what comes before it was tried.
    let (mut state, mut from) = (None, (0, 0));
    loop {
        let open = || moments.iter().enumerate().filter(|(n, _)| !taken[*n]);
        // Nothing may be taken before what was answered before its call.
        let Some(first_answer) = open().map(|(_, m)| m.answer).min() else {
            return true;
        };
        let next = open()
            .take_while(|(_, m)| m.call < first_answer)
            .flat_map(|(n, m)| [(n, 0, m), (n, 1, m)])
            .filter(|(n, way, _)| (*n, *way) >= from)
            .find_map(|(n, way, m)| {
                let after = m.step.take(state, way)?;
                let mut then = taken.clone();
                then[n] = true;
                known.insert((then, after)).then_some((n, way, after))
            });
        match next {
            Some((n, way, after)) => {
                path.push((n, way, state));
                taken[n] = true;
                (state, from) = (after, (0, 0));
            }
            None => {
                let Some((n, way, before)) = path.pop() else {
                    return false;
                };
                taken[n] = false;
                (state, from) = (before, (n, way + 1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_found_or_not() {
        let check = |steps: &[(Step, usize, usize)], expected: bool| {
            let moments = steps.iter().map(|(step, call, answer)| Moment {
                step: step.clone(),
                call: *call,
                answer: *answer,
            });
            let moments: Vec<_> = moments.collect();
            assert_eq!(linearizable(&moments), expected, "{moments:?}");
        };
        let set = |pre, new| Step::Set { pre, new };
        let see = Step::See;
        check(&[(set(Some(0), 2), 0, 1), (see(Some(2)), 2, 3)], true);
        check(&[(set(None, 2), 0, 1), (see(None), 2, 3)], false);
        check(&[(set(None, 2), 0, 3), (see(None), 1, 2)], true);
        // A value that was read is not unread later.
        check(
            &[(set(None, 2), 0, 9), (see(Some(2)), 1, 2), (see(None), 3, 4)],
            false,
        );
        // Of two writes at the same demand one is too many.
        let both = [
            (set(None, 2), 0, 1),
            (set(Some(2), 3), 2, 5),
            (set(Some(2), 4), 3, 6),
        ];
        check(&both, false);
        check(
            &[
                (set(None, 2), 0, 1),
                (set(Some(2), 3), 2, 5),
                (see(Some(2)), 3, 6),
            ],
            true,
        );
        // The first choice is wrong and must be taken back.
        let back = [
            (set(None, 2), 0, 9),
            (set(None, 3), 1, 9),
            (Step::Remove(3), 2, 9),
            (see(Some(2)), 3, 4),
            (see(Some(3)), 5, 6),
            (see(None), 7, 8),
        ];
        check(&back, true);
        // An unacknowledged deletion may have happened, or not.
        let perhaps = (Step::MayRemove { pre: None }, 2, usize::MAX);
        check(&[(set(None, 2), 0, 1), perhaps.clone(), (see(None), 3, 4)], true);
        check(&[(set(None, 2), 0, 1), perhaps, (see(Some(2)), 3, 4)], true);
        // But not after it could no longer.
        let killed = (Step::MayRemove { pre: None }, 2, 3);
        let after = [(see(Some(2)), 4, 5), (see(None), 6, 7)];
        check(&[&[(set(None, 2), 0, 1), killed][..], &after].concat(), false);
    }
}
