//! Between the Api actors of control nodes that share a store.

use serde::{Deserialize, Serialize};

use super::ApiTopic;
use crate::messages::cast;
use crate::model::{ConnectionInfo, Error, OperationId};

/// An operation has ended on another control node: requests may wait for it here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationEnded {
    /// The operation.
    pub operation: OperationId,
    /// Its answer: the connection data, if it has some, or its failure.
    pub answer: Result<Option<Box<ConnectionInfo>>, Error>,
}
cast!(OperationEnded => ApiTopic, "operation_ended", since 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let operation: OperationId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let ended = |answer| OperationEnded { operation, answer };
        let failed = Err(Error::conflict("gone"));
        crate::golden::message(&[("done", ended(Ok(None))), ("failed", ended(failed))]);
    }
}
