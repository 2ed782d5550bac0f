//! Read volume data: what another backend reads of a volume that it copies. A question, not a command: it is answered directly, by
//! a worker; see [`crate::verbs::volume::read_volume_data`].

use std::rc::Rc;

use super::VolumeManager;
use crate::model::{Context, Error};
use crate::transport::Serve;
use crate::verbs::volume::read_volume_data::{ReadVolumeData, VolumeData, read_volume_data};

impl Serve<ReadVolumeData> for VolumeManager {
    async fn serve(self: Rc<Self>, _context: Context, question: ReadVolumeData) -> Result<VolumeData, Error> {
        read_volume_data(&self.state, question).await
    }
}
