//! Rows of lists: their handlers, and what the OpenAPI document says of them, which follows from the [`Listing`].

use super::list::{self, Listing};
use crate::web::policy::Rule;
use crate::web::routes::answers::{Content, Page, Parameter, query};
use crate::web::routes::{RouteInfo, Routes};
use crate::web::views::shape::Shape;

/// Adds rows of lists.
pub(super) trait ListRows {
    /// A brief list.
    fn list<L: Listing>(&mut self, path: &'static str, rule: Rule) -> &mut RouteInfo;

    /// A full list.
    fn detail<L: Listing>(&mut self, path: &'static str, rule: Rule) -> &mut RouteInfo;
}

impl ListRows for Routes {
    fn list<L: Listing>(&mut self, path: &'static str, rule: Rule) -> &mut RouteInfo {
        describe::<L>(self.get(path, rule, list::list::<L>), L::SUMMARY)
    }

    fn detail<L: Listing>(&mut self, path: &'static str, rule: Rule) -> &mut RouteInfo {
        describe::<L>(self.get(path, rule, list::detail::<L>), L::DETAIL)
    }
}

fn describe<L: Listing>(row: &mut RouteInfo, item: Shape) -> &mut RouteInfo {
    if let Some(since) = L::PAGED_SINCE {
        row.parameters(&paged(Shape::Choice(L::sort_keys)).map(|one| one.since(since)));
    }
    if L::COUNTS {
        row.parameters(&[query("with_count", Shape::Boolean).since(45)]);
    }
    row.parameters(L::PARAMETERS);
    let is_said = |name: &&str| !L::PARAMETERS.iter().any(|said| said.name == *name);
    let fields: Vec<Parameter> = L::filter_names()
        .filter(is_said)
        .map(|name| query(name, Shape::Text).since(L::FILTERED_SINCE))
        .collect();
    row.parameters(&fields);
    row.answers(200, page(L::NAME, item, L::LINKS, L::COUNTS))
}

fn page(name: &'static str, item: Shape, links: Option<&'static str>, counts: bool) -> Content {
    Content::Page(Page {
        name,
        item,
        links,
        counts,
    })
}

/// The parameters of a list that is paged, and sorted by these keys.
pub(super) const fn paged(sort_keys: Shape) -> [Parameter; 6] {
    [
        query("limit", Shape::Natural),
        query("marker", Shape::Text),
        query("offset", Shape::Natural),
        query("sort", Shape::Text),
        query("sort_key", sort_keys),
        query("sort_dir", Shape::Enum(&["asc", "desc"])),
    ]
}
