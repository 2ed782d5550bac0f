//! Reads of a volume by another backend that copies it. A query, not a command: it is answered directly, by a worker;
//! see [`ReadVolumeData`].

use std::rc::Rc;

use super::VolumeManager;
use crate::model::{Context, Error};
use crate::transport::Serve;
use crate::verbs::volume::{ReadVolumeData, VolumeData};

impl Serve<ReadVolumeData> for VolumeManager {
    async fn serve(self: Rc<Self>, _context: Context, question: ReadVolumeData) -> Result<VolumeData, Error> {
        question.answer(&self.state).await
    }
}
