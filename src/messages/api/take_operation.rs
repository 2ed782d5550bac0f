//! Between the Api actors of control nodes, of which not all reach each backend.

use serde::{Deserialize, Serialize};

use super::ApiTopic;
use crate::messages::call;
use crate::model::OperationId;

/// Take over an operation of the sender, which does not reach its backend. The reply is whether the receiver reaches it, and has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeOperation {
    /// The operation.
    pub operation: OperationId,
}
call!(TakeOperation => ApiTopic, "take_operation", since 9, reply bool);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let operation = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        crate::golden::message(&[("full", TakeOperation { operation })]);
        crate::golden::reply("api.take_operation", &[("taken", true)]);
    }
}
