//! Histories of a store: what clients asked and were told, written down as lines so that they outlive the process, and
//! what watchers saw.

pub mod check;
pub mod load;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

/// Takes one line. Lines of all clients are in one order: a line that follows another was written later.
pub type Record = Arc<dyn Fn(String) + Send + Sync>;

/// A record in memory.
pub fn memory() -> (Record, Arc<Mutex<Vec<String>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    (Arc::new(move |line| kept.lock().unwrap().push(line)), lines)
}

/// Numbers that depend on the seed alone (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % end
    }
}

/// A key as somebody was told it stands: the revision and value; none if it is not there.
pub type Seen = Option<(u64, String)>;

/// What a client asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    Put { pre: Option<u64>, value: String },
    Delete { pre: Option<u64> },
    Get,
    Range,
}

/// What it was told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The write happened, at this revision; a deletion with what it deleted.
    Wrote(u64, Seen),
    /// The key stands so: an answer to a read, or the reason of a refusal.
    Stands(Seen),
    /// The keys that are there, at a revision.
    All(u64, BTreeMap<String, (u64, String)>),
    /// It failed: it may have happened or not.
    Unknown,
}

/// A request with the places of its call and its answer in the record.
#[derive(Clone, Debug)]
pub struct Request {
    pub key: String,
    pub ask: Ask,
    pub told: Told,
    pub call: usize,
    pub answer: usize,
}

fn show(seen: &Seen) -> String {
    seen.as_ref().map_or("-".into(), |(r, v)| format!("{r}={v}"))
}

fn read(text: &str) -> Seen {
    let (revision, value) = text.split_once('=')?;
    Some((revision.parse().unwrap(), value.into()))
}

/// A call's line. A precondition is a revision; 0 demands that the key be absent.
pub fn call_line(id: &str, key: &str, ask: &Ask) -> String {
    let pre = |pre: &Option<u64>| pre.map_or("-".into(), |p| p.to_string());
    match ask {
        Ask::Put { pre: p, value } => format!("CALL {id} {key} put {} {value}", pre(p)),
        Ask::Delete { pre: p } => format!("CALL {id} {key} delete {}", pre(p)),
        Ask::Get => format!("CALL {id} {key} get"),
        Ask::Range => format!("CALL {id} {key} range"),
    }
}

/// An answer's line.
pub fn answer_line(id: &str, told: &Told) -> String {
    match told {
        Told::Wrote(revision, old) => format!("ANSWER {id} wrote {revision} {}", show(old)),
        Told::Stands(seen) => format!("ANSWER {id} stands {}", show(seen)),
        Told::All(revision, all) => {
            let all = all.iter().map(|(k, (r, v))| format!("{k}:{r}={v}"));
            format!("ANSWER {id} all {revision} {}", all.collect::<Vec<_>>().join(","))
        }
        Told::Unknown => format!("ANSWER {id} unknown"),
    }
}

/// Reads requests from lines. Those without an answer may still happen until `KILLED`, if it follows, and ever else.
pub fn requests(lines: &[String]) -> Vec<Request> {
    let mut requests: Vec<Request> = Vec::new();
    let mut open: HashMap<String, usize> = HashMap::new();
    for (at, line) in lines.iter().enumerate() {
        let parts: Vec<&str> = line.split(' ').collect();
        let pre = |text: &str| text.parse().ok();
        let ask = match parts[..] {
            ["CALL", _, _, "put", p, value] => Ask::Put {
                pre: pre(p),
                value: value.into(),
            },
            ["CALL", _, _, "delete", p] => Ask::Delete { pre: pre(p) },
            ["CALL", _, _, "get"] => Ask::Get,
            ["CALL", _, _, "range"] => Ask::Range,
            ["KILLED"] => {
                open.drain().for_each(|(_, n)| requests[n].answer = at);
                continue;
            }
            ["ANSWER", id, ref told @ ..] => {
                let n = open.remove(id).expect("an answer has a call");
                requests[n].told = match *told {
                    ["wrote", revision, old] => Told::Wrote(revision.parse().unwrap(), read(old)),
                    ["stands", seen] => Told::Stands(read(seen)),
                    ["all", revision, all] => {
                        let all = all.split(',').filter(|one| !one.is_empty()).map(|one| {
                            let (key, seen) = one.split_once(':').unwrap();
                            (key.to_string(), read(seen).unwrap())
                        });
                        Told::All(revision.parse().unwrap(), all.collect())
                    }
                    // It may happen at any later time.
                    _ => continue,
                };
                requests[n].answer = at;
                continue;
            }
            _ => continue,
        };
        open.insert(parts[1].into(), requests.len());
        requests.push(Request {
            key: parts[2].into(),
            ask,
            told: Told::Unknown,
            call: at,
            answer: usize::MAX,
        });
    }
    requests
}

/// What happened: by revision the key, and the value unless it was deleted.
pub type Log = BTreeMap<u64, (String, Option<String>)>;
