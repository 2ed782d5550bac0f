//! What etcd stores: revisions of keys, transactions, history and its removal. Like Debian's release 3.4.23, with its fault: a watch that
//! reads history from the very revision up to which it was removed lacks the deletions of that revision (etcd-io/etcd#18089).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::proto::{
    Compare, DeleteRangeRequest, Event, EventType, KeyValue, RangeRequest, RangeResponse, Request, Response,
    ResponseOp, TargetUnion, TxnRequest, TxnResponse,
};

/// etcd's defaults.
const MAX_OPERATIONS: usize = 128;
const MAX_BYTES: usize = 1_572_864;

/// A refusal, as gRPC has it.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    pub code: u8,
    pub message: &'static str,
}

pub const UNAVAILABLE: u8 = 14;
pub const COMPACTED: Refusal = Refusal {
    code: 11,
    message: "etcdserver: mvcc: required revision has been compacted",
};
const FUTURE: Refusal = Refusal {
    code: 11,
    message: "etcdserver: mvcc: required revision is a future revision",
};
const FULL: Refusal = Refusal {
    code: 8,
    message: "etcdserver: mvcc: database space exceeded",
};
const DUPLICATE: Refusal = Refusal {
    code: 3,
    message: "etcdserver: duplicate key given in txn request",
};
const TOO_MANY: Refusal = Refusal {
    code: 3,
    message: "etcdserver: too many operations in txn request",
};
const TOO_LARGE: Refusal = Refusal {
    code: 3,
    message: "etcdserver: request is too large",
};

/// The value that a revision gave a key; `None`: it deleted it.
type Version = (i64, Option<Bytes>);

/// What one revision changed, and when.
pub struct Changes {
    pub at: Duration,
    pub events: Vec<Event>,
}

pub struct Model {
    pub revision: i64,
    pub compacted: i64,
    /// Whether the engine asked for the last compaction, at a revision that it chose.
    pub is_compacted_by_engine: bool,
    pub is_full: bool,
    keys: BTreeMap<Vec<u8>, Vec<Version>>,
    pub log: BTreeMap<i64, Changes>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            revision: 1,
            compacted: 0,
            is_compacted_by_engine: false,
            is_full: false,
            keys: BTreeMap::new(),
            log: BTreeMap::new(),
        }
    }
}

pub fn is_deletion(event: &Event) -> bool {
    event.r#type == i32::from(EventType::Delete)
}

/// Whether a key is in a range.
fn is_in(key: &[u8], low: &[u8], high: &[u8]) -> bool {
    match high {
        [] => key == low,
        [0] => key >= low,
        high => key >= low && key < high,
    }
}

impl Model {
    /// The value of a key at a revision, and the revision that wrote it.
    fn version(&self, key: &[u8], at: i64) -> Option<(i64, &Bytes)> {
        let versions = self.keys.get(key)?;
        let (revision, value) = versions.iter().rev().find(|(revision, _)| *revision <= at)?;
        Some((*revision, value.as_ref()?))
    }

