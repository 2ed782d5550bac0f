//! What `/manageable_volumes` and `/manageable_snapshots` have in common: their handlers, and the host, sorting and paging of the
//! lists (cinder: `api/contrib/resource_common_manage.py`, `volume/volume_utils.py` `paginate_entries_list`).
//!
//! A marker is the JSON of a reference. There are no links to a next page, as in Cinder.

use serde_json::{Map, Value};

use super::prelude::*;
use super::query::{Paging, sort_by_keys};
use crate::messages::api::{ManageableSnapshot, ManageableVolume};
use crate::model::Reference;
use crate::store::catalog::Direction;
use crate::web::routes::answers::{Parameter, query};
use crate::web::schema::manage::Place;
use crate::web::schema::python;
use crate::web::views::shape::Shape;

pub(super) const PARAMETERS: &[Parameter] = &[
    query("host", Shape::Text),
    query("cluster", Shape::Text).since(17),
];
pub(super) const SORT_KEYS: Shape = Shape::Enum(&["reference", "size"]);

/// Unmanaged resources of a backend that can be listed and adopted.
pub(super) trait Adoptable: 'static {
    /// Lists them; `detail`: with all fields.
    async fn list(
        caller: Caller,
        state: &WebState,
        offload: Offload,
        query: Query,
        detail: bool,
    ) -> HandlerResult;

    async fn manage(caller: Caller, state: &WebState, body: Body) -> HandlerResult;
}

pub(super) async fn list<A: Adoptable>(
    caller: Caller,
    state: State,
    offload: Offload,
    query: Query,
) -> HandlerResult {
    A::list(caller, &state, offload, query, false).await
}

pub(super) async fn detail<A: Adoptable>(
    caller: Caller,
    state: State,
    offload: Offload,
    query: Query,
) -> HandlerResult {
    A::list(caller, &state, offload, query, true).await
}

pub(super) async fn manage<A: Adoptable>(caller: Caller, state: State, body: Body) -> HandlerResult {
    A::manage(caller, &state, body).await
}

/// A listed resource.
pub(super) trait Found {
    /// The driver's reference to it.
    fn reference(&self) -> &Reference;
    fn size(&self) -> u32;
}

impl Found for ManageableVolume {
    fn reference(&self) -> &Reference {
        &self.reference
    }

    fn size(&self) -> u32 {
        self.size
    }
}

impl Found for ManageableSnapshot {
    fn reference(&self) -> &Reference {
        &self.reference
    }

    fn size(&self) -> u32 {
        self.size
    }
}

/// The query of a list: host, sorting and paging.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) host: String,
    paging: Paging,
    sort: Vec<(Key, Direction)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Reference,
    Size,
}

impl Wanted {
    /// Reads a query.
    ///
    /// # Errors
    /// 400 for an invalid query, 404 for a cluster: there are none.
    pub(super) fn read(caller: &Caller, mut query: Query) -> Result<Self, Fault> {
        let place = Place::of(
            query.get("host"),
            query.get("cluster"),
            caller.version.at_least(17),
        )?;
        let paging = query.take_paging()?;
        let asked = query.take_sorting_by("reference")?.into_pairs();
        let refused = |what: &str, words: Vec<&str>| {
            Fault::bad_request(format!("Invalid sort {what} passed: {}", words.join(", ")))
        };
        let strange = |known: [&str; 2], of: fn(&(String, String)) -> &String| -> Vec<&str> {
            let words = asked.iter().map(|pair| of(pair).as_str());
            words.filter(|word| !known.contains(word)).collect()
        };
        let keys = strange(["reference", "size"], |(key, _)| key);
        if !keys.is_empty() {
            return Err(refused("keys", keys));
        }
        let directions = strange(["asc", "desc"], |(_, direction)| direction);
        if !directions.is_empty() {
            return Err(refused("dirs", directions));
        }
        let mut sort: Vec<(Key, Direction)> = Vec::new();
        for (key, direction) in &asked {
            let key = if key == "size" { Key::Size } else { Key::Reference };
            // A repeated key has no effect.
            if sort.iter().all(|(before, _)| *before != key) {
                let direction = match direction.as_str() {
                    "asc" => Direction::Ascending,
                    _ => Direction::Descending,
                };
                sort.push((key, direction));
            }
        }
        match place {
            Place::Host(host) => Ok(Self { host, paging, sort }),
            Place::Cluster(_) => Err(Fault::not_found("Service cinder-volume could not be found.")),
        }
    }

