//! The questions to Keystone, on one thread: requests with the same token wait for one answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::KeystoneError;
use super::cache::{Key, TokenCache, Validity};
use super::client::Client;
use super::http::CONNECTIONS;
use crate::model::ProjectId;
use crate::model::volume::Secret;

type Reply<T> = oneshot::Sender<Result<T, KeystoneError>>;

/// A question, and where its answer is sent.
pub(super) enum Question {
    /// Whether a token is valid.
    Token {
        key: Key,
        text: Secret,
        allow_expired: bool,
        reply: Reply<Validity>,
    },
    /// Whether there is a project.
    Project { id: ProjectId, reply: Reply<bool> },
    /// Whether the service's login works.
    Check { reply: Reply<()> },
}

/// The questions under way.
pub(super) struct Questions {
    client: Client,
    cache: Arc<TokenCache>,
    /// So that a question waits here, where it has a time limit, and not for a connection.
    permits: Semaphore,
    waiting: RefCell<BTreeMap<Key, Vec<Reply<Validity>>>>,
}

impl Questions {
    pub(super) fn new(client: Client, cache: Arc<TokenCache>) -> Rc<Self> {
        Rc::new(Self {
            client,
            cache,
            permits: Semaphore::new(CONNECTIONS),
            waiting: RefCell::default(),
        })
    }

    /// Answers questions until all senders are dropped.
    pub(super) async fn answer(self: Rc<Self>, mut questions: mpsc::Receiver<Question>) {
        while let Some(question) = questions.recv().await {
            match question {
                Question::Token {
                    key,
                    text,
                    allow_expired,
                    reply,
                } => self.token(key, text, allow_expired, reply),
                Question::Project { id, reply } => {
                    let questions = Rc::clone(&self);
                    tokio::task::spawn_local(async move {
                        let answer = questions.limited(questions.client.has_project(&id)).await;
                        let _ = reply.send(answer);
                    });
                }
                Question::Check { reply } => {
                    let questions = Rc::clone(&self);
                    tokio::task::spawn_local(async move {
                        let answer = questions.limited(questions.client.check()).await;
                        let _ = reply.send(answer);
                    });
                }
            }
        }
    }

    fn token(self: &Rc<Self>, key: Key, text: Secret, allow_expired: bool, reply: Reply<Validity>) {
        // The answer may have come since the request looked for it.
        if let Some(known) = self.cache.get(&key, Instant::now()) {
            let _ = reply.send(Ok(known));
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        if let Some(others) = waiting.get_mut(&key) {
            others.push(reply);
            return;
        }
        waiting.insert(key, vec![reply]);
        let asking = Asking {
            questions: Rc::clone(self),
            key,
        };
        tokio::task::spawn_local(async move {
            let asked_at = Instant::now();
            let questions = &asking.questions;
            let answer = questions
                .limited(questions.client.token(&text, allow_expired))
                .await;
            let answer = answer.map(|token| token.map(Arc::new));
            if let Ok(validity) = &answer {
                questions.cache.put(key, validity, asked_at, Instant::now());
            }
            for reply in asking.end() {
                let _ = reply.send(answer.clone());
            }
        });
    }

    /// The answer, if it comes in time.
    async fn limited<T>(
        &self,
        question: impl Future<Output = Result<T, KeystoneError>>,
    ) -> Result<T, KeystoneError> {
        let limit = self.client.timeout();
        let asked = async {
            let _permit = self.permits.acquire().await;
            question.await
        };
        match tokio::time::timeout(limit, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(KeystoneError::Late(limit)),
        }
    }
}

/// A question for which others wait. If it ends without an answer, they are not kept waiting.
struct Asking {
    questions: Rc<Questions>,
    key: Key,
}

impl Asking {
    /// Those who wait; who asks from now on begins a new question.
    fn end(&self) -> Vec<Reply<Validity>> {
        let mut waiting = self.questions.waiting.borrow_mut();
        waiting.remove(&self.key).unwrap_or_default()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.end();
    }
}
