//! The levels of the log of this manager's process, which administrators ask for and set.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::VolumeManager;
use crate::actors::permission::demand;
use crate::log_levels;
use crate::messages::volume::{GetLogLevels, SetLogLevels};
use crate::model::role::Level;
use crate::model::{Context, Error};
use crate::transport::Serve;

impl Serve<GetLogLevels> for VolumeManager {
    async fn serve(
        self: Rc<Self>,
        context: Context,
        message: GetLogLevels,
    ) -> Result<BTreeMap<String, String>, Error> {
        demand::<GetLogLevels>(Level::Admin, &context)?;
        Ok(log_levels::levels(&message.prefix))
    }
}

impl Serve<SetLogLevels> for VolumeManager {
    async fn serve(self: Rc<Self>, context: Context, message: SetLogLevels) -> Result<(), Error> {
        demand::<SetLogLevels>(Level::Admin, &context)?;
        log_levels::set(&message.prefix, message.level)
            .map_err(|error| Error::invalid_input(error.to_string()))
    }
}
