//! Services: a row for each binary on each host, kept over restarts.

use super::changes::Changes;
use super::keys::{self, key};
use super::{Catalog, Stored};
use crate::model::Service;
use crate::store::StoreError;

impl Catalog {
    /// All services that were ever seen.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn services(&self) -> Result<Vec<Stored<Service>>, StoreError> {
        self.all(key(keys::SERVICE).prefix()).await
    }
}

impl Changes {
    /// A service as it is to be now (new or known by its binary and host).
    pub fn put_service(&mut self, service: &Service) -> &mut Self {
        self.put(
            key(keys::SERVICE).text(&service.binary).text(&service.host).end(),
            service,
        );
        self
    }
}
