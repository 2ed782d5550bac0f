//! Queries: paging, sorting, booleans, and the remaining filters (cinder: `api/common.py`).

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};

use crate::model::quota::MAX as MAX_INT;
use crate::store::catalog::Direction;
use crate::web::fault::Fault;
use crate::web::links::decode_query;
use crate::web::schema::python;
use crate::web::state::{DEFAULT_PAGE_SIZE, ServerState};

/// A query, an extractor for handlers. Parameters that are taken out are not filters any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    text: String,
    pairs: Vec<(String, String)>,
    max_page_size: usize,
}

/// The page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Paging {
    /// The most records.
    pub(super) limit: usize,
    /// The id after which the page starts.
    pub(super) marker: Option<String>,
    /// The number of records to skip.
    pub(super) offset: usize,
}

/// The order: keys and directions, not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sorting(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str, max_page_size: usize) -> Self {
        Self {
            text: text.to_owned(),
            pairs: decode_query(text),
            max_page_size,
        }
    }

    /// The text as it came, for the link to the next page.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// A parameter; the last of repeated ones.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A parameter, taken out.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let value = self.get(name).map(str::to_owned);
        self.pairs.retain(|(key, _)| key != name);
        value
    }

    /// A boolean parameter; absent is false.
    ///
    /// # Errors
    /// 400 for another value.
    pub(super) fn bool(&self, name: &str) -> Result<bool, Fault> {
        let Some(value) = self.get(name) else {
            return Ok(false);
        };
        python::bool_from_string(value)
            .ok_or_else(|| Fault::bad_request(format!("Value '{value}' for '{name}' is not a boolean.")))
    }

    /// The remaining parameters, each name once, in the order of their first occurrence; of repeated values the last.
    pub(super) fn filters(&self) -> Vec<(&str, &str)> {
        let last: HashMap<&str, &str> = self
            .pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let mut seen = HashSet::new();
        let names = self.pairs.iter().map(|(name, _)| name.as_str());
        names
            .filter(|name| seen.insert(*name))
            .filter_map(|name| Some((name, *last.get(name)?)))
            .collect()
    }

    /// Takes `marker`, `limit` and `offset` out.
    ///
    /// # Errors
    /// 400 if one is not a number, or negative.
    pub(super) fn take_paging(&mut self) -> Result<Paging, Fault> {
        let most = self.max_page_size;
        let limit = match self.take("limit") {
            None => most,
            Some(text) => {
                let limit =
                    python::int(&text).ok_or_else(|| Fault::bad_request("limit param must be an integer"))?;
                if limit < 0 {
                    return Err(Fault::bad_request("limit param must be positive"));
                }
                usize::try_from(limit).unwrap_or(most).min(most)
            }
        };
        let marker = self.take("marker");
        let offset = match self.take("offset") {
            None => 0,
            Some(text) => offset(&text)?,
        };
        Ok(Paging {
            limit,
            marker,
            offset,
        })
    }

    /// Takes the sorting out: `sort=name:asc,size`, or the older `sort_key` and `sort_dir`.
    ///
    /// # Errors
    /// 400 if both forms are there.
    pub(super) fn take_sorting(&mut self) -> Result<Sorting, Fault> {
        self.take_sorting_by("created_at")
    }

    /// The same, for lists with another default key.
    ///
    /// # Errors
    /// 400 if both forms are there.
    pub(super) fn take_sorting_by(&mut self, default_key: &str) -> Result<Sorting, Fault> {
        let sort = self.take("sort");
        let (key, direction) = (self.take("sort_key"), self.take("sort_dir"));
        if let Some(sort) = sort {
            if key.is_some() || direction.is_some() {
                return Err(Fault::bad_request(
                    "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' \
                     parameter.",
                ));
            }
            let parts = sort.trim().split(',').map(|part| {
                let (key, direction) = part.split_once(':').unwrap_or((part, ""));
                let direction = if direction.is_empty() { "desc" } else { direction };
                (key.trim().to_owned(), direction.trim().to_owned())
            });
            return Ok(Sorting(parts.collect()));
        }
        let text = |given: Option<String>, default: &str| {
            given.map_or(default.to_owned(), |text| text.trim().to_owned())
        };
        Ok(Sorting(vec![(text(key, default_key), text(direction, "desc"))]))
    }
}

