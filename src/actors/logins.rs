//! The **Logins** actor of a control node: counts attempts to log in at other control nodes, so that three nodes do not let in three
//! times as many guesses.
//!
//! They are messages and no records: what is counted is old after minutes, and a record for each wrong password would let strangers
//! write to the store. A message that is lost, or nodes that cannot reach each other, let in a node's own share more.

use std::rc::Rc;
use std::sync::Arc;

use crate::control::login_attempts::CountsAttempts;
use crate::messages::logins::{LoginAttempted, LoginsTopic};
use crate::model::{Context, Error};
use crate::transport::serve::EndpointBuilder;
use crate::transport::{Actor, Serve};

/// See the module.
pub struct Logins {
    counted_by: Arc<dyn CountsAttempts>,
}

/// The endpoint, ready to be started and registered.
pub fn endpoint(counted_by: Arc<dyn CountsAttempts>, mailbox_bound: usize) -> EndpointBuilder<Logins> {
    EndpointBuilder::new(None, mailbox_bound, move || {
        Rc::new(Logins {
            counted_by: Arc::clone(&counted_by),
        })
    })
    .serves::<LoginAttempted>()
}

impl Actor for Logins {
    type Topic = LoginsTopic;
}

impl Serve<LoginAttempted> for Logins {
    async fn serve(self: Rc<Self>, _context: Context, attempted: LoginAttempted) -> Result<(), Error> {
        self.counted_by.count_attempt(attempted);
        Ok(())
    }
}
