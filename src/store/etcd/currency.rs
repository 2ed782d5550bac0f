//! Current reads: one question for the last commit is shared by all who wait, and asked now and then without any, to know the
//! health of etcd.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::node::Node;
use crate::store::{Health, StoreError};

/// How often etcd is asked when no one waits.
const PROBE: Duration = Duration::from_secs(2);

/// One who waits for a current view.
pub(super) type Waiting = oneshot::Sender<Result<(), StoreError>>;

/// Answers those who wait, until the store is closed.
pub(super) async fn answer(node: Arc<Node>, mut questions: mpsc::Receiver<Waiting>) {
    loop {
        let mut waiting = Vec::new();
        match timeout(PROBE, questions.recv()).await {
            Ok(Some(first)) => waiting.push(first),
            Ok(None) => return,
            Err(_) => {}
        }
        while let Ok(next) = questions.try_recv() {
            waiting.push(next);
        }
        let deadline = Instant::now() + node.options.timeout / 2;
        let current = match node.last_commit(deadline).await {
            Ok(last) => {
                if node.is_unreachable() {
                    node.becomes(Health::Well);
                }
                node.view_reaches(last, deadline).await
            }
            Err(error) => {
                if error.unavailable {
                    node.becomes(Health::Unreachable(error.what.clone()));
                }
                Err(error)
            }
        };
        for waiting in waiting {
            let result = match &current {
                Ok(()) => Ok(()),
                Err(error) => Err(error.copy()),
            };
            // It may have stopped waiting.
            let _ = waiting.send(result);
        }
    }
}