fn offset(text: &str) -> Result<usize, Fault> {
    let number = python::int(text).ok_or_else(|| Fault::bad_request("offset must be an integer"))?;
    if number < 0 {
        return Err(Fault::bad_request("offset must be >= 0"));
    }
    if number > i128::from(MAX_INT) {
        return Err(Fault::bad_request(format!("offset must be <= {MAX_INT}")));
    }
    usize::try_from(number).map_err(|_| Fault::bad_request(format!("offset must be <= {MAX_INT}")))
}

impl Sorting {
    /// By one key.
    pub(super) fn by(key: &str, direction: &str) -> Self {
        Self(vec![(key.to_owned(), direction.to_owned())])
    }

    /// Keys and directions as in the query.
    pub(super) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }

    /// The keys, resolved by `known`, with their directions, each once: a repeated key has no effect. So an order has at most as
    /// many keys as a record has fields.
    ///
    /// # Errors
    /// 400 for an invalid direction or key; directions are checked first.
    pub(super) fn keys<K: PartialEq>(
        self,
        known: impl Fn(&str) -> Option<K>,
    ) -> Result<Vec<(K, Direction)>, Fault> {
        let directed = self
            .0
            .into_iter()
            .map(|(key, direction)| match direction.as_str() {
                "asc" => Ok((key, Direction::Ascending)),
                "desc" => Ok((key, Direction::Descending)),
                _ => Err(Fault::invalid_input(
                    "Unknown sort direction, must be 'desc' or 'asc'.",
                )),
            });
        let directed = directed.collect::<Result<Vec<_>, _>>()?;
        let mut keys: Vec<(K, Direction)> = Vec::new();
        for (key, direction) in directed {
            let key = known(&key).ok_or_else(|| Fault::invalid_input("Invalid sort key"))?;
            if !keys.iter().any(|(before, _)| *before == key) {
                keys.push((key, direction));
            }
        }
        Ok(keys)
    }
}

/// Sorts a list in memory by several keys.
pub(super) fn sort_by_keys<T, K: Copy>(
    list: &mut [T],
    sort: &[(K, Direction)],
    compare: fn(&T, &T, K) -> Ordering,
) {
    list.sort_by(|a, b| {
        let orders = sort.iter().map(|(key, direction)| match direction {
            Direction::Ascending => compare(a, b, *key),
            Direction::Descending => compare(b, a, *key),
        });
        orders
            .into_iter()
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    });
}

/// The page of a list in memory: after the marker and the offset, up to the limit. `None` if no record has the marker's id.
pub(super) fn part_of<T>(list: Vec<T>, paging: &Paging, id: impl Fn(&T) -> String) -> Option<Vec<T>> {
    let behind = match &paging.marker {
        None => 0,
        Some(marker) => list.iter().position(|item| id(item) == *marker)? + 1,
    };
    Some(
        list.into_iter()
            .skip(behind)
            .skip(paging.offset)
            .take(paging.limit)
            .collect(),
    )
}

