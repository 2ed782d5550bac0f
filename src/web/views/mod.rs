//! How things look to clients: one file per resource, each the JSON that Cinder writes at each microversion.
//!
//! Views borrow what they show and are serialised straight into the answer; no `serde_json::Value` is built for a volume,
//! because a page has a thousand of them. The order of keys is Cinder's: it means nothing to JSON and much to readers.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::caller::Caller;
use super::fault::Fault;
use crate::model::Timestamp;

pub mod attachment;
pub mod message;
pub mod pool;
pub mod quota;
pub mod service;
pub mod volume;
pub mod volume_type;

/// An answer with a JSON body.
///
/// # Errors
/// 500 if the view cannot be written, which would be a fault of ours.
pub fn answer(status: StatusCode, view: &impl Serialize) -> Result<HttpResponse, Fault> {
    let body =
        serde_json::to_vec(view).map_err(|error| Fault::internal(format!("writing an answer: {error}")))?;
    Ok(HttpResponse::build(status)
        .insert_header(ContentType::json())
        .body(body))
}

/// An answer `200` with a JSON body.
///
/// # Errors
/// As [`answer`].
pub fn ok(view: &impl Serialize) -> Result<HttpResponse, Fault> {
    answer(StatusCode::OK, view)
}

/// `{"<name>": view}`.
pub struct Named<'a, V>(pub &'a str, pub V);

impl<V: Serialize> Serialize for Named<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, &self.1)?;
        map.end()
    }
}

/// A page of a list: `{"volumes": [...], "volumes_links": [...], "count": 7}`.
pub struct Listed<'a, I> {
    /// The key of the list.
    pub name: &'a str,
    /// Views of what is on the page.
    pub items: I,
    /// The key of the links, and the link to the next page if there may be one.
    pub next: Option<(&'a str, serde_json::Value)>,
    /// How many there are in all, if it was asked for.
    pub count: Option<u64>,
}

impl<I, V> Serialize for Listed<'_, I>
where
    I: Iterator<Item = V> + Clone,
    V: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.name, &Items(self.items.clone()))?;
        if let Some((name, links)) = &self.next {
            map.serialize_entry(name, links)?;
        }
        if let Some(count) = self.count {
            map.serialize_entry("count", &count)?;
        }
        map.end()
    }
}

/// A list of views.
pub struct Items<I>(pub I);

impl<I, V> Serialize for Items<I>
where
    I: Iterator<Item = V> + Clone,
    V: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

/// Where the links of a collection's members begin; made once for a page.
#[derive(Clone, Debug)]
pub struct LinkBase {
    own: String,
    bookmark: String,
}

impl LinkBase {
    /// For a collection such as `volumes`, as this caller reaches us: with the project if its path had it.
    #[must_use]
    pub fn new(caller: &Caller, collection: &str) -> Self {
        let base = &caller.base_url;
        let project = caller
            .path_project
            .as_ref()
            .map(|project| format!("{project}/"))
            .unwrap_or_default();
        Self {
            own: format!("{base}/v3/{project}{collection}"),
            bookmark: format!("{base}/{project}{collection}"),
        }
    }

    /// The links of one member.
    pub(super) fn of<I: std::fmt::Display>(&self, id: I) -> Links<'_, I> {
        Links { base: self, id }
    }
}

/// The `links` of one thing.
pub(super) struct Links<'a, I> {
    base: &'a LinkBase,
    id: I,
}

struct Link<'a, I> {
    rel: &'a str,
    base: &'a str,
    id: &'a I,
}

impl<I: std::fmt::Display> Serialize for Links<'_, I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut links = serializer.serialize_seq(Some(2))?;
        links.serialize_element(&Link {
            rel: "self",
            base: &self.base.own,
            id: &self.id,
        })?;
        links.serialize_element(&Link {
            rel: "bookmark",
            base: &self.base.bookmark,
            id: &self.id,
        })?;
        links.end()
    }
}

impl<I: std::fmt::Display> Serialize for Link<'_, I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut link = serializer.serialize_map(Some(2))?;
        link.serialize_entry("rel", self.rel)?;
        link.serialize_entry("href", &Shown(format_args!("{}/{}", self.base, self.id)))?;
        link.end()
    }
}

/// Something that is written as its text.
pub(super) struct Shown<T>(pub(super) T);

impl<T: std::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A time as Cinder writes it.
pub(super) fn time(at: Timestamp) -> Shown<Timestamp> {
    Shown(at)
}

/// A time as Cinder writes it, or null.
pub(super) fn optional_time(at: Option<Timestamp>) -> Option<Shown<Timestamp>> {
    at.map(Shown)
}

#[cfg(test)]
pub(crate) mod tests;