    /// All keys with this prefix, as they were at a revision whose history is not removed.
    pub fn all(&self, prefix: &[u8], at: i64) -> BTreeMap<Vec<u8>, Bytes> {
        let keys = self.keys.range(prefix.to_vec()..);
        keys.take_while(|(key, _)| key.starts_with(prefix))
            .filter_map(|(key, _)| Some((key.clone(), self.version(key, at)?.1.clone())))
            .collect()
    }

    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
        let at = match request.revision {
            0 => self.revision,
            revision if revision > self.revision => return Err(FUTURE),
            revision if revision < self.compacted => return Err(COMPACTED),
            revision => revision,
        };
        let (low, high) = (&request.key, &request.range_end);
        let mut found = self
            .keys
            .range(low.clone()..)
            .take_while(|(key, _)| is_in(key, low, high))
            .filter_map(|(key, _)| self.version(key, at).map(|version| (key, version)));
        let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0);
        let kv = |(key, (revision, value)): (&Vec<u8>, (i64, &Bytes))| KeyValue {
            key: Bytes::copy_from_slice(key),
            mod_revision: revision,
            value: value.clone(),
        };
        let kvs = found.by_ref().take(limit.unwrap_or(usize::MAX)).map(kv).collect();
        Ok(RangeResponse {
            header: None,
            kvs,
            more: found.next().is_some(),
        })
    }

    fn holds(&self, compare: &Compare) -> bool {
        let Some(TargetUnion::ModRevision(wanted)) = compare.target_union else {
            return false;
        };
        let found = self.version(&compare.key, self.revision);
        found.map_or(0, |(revision, _)| revision) == wanted
    }

    pub fn txn(&mut self, request: &TxnRequest, now: Duration) -> Result<TxnResponse, Refusal> {
        let parts = [
            request.compare.len(),
            request.success.len(),
            request.failure.len(),
        ];
        if parts.iter().any(|part| *part > MAX_OPERATIONS) {
            return Err(TOO_MANY);
        }
        if request.encoded_len() > MAX_BYTES {
            return Err(TOO_LARGE);
        }
        for ops in [&request.success, &request.failure] {
            let mut written: Vec<&[u8]> = Vec::new();
            for op in ops {
                let key = match &op.request {
                    Some(Request::Put(put)) => &put.key,
                    Some(Request::DeleteRange(delete)) => &delete.key,
                    _ => continue,
                };
                if written.contains(&key.as_slice()) {
                    return Err(DUPLICATE);
                }
                written.push(key);
            }
            let puts = |op: &super::proto::RequestOp| matches!(op.request, Some(Request::Put(_)));
            if self.is_full && ops.iter().any(puts) {
                return Err(FULL);
            }
        }
        let succeeded = request.compare.iter().all(|compare| self.holds(compare));
        let ops = if succeeded {
            &request.success
        } else {
            &request.failure
        };
        let (mut events, mut responses) = (Vec::new(), Vec::new());
        for op in ops {
            let response = match &op.request {
                Some(Request::Range(range)) => Some(Response::Range(self.range(range)?)),
                Some(Request::Put(put)) => {
                    events.push((put.key.clone(), Some(Bytes::copy_from_slice(&put.value))));
                    None
                }
                Some(Request::DeleteRange(delete)) => {
                    events.extend(self.deletions(delete));
                    None
                }
                None => None,
            };
            responses.push(ResponseOp { response });
        }
        self.write(events, now);
        Ok(TxnResponse {
            header: None,
            succeeded,
            responses,
        })
    }

    fn deletions(&self, delete: &DeleteRangeRequest) -> Vec<(Vec<u8>, Option<Bytes>)> {
        let (low, high) = (&delete.key, &delete.range_end);
        self.keys
            .range(low.clone()..)
            .take_while(|(key, _)| is_in(key, low, high))
            .filter(|(key, _)| self.version(key, self.revision).is_some())
            .map(|(key, _)| (key.clone(), None))
            .collect()
    }

    pub fn delete_range(&mut self, delete: &DeleteRangeRequest, now: Duration) {
        let deletions = self.deletions(delete);
        self.write(deletions, now);
    }

    /// All of this in one revision; if it is nothing, there is none.
    fn write(&mut self, changed: Vec<(Vec<u8>, Option<Bytes>)>, now: Duration) {
        if changed.is_empty() {
            return;
        }
        self.revision += 1;
        let revision = self.revision;
        let mut events = Vec::new();
        for (key, value) in changed {
            self.keys
                .entry(key.clone())
                .or_default()
                .push((revision, value.clone()));
            let r#type = match value {
                Some(_) => EventType::Put,
                None => EventType::Delete,
            };
            events.push(Event {
                r#type: r#type.into(),
                kv: Some(KeyValue {
                    key: key.into(),
                    mod_revision: revision,
                    value: value.unwrap_or_default(),
                }),
            });
        }
        self.log.insert(revision, Changes { at: now, events });
    }

    /// Removes the history before a revision.
    pub fn compact(&mut self, revision: i64, is_by_engine: bool) -> Result<(), Refusal> {
        if revision <= self.compacted {
            return Err(COMPACTED);
        }
        if revision > self.revision {
            return Err(FUTURE);
        }
        (self.compacted, self.is_compacted_by_engine) = (revision, is_by_engine);
        self.keys.retain(|_, versions| {
            let kept = versions.iter().rposition(|(of, _)| *of <= revision);
            if let Some(kept) = kept {
                let from = if versions[kept].1.is_some() {
                    kept
                } else {
                    kept + 1
                };
                versions.drain(..from);
            }
            !versions.is_empty()
        });
        self.log.retain(|of, _| *of >= revision);
        Ok(())
    }
}
