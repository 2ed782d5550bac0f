//! A scripted backend. It serves every command that a real one does.

use std::any::Any;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use pumice::backend::{BackendCommand, CommandVisitor};
use pumice::messages::Message;
use pumice::messages::api::{ApiTopic, Failure, FailureKind, Outcome, Report};
use pumice::messages::volume::{CancelOperation, CommandId, ListExisting, VolumeTopic};
use pumice::model::volume::Secret;
use pumice::model::{BackendName, ConnectionInfo, Context, Error, Existing, bounds};
use pumice::transport::serve::EndpointBuilder;
use pumice::transport::{Actor, Endpoint, Handle, Router, Serve};
use pumice::verbs::every_command;
use pumice::verbs::volume::InitializeConnectionCommand;

use super::builders::failed;
use super::script::{Reaction, Shared};

/// GiB of whatever is adopted.
const EXISTING_SIZE: u32 = 7;

/// Starts it.
pub fn start_backend(name: &str, script: &Shared, node: &Router) -> Endpoint {
    let (script, router) = (script.clone(), node.clone());
    let backend: BackendName = name.parse().unwrap();
    let commands = Arc::new(every_command(Commands::default()));
    let builder = EndpointBuilder::new(Some(name.to_owned()), 4096, move || {
        Rc::new(FakeBackend {
            script: script.clone(),
            router: router.clone(),
            backend: backend.clone(),
            commands: Arc::clone(&commands),
        })
    });
    every_command(Serving(builder))
        .0
        .serves::<ListExisting>()
        .serves::<CancelOperation>()
        .start()
}

/// Reports the outcome of a command to the Api actor.
pub async fn send_report(
    router: &Router,
    context: &Context,
    command: CommandId,
    from: Option<BackendName>,
    outcome: Outcome,
) {
    let api: Handle<ApiTopic> = router.any();
    let report = Report {
        command,
        from,
        outcome,
        steps: Vec::new(),
    };
    api.cast(context, report).await.unwrap();
}

struct FakeBackend {
    script: Shared,
    router: Router,
    backend: BackendName,
    commands: Arc<Commands>,
}

impl Actor for FakeBackend {
    type Topic = VolumeTopic;
}

impl<M: Message<To = VolumeTopic>> Serve<M> for FakeBackend {
    async fn serve(self: Rc<Self>, context: Context, message: M) -> Result<M::Reply, Error> {
        if let Some(question) = (&message as &dyn Any).downcast_ref::<ListExisting>() {
            return Ok(reply(self.list_existing(question)));
        }
        self.run(&context, message).await;
        Ok(reply(()))
    }
}

/// The value, which is of that type.
fn reply<R: 'static>(value: impl Any) -> R {
    let value: Box<dyn Any> = Box::new(value);
    *value.downcast().unwrap()
}

impl FakeBackend {
    fn list_existing(&self, question: &ListExisting) -> Vec<Existing> {
        let mut all = self.script.lock().existing.clone();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all.retain(|found| question.after.as_ref().is_none_or(|after| found.name > *after));
        all
    }

    async fn run<M: Message<To = VolumeTopic>>(&self, context: &Context, message: M) {
        let (command, success) = self.success_of(&message);
        let (reaction, is_long) = {
            let mut script = self.script.lock();
            (script.react(M::NAME, message), script.reports_long_texts)
        };
        let (outcome, times) = match reaction {
            Reaction::Lose => return,
            Reaction::Fail(kind) => (failed(kind), 1),
            Reaction::Succeed => (success, 1),
            Reaction::ReportTwice => (success, 2),
        };
        let outcome = if is_long {
            with_long_texts(outcome)
        } else {
            outcome
        };
        for _ in 0..times {
            let from = Some(self.backend.clone());
            send_report(&self.router, context, command, from, outcome.clone()).await;
        }
    }

    fn success_of<M: Message>(&self, message: &M) -> (CommandId, Outcome) {
        let message: &dyn Any = message;
        if let Some(cancel) = message.downcast_ref::<CancelOperation>() {
            return (cancel.command, failed(FailureKind::Cancelled));
        }
        if let Some(command) = message.downcast_ref::<InitializeConnectionCommand>() {
            return (command.command, self.connect(command));
        }
        self.commands.0[M::NAME](message)
    }

    fn connect(&self, command: &InitializeConnectionCommand) -> Outcome {
        let mut script = self.script.lock();
        script.exports += 1;
        let secret = command.volume.provider_auth.clone();
        let secret = secret.unwrap_or_else(|| Secret::new(format!("CHAP u {}", script.exports)));
        let data = serde_json::json!({"auth_password": secret.reveal()});
        Outcome::Connected {
            connection_info: ConnectionInfo::new("iscsi", data.as_object().unwrap().clone()),
            provider_location: "127.0.0.1:3260,1 iqn 1".to_owned(),
            provider_auth: Some(secret),
        }
    }
}

/// The id of a command, and the outcome of its success.
type Success = fn(&dyn Any) -> (CommandId, Outcome);

/// How each command succeeds, by its name.
#[derive(Default)]
struct Commands(BTreeMap<&'static str, Success>);

impl CommandVisitor for Commands {
    fn command<C: BackendCommand>(mut self) -> Self {
        self.0.insert(C::NAME, |message| {
            let command: &C = message.downcast_ref().unwrap();
            let outcome = match command.outcome(C::Output::default()) {
                Outcome::Managed { provider_id, .. } => Outcome::Managed {
                    size: EXISTING_SIZE,
                    provider_id,
                },
                Outcome::SnapshotManaged { provider_id, .. } => Outcome::SnapshotManaged {
                    size: EXISTING_SIZE,
                    provider_id,
                },
                Outcome::Retyped { .. } => Outcome::Retyped { in_place: true },
                outcome => outcome,
            };
            (command.id(), outcome)
        });
        self
    }
}

struct Serving(EndpointBuilder<FakeBackend>);

impl CommandVisitor for Serving {
    fn command<C: BackendCommand>(self) -> Self {
        Self(self.0.serves::<C>())
    }
}

/// The same, with texts as long as may be kept (of a failure: much longer).
fn with_long_texts(outcome: Outcome) -> Outcome {
    let id = || Some("i".repeat(bounds::PROVIDER_ID));
    match outcome {
        Outcome::Created { .. } => Outcome::Created { provider_id: id() },
        Outcome::SnapshotCreated { .. } => Outcome::SnapshotCreated { provider_id: id() },
        Outcome::Connected { .. } => {
            let data = serde_json::json!({"target_luns": "x".repeat(bounds::CONNECTION_INFO - 100)});
            Outcome::Connected {
                connection_info: ConnectionInfo::new("iscsi", data.as_object().unwrap().clone()),
                provider_location: "l".repeat(bounds::EXPORT - 100),
                provider_auth: Some(Secret::new("s".repeat(100))),
            }
        }
        Outcome::Failed(failure) => Outcome::Failed(Failure {
            client: "It broke. ".repeat(20_000),
            ..failure
        }),
        other => other,
    }
}
