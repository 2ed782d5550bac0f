//! Linearizability of one register in the store: read, written and replaced by clients of two nodes, while members of etcd are
//! killed and frozen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use pumice::store::etcd::EtcdStore;
use pumice::store::{CommitError, Health, Revision, Store};

use super::checker::{Event, Model, contradiction};
use super::cluster::Cluster;
use super::{options, put, read, replace, try_open};

const CLIENTS: usize = 6;
const CALLS: usize = 30;

/// The value of the register, which no two writers write alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Register(Option<String>);

#[derive(Clone, Debug)]
enum Call {
    Read,
    Write(String),
    /// Only if the value is this one.
    Replace(Option<String>, String),
}

#[derive(Clone, Debug)]
enum Answer {
    Is(Option<String>),
    Done,
    Refused,
}

impl Model for Register {
    type Call = Call;
    type Answer = Answer;

    fn after(&self, call: &Call, answer: Option<&Answer>) -> Vec<Self> {
        let written = |value: &String| Self(Some(value.clone()));
        match (call, answer) {
            (Call::Read, Some(Answer::Is(value))) if *value == self.0 => vec![self.clone()],
            (Call::Write(value), Some(Answer::Done)) => vec![written(value)],
            (Call::Replace(was, value), Some(Answer::Done)) if *was == self.0 => vec![written(value)],
            (Call::Replace(was, _), Some(Answer::Refused)) if *was != self.0 => vec![self.clone()],
            (Call::Write(value), None) => vec![written(value)],
            (Call::Replace(was, value), None) if *was == self.0 => vec![written(value)],
            _ => Vec::new(),
        }
    }

    fn is_read(call: &Call, answer: &Answer) -> bool {
        matches!(call, Call::Read) || matches!(answer, Answer::Refused)
    }
}

/// One client of one node.
async fn client(number: usize, store: Arc<EtcdStore>, clock: Arc<AtomicU64>) -> Vec<Event<Register>> {
    let now = || clock.fetch_add(1, Ordering::SeqCst);
    let mut events = Vec::new();
    let mut last: Option<(String, Revision)> = None;
    for step in 0..CALLS {
        let value = format!("{number}-{step}");
        let begun = now();
        let (call, answer) = match (number + step) % 3 {
            0 => {
                let current = store.wait_current().await;
                last = read(&store, "register").await;
                let seen = last.as_ref().map(|(value, _)| value.clone());
                (Call::Read, current.is_ok().then_some(Answer::Is(seen)))
            }
            1 => {
                let result = store.commit(put("register", &value)).await;
                (Call::Write(value), outcome(&result))
            }
            _ => {
                let was = last.as_ref().map(|(value, _)| value.clone());
                let revision = last.as_ref().map(|(_, revision)| *revision);
                let result = store.commit(replace("register", revision, &value)).await;
                (Call::Replace(was, value), outcome(&result))
            }
        };
        if matches!((&call, &answer), (Call::Read, None)) {
            continue;
        }
        let answer = match answer {
            // It was surely not done, so it is no event.
            Some(Answer::Is(None)) if !matches!(call, Call::Read) => continue,
            answer => answer.map(|answer| (now(), answer)),
        };
        events.push(Event {
            client: number,
            begun,
            call,
            answer,
        });
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    events
}

/// `Is(None)` stands for a change that was surely not made.
fn outcome(result: &Result<Revision, CommitError>) -> Option<Answer> {
    match result {
        Ok(_) => Some(Answer::Done),
        Err(CommitError::Conflict(_) | CommitError::OverCeiling { .. }) => Some(Answer::Refused),
        Err(CommitError::Store(error)) if error.maybe_done => None,
        Err(CommitError::Store(_)) => Some(Answer::Is(None)),
    }
}

#[actix::test]
async fn a_register_of_two_nodes_is_linearizable_while_members_are_killed_and_frozen() {
    let mut cluster = Cluster::start(3);
    let mut nodes = Vec::new();
    for node in ["a", "b"] {
        nodes.push(Arc::new(try_open(options(&cluster, node)).await.unwrap()));
    }
    let clock = Arc::new(AtomicU64::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let clients =
        (0..CLIENTS).map(|number| client(number, Arc::clone(&nodes[number % 2]), Arc::clone(&clock)));
    let calling = async {
        let histories = join_all(clients).await;
        is_over.store(true, Ordering::SeqCst);
        histories.concat()
    };
    let failing = async {
        let pause = |millis| tokio::time::sleep(Duration::from_millis(millis));
        let mut at = 0;
        while !is_over.load(Ordering::SeqCst) {
            cluster.kill(at);
            pause(400).await;
            cluster.restart(at);
            pause(600).await;
            cluster.freeze((at + 1) % 3);
            pause(900).await;
            cluster.thaw((at + 1) % 3);
            pause(300).await;
            at = (at + 1) % 3;
        }
    };
    let (mut history, ()) = tokio::join!(calling, failing);
    history.sort_by_key(|event| event.begun);
    let callers: std::collections::BTreeSet<usize> = history.iter().map(|event| event.client).collect();
    assert_eq!(callers.len(), CLIENTS);
    let answered = history.iter().filter(|event| event.answer.is_some()).count();
    println!("{answered} of {} calls were answered", history.len());
    assert!(answered > CLIENTS, "nothing was shown by so few");
    if let Some(why) = contradiction(&Register(None), &history) {
        panic!("not linearizable: {why:#?}");
    }
    // A change whose caller got no answer in time may have been made; then its node has to be opened again.
    let is_unanswered = |event: &Event<Register>| event.answer.is_none();
    for node in &nodes {
        let is_broken = matches!(&*node.health().borrow(), Health::Broken(_));
        assert!(
            !is_broken || history.iter().any(is_unanswered),
            "a node is broken"
        );
    }
}
