//! `/os-services/get-log` and `set-log` (since 3.32): the levels of the logs of services (cinder: `api/v3/services.py`). The services
//! of one process have one log.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::Serialize;
use serde_json::Value;

use super::prelude::*;
use crate::log_levels::{self, LogLevel};
use crate::messages::registry::ListServices;
use crate::messages::volume::{GetLogLevels, SetLogLevels, VolumeTopic};
use crate::messages::{Call, Message};
use crate::model::host::host_matches;
use crate::web::schema::prelude::*;
use crate::web::views::service::VOLUME_BINARY;
use crate::web::views::shape::{self, Shape, field};

pub(super) const LEVELS: Shape = Shape::Object(&[field(
    "log_levels",
    Shape::List(&Shape::Object(&[
        field("host", Shape::Text),
        field("binary", Shape::Text),
        field("levels", shape::TEXTS),
    ])),
)]);

const API_BINARY: &str = "cinder-api";

const BINARY: Schema = Schema(&[
    Type(&[Kind::String]),
    Enum(&[
        "cinder-scheduler",
        VOLUME_BINARY,
        "cinder-backup",
        API_BINARY,
        "",
        "*",
    ]),
]);

pub(super) const GET: Schema = object!([
    ("binary", BINARY),
    ("server", NULLABLE_STRING),
    ("prefix", NULLABLE_STRING)
]);

pub(super) const SET: Schema = object!([
    ("binary", BINARY),
    ("server", NULLABLE_STRING),
    ("prefix", NULLABLE_STRING),
    (
        "level",
        Schema(&[Type(&[Kind::String, Kind::Null]), FormatCheck(Format::LogLevel)])
    )
]);

#[derive(Serialize)]
struct ServiceLevels {
    host: String,
    binary: String,
    levels: BTreeMap<String, String>,
}

/// The services that a body names.
struct Wanted<'a> {
    binary: &'a str,
    server: &'a str,
    prefix: &'a str,
}

impl<'a> Wanted<'a> {
    fn of(body: &'a Value) -> Self {
        let given = |field| text(body, field).unwrap_or_default();
        Self {
            binary: Some(given("binary"))
                .filter(|binary| *binary != "*")
                .unwrap_or_default(),
            server: given("server"),
            prefix: given("prefix"),
        }
    }

    /// Whether the API of this node is meant.
    fn has_api(&self, node: &str) -> bool {
        ["", API_BINARY].contains(&self.binary) && (self.server.is_empty() || self.server == node)
    }

    /// The services that are up, by binary and host.
    async fn services(&self, caller: &Caller, state: &WebState) -> Result<Vec<(String, String)>, Fault> {
        let seen = caller.call(state, &state.registry, ListServices {}).await?;
        let meant = seen.into_iter().filter(|seen| seen.up).map(|seen| seen.service);
        let meant = meant.filter(|service| {
            (self.binary.is_empty() || self.binary == service.binary)
                && (self.server.is_empty() || host_matches(&service.host, self.server))
        });
        Ok(meant.map(|service| (service.binary, service.host)).collect())
    }
}

fn is_backend(binary: &str) -> bool {
    binary == VOLUME_BINARY
}

/// Asks those of the services that are backends, all at the same time: those that do not answer take the time of one. The answers, in
/// their order.
///
/// # Errors
/// That of the first that does not answer.
async fn ask_backends<M>(
    caller: &Caller,
    state: &WebState,
    services: &[(String, String)],
    message: &M,
) -> Result<Vec<M::Reply>, Fault>
where
    M: Call + Message<To = VolumeTopic> + Clone,
{
    let backends = services.iter().filter(|(binary, _)| is_backend(binary));
    let asking = backends.map(|(_, host)| async move {
        let manager = state.router.server::<VolumeTopic>(host);
        let answer = caller.call(state, &manager, message.clone()).await;
        if let Err(fault) = &answer {
            tracing::warn!(%host, message = M::NAME, status = %fault.status, "a backend that is up does not answer");
        }
        answer
    });
    join_all(asking).await.into_iter().collect()
}

