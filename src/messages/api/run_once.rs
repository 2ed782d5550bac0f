//! A request with an idempotency key.

use serde::{Deserialize, Serialize};

use super::ApiTopic;
use crate::messages::call;
use crate::model::idempotency::{IdempotencyKey, StoredAnswer};

/// Run a request of a client unless it was answered before; then its answer is repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOnce {
    /// The client's key.
    pub key: IdempotencyKey,
    /// The name of the request's message.
    pub request: String,
    /// The encoded message.
    pub message: Vec<u8>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RanOnce {
    /// The encoded reply of the request.
    pub reply: Vec<u8>,
    /// Whether it is the reply of an earlier request.
    pub is_repeated: bool,
}
call!(RunOnce => ApiTopic, "run_once", since 7, reply RanOnce);

/// Store the answer of a request with an idempotency key, before it is sent: a repeat gets it as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepAnswer {
    /// The client's key.
    pub key: IdempotencyKey,
    /// The answer.
    pub answer: StoredAnswer,
}
call!(KeepAnswer => ApiTopic, "keep_answer", since 7, reply ());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let key = IdempotencyKey::new("k", [b"POST", b"/v3/volumes", b"3.0", b"{}"]).unwrap();
        let answer = StoredAnswer {
            status: 202,
            body: b"{}".to_vec(),
        };
        let keep = KeepAnswer {
            key: key.clone(),
            answer,
        };
        crate::golden::message(&[("full", keep)]);
        let message = RunOnce {
            key,
            request: "make_it".to_owned(),
            message: vec![1, 2],
        };
        crate::golden::message(&[("full", message)]);
        let reply = RanOnce {
            reply: vec![3],
            is_repeated: true,
        };
        crate::golden::reply("api.run_once", &[("full", reply)]);
    }
}
