//! `/volume-transfers`, and its older name `/os-volume-transfer`: transfers of volumes between projects. The older name supports
//! neither `no_snapshots` (3.55), nor paging and sorting (3.59), nor encrypted volumes (3.70), whatever the version.

use super::list::{self, FieldName, Filters, ListedPage, Listing};
use super::prelude::*;
use super::python;
use super::query::{Paging, Sorting};
use crate::model::volume::Secret;
use crate::model::{Transfer, VolumeId};
use crate::store::catalog::{Catalog, Filter, TransferField};
use crate::verbs::transfer::{AcceptTransfer, CreateTransfer, DeleteTransfer};
use crate::web::routes::answers::{Parameter, query};
use crate::web::schema::prelude::*;
use crate::web::views::LinkBase;
use crate::web::views::shape::Shape;
use crate::web::views::transfer;
use crate::web::views::transfer::{COLLECTION, Shown, TransferView};

/// Whether a route has the newer name.
pub(super) const NEW: bool = true;
pub(super) const OLD: bool = false;

/// `name_skip_leading_trailing_spaces`: not blank, at most 255 characters without the blanks around it. (Its own text is never
/// shown, because null is valid, too.)
const NAME: Schema = Schema(&[AnyOf(&[
    Schema(&[
        Type(&[Kind::String]),
        Matches(Pattern {
            text: "",
            matches: |name| (1..=255).contains(&name.trim().chars().count()),
        }),
    ]),
    Schema(&[Type(&[Kind::Null])]),
])]);

pub(super) const CREATE: Schema = envelope!(
    "transfer",
    object!([("volume_id", UUID), ("name", NAME)], Required(&["volume_id"]))
);

pub(super) const CREATE_V355: Schema = envelope!(
    "transfer",
    object!(
        [("volume_id", UUID), ("name", NAME), ("no_snapshots", BOOLEAN)],
        Required(&["volume_id"])
    )
);

pub(super) const ACCEPT: Schema = envelope!(
    "accept",
    envelope!("auth_key", Schema(&[Type(&[Kind::String, Kind::Integer])]))
);

pub(super) async fn create<const NAME: bool>(caller: Caller, state: State, body: Body) -> HandlerResult {
    let wanted = &body.value()["transfer"];
    let volume_id = text(wanted, "volume_id").unwrap_or_default();
    if !caller.has_been_answered() {
        let found = match python::uuid(volume_id).map(VolumeId) {
            Some(id) => state.catalog.volume(id).await?,
            None => None,
        };
        found
            .filter(|volume| caller.sees(&volume.project_id))
            .ok_or_else(|| Fault::not_found(format!("Volume {volume_id} could not be found.")))?;
    }
    let message = CreateTransfer {
        volume_id: volume_id.to_owned(),
        name: trimmed(wanted, "name"),
        no_snapshots: boolean(wanted, "no_snapshots").unwrap_or_default(),
        encrypted_too: NAME == NEW && caller.version.at_least(70),
    };
    let made = caller.ask(&state, message).await?;
    one(
        &caller,
        StatusCode::ACCEPTED,
        &made.transfer,
        Shown::New(caller.version, &made.auth_key),
    )
}

/// An answer that is one transfer.
fn one(caller: &Caller, status: StatusCode, transfer: &Transfer, shown: Shown<'_>) -> HandlerResult {
    let links = &LinkBase::new(caller, COLLECTION);
    let view = TransferView {
        transfer,
        links,
        shown,
    };
    answer(status, &Named("transfer", view))
}

pub(super) async fn show(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let transfer = list::find::<Transfers<NEW>>(&state, &caller, &path.id).await?;
    one(&caller, StatusCode::OK, &transfer, Shown::Detail(caller.version))
}

pub(super) async fn accept(caller: Caller, state: State, path: SubjectPath, body: Body) -> HandlerResult {
    let auth_key = &body.value()["accept"]["auth_key"];
    let message = AcceptTransfer {
        transfer_id: path.into_inner().id,
        auth_key: Secret::new(
            auth_key
                .as_str()
                .map_or_else(|| auth_key.to_string(), str::to_owned),
        ),
    };
    let transfer = caller.ask(&state, message).await?;
    one(&caller, StatusCode::ACCEPTED, &transfer, Shown::Summary)
}