impl FromRequest for Query {
    type Error = Fault;
    type Future = Ready<Result<Self, Fault>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let most = request
            .app_data::<web::Data<ServerState>>()
            .map_or(DEFAULT_PAGE_SIZE, |server| server.max_page_size);
        ready(Ok(Self::parse(request.query_string(), most)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(text, 1000)
    }

    #[test]
    fn paging_is_taken_out() {
        let mut some = query("limit=2&marker=m&offset=3&name=x");
        assert_eq!(
            some.take_paging(),
            Ok(Paging {
                limit: 2,
                marker: Some("m".to_owned()),
                offset: 3
            })
        );
        assert_eq!(some.filters(), [("name", "x")]);
        for text in ["limit=5000", "limit=99999999999999999999999999"] {
            assert_eq!(query(text).take_paging().unwrap().limit, 1000, "{text}");
        }
        for (text, message) in [
            ("limit=x", "limit param must be an integer"),
            ("limit=-1", "limit param must be positive"),
            ("offset=x", "offset must be an integer"),
            ("offset=-1", "offset must be >= 0"),
            ("offset=2147483648", "offset must be <= 2147483647"),
        ] {
            let paging = query(text).take_paging();
            assert_eq!(paging, Err(Fault::bad_request(message)), "{text}");
        }
    }

    #[test]
    fn both_forms_of_sorting_are_understood_but_not_together() {
        let known = |key: &str| (key == "name" || key == "created_at").then(|| key.to_owned());
        let keys = |text: &str| query(text).take_sorting().and_then(|sorting| sorting.keys(known));
        for (text, key, direction) in [
            ("sort=name:asc", "name", Direction::Ascending),
            ("sort_key=name", "name", Direction::Descending),
            ("", "created_at", Direction::Descending),
        ] {
            assert_eq!(keys(text), Ok(vec![(key.to_owned(), direction)]), "{text}");
        }
        for (text, message) in [
            ("sort=bogus:asc", "Invalid input received: Invalid sort key"),
            (
                "sort=bogus:x",
                "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.",
            ),
            (
                "sort=name&sort_dir=asc",
                "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' parameter.",
            ),
        ] {
            assert_eq!(keys(text), Err(Fault::bad_request(message)), "{text}");
        }
    }

    #[test]
    fn an_order_has_each_key_once_however_often_it_is_named() {
        let text = format!("sort={}", ["id:asc", "name:desc"].repeat(2000).join(","));
        let known = |key: &str| ["id", "name"].into_iter().find(|known| *known == key);
        let keys = query(&text).take_sorting().unwrap().keys(known);
        let expected = vec![("id", Direction::Ascending), ("name", Direction::Descending)];
        assert_eq!(keys, Ok(expected));
    }

    #[test]
    fn a_list_is_sorted_by_its_keys_in_turn() {
        let compare = |a: &(u32, u32), b: &(u32, u32), key: bool| match key {
            true => a.0.cmp(&b.0),
            false => a.1.cmp(&b.1),
        };
        let list: Vec<_> = (0..100_u32).map(|number| (number % 3, number)).collect();
        let sort = [(true, Direction::Ascending), (false, Direction::Descending)];
        let mut expected = list.clone();
        expected.sort_by_key(|(first, second)| (*first, std::cmp::Reverse(*second)));
        let mut sorted = list;
        sort_by_keys(&mut sorted, &sort, compare);
        assert_eq!(sorted, expected);
    }

    #[test]
    fn of_several_values_the_last_counts() {
        assert_eq!(query("a=1&b=2&a=3").filters(), [("a", "3"), ("b", "2")]);
        assert_eq!(query("all_tenants=Yes").bool("all_tenants"), Ok(true));
        assert_eq!(
            query("force=2").bool("force"),
            Err(Fault::bad_request("Value '2' for 'force' is not a boolean."))
        );
    }

    #[test]
    fn a_list_in_memory_is_paged() {
        let paging = |marker: Option<&str>, offset, limit| Paging {
            limit,
            marker: marker.map(str::to_owned),
            offset,
        };
        let id = |number: &u8| number.to_string();
        for (list, paging, expected) in [
            (vec![1, 2, 3, 4], paging(Some("1"), 1, 1), Some(vec![3])),
            (vec![1], paging(Some("7"), 0, 1), None),
            (vec![1], paging(None, 5, 5), Some(vec![])),
        ] {
            assert_eq!(part_of(list, &paging, id), expected, "{paging:?}");
        }
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic(text in "\\PC{0,60}") {
            let mut any = query(&text);
            let _ = any.take_paging();
            let _ = any.take_sorting().and_then(|sorting| sorting.keys(|key| Some(key.to_owned())));
            let _ = any.bool("a");
            let _ = any.filters();
        }
    }
}
