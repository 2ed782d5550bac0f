//! The JSON of resources: one file per resource, each with the format that Cinder writes at each microversion.
//!
//! Views borrow what they show and are serialised straight into the answer; no `serde_json::Value` is built for a volume,
//! because a page has a thousand of them. The order of keys is Cinder's, for readers.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::caller::Caller;
use super::fault::{Fault, HandlerResult};
use crate::model::Timestamp;

pub mod attachment;
pub mod manageable;
pub mod message;
pub mod pool;
pub mod quota;
pub mod service;
pub mod shape;
pub mod snapshot;
pub mod transfer;
pub mod volume;
pub mod volume_type;

/// A serialised view. It can be made on any thread, while an answer cannot.
pub struct Json(Vec<u8>);

impl Json {
    /// Serialises a view.
    ///
    /// # Errors
    /// 500 if the view cannot be serialised, which would be a bug.
    pub fn of(view: &impl Serialize) -> Result<Self, Fault> {
        let body = serde_json::to_vec(view);
        body.map(Self)
            .map_err(|error| Fault::internal(format!("writing an answer: {error}")))
    }

    /// An answer with this body.
    pub fn answer(self, status: StatusCode) -> HttpResponse {
        HttpResponse::build(status)
            .insert_header(ContentType::json())
            .body(self.0)
    }
}

/// An answer with a JSON body.
///
/// # Errors
/// As [`Json::of`].
pub fn answer(status: StatusCode, view: &impl Serialize) -> HandlerResult {
    Ok(Json::of(view)?.answer(status))
}

/// An answer `200` with a JSON body.
///
/// # Errors
/// As [`answer`].
pub fn ok(view: &impl Serialize) -> HandlerResult {
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
    /// The views of the page.
    pub items: I,
    /// The key of the links, and the link to the next page if there may be one.
    pub next: Option<(&'a str, serde_json::Value)>,
    /// The total number, if requested.
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

/// The base of the links of a collection's members; created once per page.
#[derive(Clone, Debug)]
pub struct LinkBase {
    own: String,
    bookmark: String,
}

impl LinkBase {
    /// For a collection such as `volumes`, for this caller: with the project if its path contains it.
    pub fn new(caller: &Caller, collection: &str) -> Self {
        let (base, project) = (&caller.base_url, caller.project_segment());
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

/// The `links` of one resource.
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

/// A value that is serialised as its `Display` text.
pub(super) struct Shown<T>(pub(super) T);

impl<T: std::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A time as Cinder writes it.
pub(super) fn time(at: Timestamp) -> Time {
    Time(at)
}

/// A time as Cinder writes it, or null.
pub(super) fn optional_time(at: Option<Timestamp>) -> Option<Time> {
    at.map(Time)
}

/// A time with its own formatting: a page has thousands, and a general formatter parses its pattern for each.
pub(super) struct Time(Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match digits(self.0).as_ref().map(|digits| std::str::from_utf8(digits)) {
            Some(Ok(text)) => serializer.serialize_str(text),
            _ => serializer.collect_str(&self.0),
        }
    }
}

/// `2026-11-22T07:12:34.123456`; `None` for years without four digits.
fn digits(at: Timestamp) -> Option<[u8; 26]> {
    let (seconds, micros) = (at.0.div_euclid(1_000_000), at.0.rem_euclid(1_000_000));
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days to a date in the proleptic Gregorian calendar, counted in eras of 400 years from 0000-03-01.
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if !(0..=9999).contains(&year) {
        return None;
    }
    let mut text = *b"0000-00-00T00:00:00.000000";
    for (end, width, number) in [
        (4, 4, year),
        (7, 2, month),
        (10, 2, day),
        (13, 2, of_day / 3600),
        (16, 2, of_day / 60 % 60),
        (19, 2, of_day % 60),
        (26, 6, micros),
    ] {
        let mut rest = number;
        for place in text[end - width..end].iter_mut().rev() {
            *place = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
    }
    Some(text)
}

#[cfg(test)]
pub(crate) mod tests;