pub(super) async fn delete(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    list::find::<Transfers<NEW>>(&state, &caller, &path.id).await?;
    let transfer_id = path.into_inner().id;
    caller.ask(&state, DeleteTransfer { transfer_id }).await?;
    Ok(accepted())
}

/// Transfers, by the name of the route.
pub(super) struct Transfers<const NAME: bool>;

impl<const NAME: bool> Listing for Transfers<NAME> {
    type Record = Transfer;

    const RESOURCE: Option<&'static str> = None;
    const LINKS: Option<&'static str> = Some("transfers_links");
    const NAME: &'static str = "transfers";
    const SUMMARY: Shape = transfer::SUMMARY;
    const DETAIL: Shape = transfer::DETAIL;
    const PARAMETERS: &'static [Parameter] = &[
        query("all_tenants", Shape::Boolean),
        query("accepted", Shape::Boolean),
    ];
    const PAGED_SINCE: Option<u16> = match NAME {
        NEW => Some(59),
        OLD => None,
    };
    /// Clients use `name` for `display_name`.
    const FIELDS: &'static [FieldName<TransferField>] = &[
        FieldName::both("id", TransferField::Id),
        FieldName::sort("created_at", TransferField::CreatedAt),
        FieldName::both("volume_id", TransferField::VolumeId),
        FieldName::filter("name", TransferField::Name),
        FieldName::both("display_name", TransferField::Name),
        FieldName::both("source_project_id", TransferField::SourceProjectId),
        FieldName::filter("project_id", TransferField::SourceProjectId),
        FieldName::both("no_snapshots", TransferField::NoSnapshots),
        FieldName::sort("updated_at", TransferField::Same),
        FieldName::sort("expires_at", TransferField::Same),
        FieldName::sort("destination_project_id", TransferField::Same),
        FieldName::sort("accepted", TransferField::Same),
    ];

    fn not_found(id: &str) -> Fault {
        Fault::not_found(format!("Transfer {id} could not be found."))
    }

    fn path(_: bool) -> &'static str {
        COLLECTION
    }

    fn take_part(caller: &Caller, query: &mut Query) -> Result<(Paging, Sorting), Fault> {
        if NAME == NEW && caller.version.at_least(59) {
            return Ok((query.take_paging()?, query.take_sorting()?));
        }
        // On the older route, parameters of paging and sorting are filters that nothing matches (as in Cinder).
        let paging = Paging {
            marker: None,
            offset: 0,
            ..query.clone().take_paging()?
        };
        Ok((paging, Sorting::by("created_at", "asc")))
    }

    fn is_of_all(caller: &Caller, query: &mut Query) -> Result<bool, Fault> {
        let all_tenants = query.take("all_tenants");
        let all_tenants = all_tenants.and_then(|word| python::bool_from_string(&word));
        let is_of_all = caller.context.is_admin && all_tenants == Some(true);
        if !is_of_all {
            query.take("project_id");
        }
        Ok(is_of_all)
    }

    fn filter(_: &Caller, name: &str, value: &str) -> Result<Filters<Self>, Fault> {
        let flag = python::bool_from_string(value);
        Ok(match (name, Self::field(name)) {
            // Accepted transfers are deleted.
            ("accepted", _) if flag == Some(false) => Vec::new(),
            (_, Some(field @ TransferField::NoSnapshots)) => {
                vec![flag.map_or(Filter::Nothing, |flag| Filter::Is(field, vec![flag.to_string()]))]
            }
            (_, Some(field)) => vec![Filter::Is(field, vec![value.to_owned()])],
            (_, None) => vec![Filter::Nothing],
        })
    }

    async fn view(
        _: &Catalog,
        caller: &Caller,
        page: ListedPage<Transfer>,
        detail: bool,
    ) -> Result<Json, Fault> {
        let links = &LinkBase::new(caller, COLLECTION);
        let shown = match detail {
            true => Shown::Detail(caller.version),
            false => Shown::Summary,
        };
        let (transfers, frame) = page.into_parts();
        let view = |transfer| TransferView {
            transfer,
            links,
            shown,
        };
        frame.around("transfers", transfers.iter().map(view))
    }
}
