//! What must be true of each transaction that etcd accepts, whatever control nodes believe: judged from outside of them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use pumice::model::Operation;
use pumice::model::control_node::{ControlNode, ControlNodeState};
use pumice::store::record::decode;

use super::proto::{Request, TxnRequest};
use super::{Counts, PREFIX};

/// A process, by the incarnation in its fence.
type Process = [u8; 16];

/// The tables of records that are looked at.
const NODES: &[u8] = b"C.";
const OPERATIONS: &[u8] = b"O.";

#[derive(Default)]
pub struct Oracle {
    /// The number of the last transaction of each node.
    numbers: BTreeMap<Vec<u8>, u64>,
    /// The process that wrote the record of each node last.
    joined: BTreeMap<String, Process>,
    /// The processes whose record was written by another, or by themselves when they left.
    fenced: BTreeSet<Process>,
    operations: BTreeMap<Vec<u8>, Operation>,
    pub faults: Vec<String>,
}

/// What a transaction is to write.
struct Wanted<'a> {
    /// The node and its fence.
    fence: Option<(&'a [u8], &'a [u8])>,
    /// Entries of the store.
    entries: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

fn wanted(request: &TxnRequest) -> Wanted<'_> {
    let mut wanted = Wanted {
        fence: None,
        entries: Vec::new(),
    };
    for op in &request.success {
        let (key, value) = match &op.request {
            Some(Request::Put(put)) => (&put.key, Some(put.value.as_slice())),
            Some(Request::DeleteRange(delete)) => (&delete.key, None),
            _ => continue,
        };
        let Some((class, rest)) = key.strip_prefix(PREFIX.as_bytes()).and_then(<[u8]>::split_first) else {
            continue;
        };
        match (class, value) {
            (b'n', Some(value)) => wanted.fence = Some((rest, value)),
            (b'd', value) => wanted.entries.push((rest, value)),
            _ => {}
        }
    }
    wanted
}

impl Oracle {
    /// Looks at a transaction that was refused since a condition did not hold, or done.
    pub fn look(&mut self, request: &TxnRequest, succeeded: bool, counts: &mut Counts) {
        let wanted = wanted(request);
        let Some((node, fence)) = wanted.fence else {
            if succeeded && !wanted.entries.is_empty() {
                self.faults
                    .push("a transaction wrote entries without a fence".to_owned());
            }
            return;
        };
        let node_name = String::from_utf8_lossy(node).into_owned();
        let Some((process, rest)) = fence.split_first_chunk::<16>() else {
            self.faults
                .push(format!("{node_name} wrote a fence of {} bytes", fence.len()));
            return;
        };
        let is_fenced = self.fenced.contains(process);
        if !succeeded {
            if is_fenced && !wanted.entries.is_empty() {
                counts.add("commits of fenced processes refused");
            }
            return;
        }
        self.number(node, rest);
        if is_fenced && !wanted.entries.is_empty() {
            let keys: Vec<_> = wanted
                .entries
                .iter()
                .map(|(key, _)| Bytes::copy_from_slice(key))
                .collect();
            self.faults
                .push(format!("a fenced process of {node_name} changed {keys:?}"));
        }
        for (key, value) in wanted.entries {
            if key.starts_with(NODES) {
                self.node_changed(&node_name, *process, value, counts);
            } else if key.starts_with(OPERATIONS) {
                self.operation_changed(key, value, counts);
            }
        }
    }

    /// Numbers of a node's fence grow by one.
    fn number(&mut self, node: &[u8], fence: &[u8]) {
        let number = fence.first_chunk().map(|number| u64::from_be_bytes(*number));
        let last = self.numbers.get(node).copied().unwrap_or_default();
        if number != Some(last + 1) {
            self.faults
                .push(format!("transaction {number:?} of a node follows {last}"));
        }
        self.numbers.insert(node.to_vec(), last + 1);
    }

    fn node_changed(&mut self, by: &str, process: Process, value: Option<&[u8]>, counts: &mut Counts) {
        let Some(Ok(record)) = value.map(decode::<ControlNode>) else {
            self.faults
                .push(format!("{by} wrote no record of a control node"));
            return;
        };
        let node = record.incarnation.node.clone();
        match record.state {
            ControlNodeState::Up => {
                counts.add("control nodes joined");
                if by != node {
                    self.faults.push(format!("{by} has let {node} join"));
                }
                if let Some(former) = self
                    .joined
                    .insert(node, process)
                    .filter(|former| *former != process)
                {
                    self.fenced.insert(former);
                }
            }
            ControlNodeState::Stopped => {
                counts.add("control nodes left");
                self.fenced.insert(process);
            }
            ControlNodeState::Down => {
                counts.add("control nodes found down");
                self.fenced.extend(self.joined.get(&node).copied());
            }
        }
    }

    fn operation_changed(&mut self, key: &[u8], value: Option<&[u8]>, counts: &mut Counts) {
        let Some(Ok(now)) = value.map(decode::<Operation>) else {
            self.operations.remove(key);
            return;
        };
        if let Some(was) = self.operations.get(key).filter(|was| was.owner != now.owner) {
            let with_its_owner = Operation {
                owner: now.owner.clone(),
                ..was.clone()
            };
            counts.add(match with_its_owner == now {
                true => "operations taken over",
                false => "stages committed by another control node",
            });
        }
        self.operations.insert(key.to_vec(), now);
    }
}
