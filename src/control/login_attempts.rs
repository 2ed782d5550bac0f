//! What counts the attempts to log in at other control nodes; it belongs to the identity service, and the actor that hears of them does not.

use crate::messages::logins::LoginAttempted;

/// See the module.
pub trait CountsAttempts: Send + Sync + 'static {
    /// Counts an attempt; those of the node itself are counted already.
    fn count_attempt(&self, attempted: LoginAttempted);
}
