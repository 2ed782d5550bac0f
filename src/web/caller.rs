//! Who calls, and in which version: what a handler knows of its request besides path, query and body.

use std::future::Ready;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use super::fault::Fault;
use super::microversion::Microversion;
use super::policy::Rule;
use crate::model::Context;

/// An authenticated request. Handlers take it as an argument (it is an extractor); the middleware has put it together.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The request context that goes along with each message.
    pub context: Context,
    /// The negotiated version.
    pub version: Microversion,
    /// `http://host:port`, as the client reaches us: public links begin so.
    pub base_url: String,
    /// The project in the path, if there is one.
    pub path_project: Option<String>,
}

impl Caller {
    /// 403 unless the caller may do this in its own project.
    pub fn may(&self, _rule: Rule) -> Result<(), Fault> {
        todo!()
    }

    /// Whether the caller may do this in its own project.
    #[must_use]
    pub fn can(&self, rule: Rule) -> bool {
        self.may(rule).is_ok()
    }

    /// 404 unless the negotiated version is 3.`minor` or newer.
    pub fn since(&self, minor: u16) -> Result<(), Fault> {
        if self.version.at_least(minor) {
            Ok(())
        } else {
            Err(Fault::no_such_resource())
        }
    }

    /// `self` and `bookmark` links of a thing, as Cinder writes them.
    #[must_use]
    pub fn links(&self, _collection: &str, _id: &str) -> serde_json::Value {
        todo!()
    }
}

impl FromRequest for Caller {
    type Error = Fault;
    type Future = Ready<Result<Self, Fault>>;

    fn from_request(_request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        todo!()
    }
}
