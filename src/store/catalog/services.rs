//! Services: a row for each binary on each host, kept over restarts.

use super::prelude::*;
use crate::model::Service;

impl Catalog {
    /// A service.
    pub async fn service(&self, binary: &str, host: &str) -> Result<Option<Stored<Service>>, StoreError> {
        self.record(&service_key(binary, host)).await
    }

    /// All known services.
    pub async fn services(&self) -> Result<Vec<Stored<Service>>, StoreError> {
        self.all(key(keys::SERVICE).prefix()).await
    }
}

impl Changes {
    /// Inserts or updates a service.
    pub fn put_service(&mut self, service: &Service) -> &mut Self {
        self.put(service_key(&service.binary, &service.host), service);
        self
    }

    /// Requires that a service is as it was read.
    pub fn require_service(&mut self, was: &Stored<Service>) -> &mut Self {
        self.unchanged(&service_key(&was.binary, &was.host), was.revision);
        self
    }

    /// Deletes a service; a conflict if it changed since it was read.
    pub fn delete_service(&mut self, was: &Stored<Service>) -> &mut Self {
        let key = service_key(&was.binary, &was.host);
        self.unchanged(&key, was.revision);
        self.delete_key(key);
        self
    }

    /// Updates a service, or inserts it if `was` is `None`; a conflict if it changed since it was read, or was inserted
    /// meanwhile.
    pub fn update_service(&mut self, was: Option<&Stored<Service>>, now: &Service) -> &mut Self {
        let key = service_key(&now.binary, &now.host);
        self.expect_as_read(&key, was);
        self.put_service(now)
    }
}

fn service_key(binary: &str, host: &str) -> Key {
    key(keys::SERVICE).text(binary).text(host).end()
}