    /// The requested page of all resources.
    ///
    /// # Errors
    /// 400 for a marker that is not a reference, or matches no resource.
    pub(super) fn part_of<F: Found>(&self, all: Vec<F>) -> Result<Vec<F>, Fault> {
        let all = self.sorted(all);
        let behind = match self.paging.marker.as_deref().filter(|marker| !marker.is_empty()) {
            None => 0,
            Some(marker) => {
                let marker: Value = serde_json::from_str(marker).map_err(|_| {
                    Fault::invalid_input(format!(
                        "marker {marker} can not be analysed, please use json like format"
                    ))
                })?;
                let is_it = |found: &F| marker.as_object() == Some(&found.reference().to_json());
                let at = all.iter().position(is_it);
                at.ok_or_else(|| {
                    Fault::invalid_input(format!("marker not found: {}", python::text(&marker)))
                })? + 1
            }
        };
        let behind = behind.saturating_add(self.paging.offset);
        Ok(all.into_iter().skip(behind).take(self.paging.limit).collect())
    }

    /// Each reference is parsed once, not at every comparison.
    fn sorted<F: Found>(&self, all: Vec<F>) -> Vec<F> {
        let mut all: Vec<(Option<String>, F)> = all
            .into_iter()
            .map(|found| (first_value(found.reference()), found))
            .collect();
        sort_by_keys(&mut all, &self.sort, |(value, a), (other, b), key| match key {
            Key::Reference => value.cmp(other),
            Key::Size => a.size().cmp(&b.size()),
        });
        all.into_iter().map(|(_, found)| found).collect()
    }
}

/// The smallest of a reference's values: what it is sorted by.
fn first_value(reference: &Reference) -> Option<String> {
    let object: Map<String, Value> = reference.to_json();
    object.values().map(python::text).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::views::tests::caller;

    fn found(name: &str, size: u32) -> ManageableVolume {
        ManageableVolume {
            reference: Reference::named(name),
            size,
            safe_to_manage: true,
            reason_not_safe: None,
            cinder_id: None,
        }
    }

    fn names(query: &str) -> Result<Vec<String>, String> {
        let all = vec![found("b", 1), found("c", 2), found("a", 2)];
        let wanted = Wanted::read(&caller(71, true), Query::parse(query, 1000));
        let part = wanted.and_then(|wanted| wanted.part_of(all));
        let name = |found: ManageableVolume| found.reference.source_name().unwrap();
        part.map(|part| part.into_iter().map(name).collect())
            .map_err(|fault| fault.message)
    }

    fn of(names: &[&str]) -> Result<Vec<String>, String> {
        Ok(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_list_is_sorted_and_cut_as_cinder_does() {
        assert_eq!(names("host=h"), of(&["c", "b", "a"]), "by reference, down");
        assert_eq!(names("host=h&sort=reference:asc"), of(&["a", "b", "c"]));
        assert_eq!(names("host=h&sort=size:asc,reference:asc"), of(&["b", "a", "c"]));
        assert_eq!(names("host=h&sort_key=size"), of(&["c", "a", "b"]));
        assert_eq!(names("host=h&limit=1&offset=1"), of(&["b"]));
        assert_eq!(names("host=h&limit=0"), of(&[]));
        assert_eq!(
            names("host=h&marker=%7B%22source-name%22:%20%22c%22%7D&limit=1"),
            of(&["b"])
        );
    }

    #[test]
    fn invalid_queries_are_refused_with_cinders_texts() {
        for (query, message) in [
            (
                "",
                "Invalid input received: One and only one of cluster and host must be set.",
            ),
            ("cluster=c", "Service cinder-volume could not be found."),
            ("host=h&sort=name,size:asc,x", "Invalid sort keys passed: name, x"),
            ("host=h&sort=size:up", "Invalid sort dirs passed: up"),
            ("host=h&limit=x", "limit param must be an integer"),
            (
                "host=h&marker=c",
                "Invalid input received: marker c can not be analysed, please use json like format",
            ),
            (
                "host=h&marker=%7B%22source-name%22:%20%22x%22%7D",
                "Invalid input received: marker not found: {'source-name': 'x'}",
            ),
        ] {
            assert_eq!(names(query), Err(message.to_owned()), "{query}");
        }
        let before = Wanted::read(&caller(16, true), Query::parse("cluster=c", 1000));
        assert_eq!(
            before.unwrap_err().message,
            "Invalid input received: Host field is missing."
        );
    }
}