pub(super) async fn get(caller: Caller, state: State, body: Body) -> HandlerResult {
    let wanted = Wanted::of(body.value());
    let node = state.router.node();
    let mut found = Vec::new();
    if wanted.has_api(node) {
        found.push(ServiceLevels {
            host: node.to_owned(),
            binary: API_BINARY.to_owned(),
            levels: log_levels::levels(wanted.prefix),
        });
    }
    let services = wanted.services(&caller, &state).await?;
    let prefix = wanted.prefix.to_owned();
    let mut asked = ask_backends(&caller, &state, &services, &GetLogLevels { prefix })
        .await?
        .into_iter();
    for (binary, host) in services {
        // Each service but a backend is in this process.
        let levels = if is_backend(&binary) { asked.next() } else { None };
        let levels = levels.unwrap_or_else(|| log_levels::levels(wanted.prefix));
        found.push(ServiceLevels { host, binary, levels });
    }
    ok(&Named("log_levels", found))
}

pub(super) async fn set(caller: Caller, state: State, body: Body) -> HandlerResult {
    let wanted = Wanted::of(body.value());
    let level = text(body.value(), "level")
        .and_then(LogLevel::of)
        .ok_or_else(Fault::malformed)?;
    let services = wanted.services(&caller, &state).await?;
    let is_of_this_node = |(binary, _): &(String, String)| !is_backend(binary);
    if wanted.has_api(state.router.node()) || services.iter().any(is_of_this_node) {
        log_levels::set(wanted.prefix, level).map_err(Fault::invalid_input)?;
    }
    let message = SetLogLevels {
        prefix: wanted.prefix.to_owned(),
        level,
    };
    ask_backends(&caller, &state, &services, &message).await?;
    Ok(accepted())
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use tokio::sync::Barrier;

    use super::*;
    use crate::model::{Context, Error};
    use crate::store::catalog::Catalog;
    use crate::store::memory::MemoryStore;
    use crate::transport::{Actor, EndpointBuilder, Router, Serve};
    use crate::web::views::tests::caller;

    /// A backend that answers when as many as the barrier wants were asked; without a barrier, never.
    struct Backend {
        name: String,
        together: Option<Arc<Barrier>>,
    }

    impl Actor for Backend {
        type Topic = VolumeTopic;
    }

    impl Serve<GetLogLevels> for Backend {
        async fn serve(
            self: Rc<Self>,
            _: Context,
            message: GetLogLevels,
        ) -> Result<BTreeMap<String, String>, Error> {
            match &self.together {
                Some(barrier) => barrier.wait().await,
                None => pending().await,
            };
            Ok([(message.prefix, self.name.clone())].into())
        }
    }

    /// Asks the API's service, which needs no message, and these backends.
    async fn ask(limit: Duration, backends: &[Option<Arc<Barrier>>]) -> Result<Vec<String>, u16> {
        let catalog = Catalog::open(Arc::new(MemoryStore::default())).await.unwrap();
        let router = Router::new("h");
        let mut services = vec![(API_BINARY.to_owned(), "h".to_owned())];
        for (number, together) in backends.iter().enumerate() {
            let (name, together) = (format!("h@{number}"), together.clone());
            services.push((VOLUME_BINARY.to_owned(), name.clone()));
            let make = move || {
                Rc::new(Backend {
                    name: name.clone(),
                    together: together.clone(),
                })
            };
            let endpoint = EndpointBuilder::new(Some(format!("h@{number}")), 8, make);
            router.register(endpoint.serves::<GetLogLevels>().start());
        }
        let state = WebState {
            call_timeout: limit,
            ..WebState::new(catalog, router)
        };
        let message = GetLogLevels {
            prefix: "p".to_owned(),
        };
        let answers = ask_backends(&caller(71, true), &state, &services, &message).await;
        let answers = answers.map_err(|fault| fault.status.as_u16())?;
        Ok(answers.into_iter().map(|levels| levels["p"].clone()).collect())
    }

    #[actix::test]
    async fn backends_are_asked_at_the_same_time() {
        let together = Some(Arc::new(Barrier::new(5)));
        let answers = ask(Duration::from_secs(60), &vec![together; 5]).await;
        let expected: Vec<String> = (0..5).map(|number| format!("h@{number}")).collect();
        assert_eq!(answers, Ok(expected));
    }

    #[actix::test]
    async fn backends_that_do_not_answer_cost_one_time_limit_together() {
        let limit = Duration::from_millis(150);
        let begun = Instant::now();
        assert_eq!(ask(limit, &[const { None }; 10]).await, Err(503));
        assert!(begun.elapsed() < limit * 10, "one after another");
    }
}
