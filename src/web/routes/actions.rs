//! Actions: `POST …/action` with a body whose only key names the action. Each action is a row of the table with its own handler;
//! the common checks are done here, in Cinder's order:
//!
//! ```text
//!   has the body one key that names a known action?            else 400
//!   does the action exist in this version?                     else 404
//!   does the key's value match the schema?                     else 400
//!   does the action's rule allow it?                           else 403, where the row says `BeforeResource`
//!   does the subject exist, and may the caller see it?         else 404
//!   does the action's rule allow it?                           else 403, where the row says `AfterResource`
//!   its handler
//! ```

use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

use actix_web::{Route, web};
use futures_util::future::LocalBoxFuture;
use serde::Deserialize;
use serde_json::Value;

use super::{RouteInfo, RuleOrder};
use crate::messages::api::ApiTopic;
use crate::messages::{Call, Message};
use crate::web::caller::Caller;
use crate::web::fault::{Fault, HandlerResult};
use crate::web::microversion::Microversion;
use crate::web::request::Body;
use crate::web::state::{State, WebState};

/// A resource that has actions.
#[expect(async_fn_in_trait, reason = "its futures stay on the worker's thread")]
pub trait Subject: Sized + 'static {
    /// The resource with this id.
    ///
    /// # Errors
    /// 404 if there is none that the caller may see; 403 if the caller may not see such resources at all.
    async fn find(state: &WebState, caller: &Caller, id: &str) -> Result<Self, Fault>;
}

/// The subject of actions that are not implemented: they answer 501 for any id.
impl Subject for () {
    async fn find(_: &WebState, _: &Caller, _: &str) -> Result<Self, Fault> {
        Ok(())
    }
}

/// The arguments of an action's handler.
pub struct ActionOn<S> {
    /// The caller.
    pub caller: Caller,
    /// The server's state.
    pub state: State,
    /// The subject of the action.
    pub subject: S,
    /// The subject's id as the client wrote it.
    pub id: String,
    /// The value of the body's key, which matches the row's schema.
    pub arguments: Value,
}

impl<S> ActionOn<S> {
    /// Sends a message to the Api actor, if the action's rule allows it.
    ///
    /// # Errors
    /// What the actor answers, or 403.
    pub async fn ask<M>(&self, message: M) -> Result<M::Reply, Fault>
    where
        M: Call + Message<To = ApiTopic>,
    {
        self.caller.ask(&self.state, message).await
    }
}

/// A request for an action, checked against its schema.
pub(super) struct ActionRequest {
    caller: Caller,
    state: State,
    id: String,
    arguments: Value,
    rule_order: RuleOrder,
}

/// A handler of an action on any kind of subject.
pub(super) type ActionHandler = Rc<dyn Fn(ActionRequest) -> LocalBoxFuture<'static, HandlerResult>>;

/// Wraps a handler with the look-up of its subject.
pub(super) fn erased<S, F>(handler: impl Fn(ActionOn<S>) -> F + Copy + 'static) -> ActionHandler
where
    S: Subject,
    F: Future<Output = HandlerResult> + 'static,
{
    Rc::new(move |request: ActionRequest| {
        Box::pin(async move {
            let ActionRequest {
                caller,
                state,
                id,
                arguments,
                rule_order,
            } = request;
            if rule_order == RuleOrder::BeforeResource {
                caller.permitted()?;
            }
            let subject = S::find(&state, &caller, &id).await?;
            if rule_order == RuleOrder::AfterResource {
                caller.permitted()?;
            }
            let on = ActionOn {
                caller,
                state,
                subject,
                id,
                arguments,
            };
            handler(on).await
        })
    })
}

/// The extractor of what the path names.
pub type SubjectPath = web::Path<SubjectNames>;

/// What a path names, besides the caller's project.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "BTreeMap<PathPart, String>")]
pub struct SubjectNames {
    /// The subject, as the client wrote it.
    pub id: String,
    /// The metadata key, if the path has one.
    pub key: String,
}

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(field_identifier, rename_all = "snake_case")]
enum PathPart {
    ProjectId,
    Key,
    Subject(String),
}

impl From<BTreeMap<PathPart, String>> for SubjectNames {
    fn from(parts: BTreeMap<PathPart, String>) -> Self {
        let mut path = Self::default();
        for (part, text) in parts {
            match part {
                PathPart::ProjectId => {}
                PathPart::Key => path.key = text,
                PathPart::Subject(_) => path.id = text,
            }
        }
        path
    }
}

/// The route of a path with actions. The gate has determined the action and stored its rule.
pub(super) fn route(actions: Vec<(RouteInfo, ActionHandler)>) -> Route {
    let actions: Rc<[(RouteInfo, ActionHandler)]> = actions.into();
    let answer = move |caller: Caller, state: State, path: SubjectPath, body: Body| {
        let actions = Rc::clone(&actions);
        async move {
            let rows = actions.iter().map(|(row, _)| row);
            let (at, arguments) = read(rows, caller.version, body.0)?;
            let (row, handler) = &actions[at];
            let request = ActionRequest {
                caller,
                state,
                id: path.into_inner().id,
                arguments,
                rule_order: row.rule_order,
            };
            handler(request).await
        }
    };
    web::post().to(answer)
}

/// The action that the body names, and its arguments: `{"os-extend": {...}}`.
///
/// # Errors
/// With Cinder's texts: 400 if there is no body, not exactly one key, no such action, or if the arguments do not match the
/// schema; 404 if the action exists in later versions only.
pub(in crate::web) fn read<'a>(
    mut actions: impl Iterator<Item = &'a RouteInfo> + Clone,
    version: Microversion,
    body: Option<Value>,
) -> Result<(usize, Value), Fault> {
    let malformed = || Fault::bad_request("Malformed request body");
    let (name, arguments) = match body {
        None => return Err(no_such_action("None")),
        Some(Value::Object(object)) if object.len() == 1 => {
            object.into_iter().next().ok_or_else(malformed)?
        }
        Some(_) => return Err(malformed()),
    };
    let is_it = |row: &RouteInfo| row.action == Some(name.as_str());
    let row = actions.clone().find(|row| is_it(row));
    let row = row.ok_or_else(|| no_such_action(&name))?;
    if !version.at_least(row.since) {
        return Err(Fault::no_such_resource());
    }
    if let Some(schema) = row.body.in_version(version) {
        schema.check_field(&name, &arguments)?;
    }
    let at = actions.position(is_it).unwrap_or_default();
    Ok((at, arguments))
}

fn no_such_action(name: &str) -> Fault {
    Fault::bad_request(format!(
        "There is no such action: {name}. Verify the request body and Content-Type header and try again."
    ))
}
