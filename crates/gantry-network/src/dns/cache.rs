//! Answers of other name servers, kept for a short while.

use super::forward::{Question, Reply};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Answers kept at most.
const ENTRIES: usize = 10_000;
/// Larger answers are not kept, so that all together take at most some 40 MiB.
const ANSWER_SIZE: usize = 4096;
/// The longest that an answer is kept, in seconds: as `cache 30` in kubeadm's Corefile.
pub(super) const LONGEST: u32 = 30;

/// Answers by question; the oldest goes when there are too many.
#[derive(Default)]
pub(super) struct Cache {
    entries: HashMap<Question, Entry>,
    /// What was put in, oldest first. What has been replaced since stands here twice.
    order: VecDeque<(u64, Question)>,
    next: u64,
}

struct Entry {
    number: u64,
    since: Instant,
    lifetime: Duration,
    reply: Arc<Reply>,
}

impl Cache {
    /// The answer to a question with what is left of its time, when there is one that still holds.
    pub(super) fn get(&self, question: &Question, now: Instant) -> Option<Reply> {
        let entry = self.entries.get(question)?;
        let age = now.saturating_duration_since(entry.since);
        if age >= entry.lifetime {
            return None;
        }
        let mut reply = Reply::clone(&entry.reply);
        // Less than LONGEST seconds, so it fits.
        let age = u32::try_from(age.as_secs()).unwrap_or(LONGEST);
        for record in reply.records_mut() {
            record.decrement_ttl(age);
        }
        Some(reply)
    }

    /// Keeps a reply for the time that its records tell.
    pub(super) fn put(&mut self, question: Question, reply: &Reply, now: Instant) {
        let Some(lifetime) = reply.lifetime.filter(|l| *l > 0 && reply.size <= ANSWER_SIZE) else {
            return;
        };
        let number = self.next;
        self.next += 1;
        let lifetime = Duration::from_secs(lifetime.into());
        let entry = Entry {
            number,
            since: now,
            lifetime,
            reply: Arc::new(reply.clone()),
        };
        self.entries.insert(question.clone(), entry);
        self.order.push_back((number, question));
        while self.order.len() > ENTRIES || self.oldest_is_over(now) {
            if let Some((number, question)) = self.order.pop_front()
                && self.entries.get(&question).is_some_and(|e| e.number == number)
            {
                self.entries.remove(&question);
            }
        }
    }

    fn oldest_is_over(&self, now: Instant) -> bool {
        self.order
            .front()
            .is_some_and(|(number, question)| match self.entries.get(question) {
                Some(entry) => entry.number != *number || now >= entry.since + entry.lifetime,
                None => true,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::tests::question;
    use hickory_server::proto::rr::{Name, RData, Record};

    fn reply(lifetime: Option<u32>, size: usize) -> Reply {
        let data = RData::A(std::net::Ipv4Addr::from([192, 0, 2, 1]).into());
        let record = Record::from_rdata(Name::root(), lifetime.unwrap_or(0), data);
        Reply {
            answers: vec![record],
            lifetime,
            size,
            ..Reply::default()
        }
    }

    #[test]
    fn answers_age() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        let seconds = |s| start + Duration::from_secs(s);
        cache.put(question("a."), &reply(Some(10), 50), start);
        let left = |cache: &Cache, s| cache.get(&question("a."), seconds(s)).map(|r| r.answers[0].ttl);
        assert_eq!(left(&cache, 0), Some(10));
        assert_eq!(left(&cache, 4), Some(6));
        assert_eq!(left(&cache, 10), None);
        cache.put(question("a."), &reply(Some(10), 50), seconds(8));
        cache.put(question("b."), &reply(Some(10), 50), seconds(12));
        assert_eq!(
            left(&cache, 12),
            Some(6),
            "what was replaced does not take its successor along"
        );
        assert_eq!(cache.order.len(), 2, "what was replaced is gone");
    }

    #[test]
    fn what_is_not_kept() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        for reply in [
            reply(None, 50),
            reply(Some(0), 50),
            reply(Some(10), ANSWER_SIZE + 1),
        ] {
            cache.put(question("a."), &reply, now);
            assert!(cache.get(&question("a."), now).is_none());
        }
    }

    #[test]
    fn the_oldest_goes() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        for i in 0..=ENTRIES {
            cache.put(question(&format!("n{i}.")), &reply(Some(10), 50), now);
        }
        assert_eq!((cache.entries.len(), cache.order.len()), (ENTRIES, ENTRIES));
        assert!(cache.get(&question("n0."), now).is_none());
        assert!(cache.get(&question("n1."), now).is_some());
    }
}
