//! A whole service in one process, behind real HTTP: memory store, all actors, a fake backend. And what Cinder was seen to
//! answer, to compare with.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod described;
pub mod observed;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::web::Data;
use async_trait::async_trait;
use pumice::actors::registry::Liveness;
use pumice::actors::{api, quota, registry, scheduler, volume_manager};
use pumice::backend::{BackendState, Options};
use pumice::drivers::VolumeDriver;
use pumice::drivers::fake::{FakeDriver, FakeOptions};
use pumice::drivers::targets::fake::FakeTarget;
use pumice::messages::quota::QuotaTopic;
use pumice::messages::scheduler::SchedulerTopic;
use pumice::model::{BackendName, ProjectId};
use pumice::store::catalog::{Catalog, ListOptions};
use pumice::store::memory::MemoryStore;
use pumice::transport::Router;
use pumice::web::auth::{Authenticator, Credentials, Principal, Scope, Strategy};
use pumice::web::fault::Fault;
use pumice::web::server::{self, Site};
use pumice::web::state::{ServerState, WebState};
use serde_json::{Value, json};

use crate::web_support::{Answer, loopback, send};

/// The project that requests are for.
pub const PROJECT: &str = "0123456789abcdef0123456789abcdef";

/// Another one.
pub const OTHER_PROJECT: &str = "fedcba9876543210fedcba9876543210";

/// Tokens are `role:project`.
struct Roles;

#[async_trait]
impl Authenticator for Roles {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<Principal>, Fault> {
        let token = credentials.token;
        let Some((role, project)) = token.split_once(':') else {
            return Ok(None);
        };
        let implied: &[&str] = match role {
            "admin" => &["admin", "member", "reader"],
            "member" => &["member", "reader"],
            "reader" => &["reader"],
            // A role that no rule knows.
            other => &[other],
        };
        Ok(Some(Principal {
            user_id: "admin".into(),
            project_id: ProjectId::from(project),
            roles: implied.iter().map(|role| (*role).to_owned()).collect(),
            is_admin: role == "admin",
            scope: Scope::Project,
        }))
    }

    fn login_uri(&self, base_url: &str) -> String {
        base_url.to_owned()
    }
}

/// The service.
pub struct House {
    pub address: SocketAddr,
    pub catalog: Catalog,
    pub driver: FakeDriver,
    pub target: Arc<FakeTarget>,
    pub site: Site,
    server: ServerHandle,
}

/// A request to be sent.
pub struct Request<'h> {
    house: &'h House,
    method: &'h str,
    /// The project in the path, unless the path starts at the root of the server.
    project: Option<String>,
    path: String,
    token: Option<String>,
    version: String,
    headers: Vec<(String, String)>,
    body: Option<Value>,
}

impl House {
    /// Builds it, and waits until its backend is known.
    pub async fn build() -> Self {
        let house = Self::build_with(true, ListOptions::default()).await;
        house
            .until("the backend to report", async || {
                let pools = house.get("/scheduler-stats/get_pools").send().await.json();
                (!pools["pools"].as_array().unwrap().is_empty()).then_some(())
            })
            .await;
        house
    }

    /// Without scheduler and backend: what is begun stays as it is, as in the observations.
    pub async fn build_deaf() -> Self {
        Self::build_with(false, ListOptions::default()).await
    }

    /// As [`House::build_deaf`], with lists that are always read from the store, however many rows they skip.
    pub async fn build_without_tables() -> Self {
        let walks = ListOptions {
            skipped_rows: usize::MAX,
            ..ListOptions::default()
        };
        Self::build_with(false, walks).await
    }

    async fn build_with(alive: bool, lists: ListOptions) -> Self {
        let catalog = Catalog::open(Arc::new(MemoryStore::default())).await.unwrap();
        let catalog = catalog.with_lists(lists);
        let router = Router::new("h");
        let liveness = Arc::new(Liveness::new(Duration::from_secs(60)));
        let registry_options = registry::Options::default().with_scheduler("h", "nova");
        let nodes = pumice::actors::api::ControlNodes::alone();
        let registry = registry::endpoint(
            catalog.clone(),
            liveness.clone(),
            router.clone(),
            nodes,
            registry_options,
        );
        router.register(registry.start());
        router.register(quota::endpoint(catalog.clone(), quota::Options::default()).start());
        let parts = scheduler::SchedulerState::new(
            catalog.clone(),
            router.clone(),
            liveness,
            scheduler::Options::default(),
        )
        .unwrap();
        if alive {
            router.register(scheduler::endpoint(parts).start());
        }
        let api_control = api::Control {
            catalog: catalog.clone(),
            quota: router.any::<QuotaTopic>(),
            scheduler: router.any::<SchedulerTopic>(),
            router: router.clone(),
            finished: api::FinishedOperations::default(),
            nodes: api::ControlNodes::alone(),
            options: api::Options::default(),
        };
        router.register(api::endpoint(api_control).start());
        let driver = FakeDriver::new(FakeOptions {
            pool_name: "lvm".into(),
            ..FakeOptions::default()
        });
        let target = Arc::new(FakeTarget::default());
        let made = driver.clone();
        let parts = BackendState::new(
            BackendName::new("h", "lvm"),
            Arc::new(move || Arc::new(made.clone()) as Arc<dyn VolumeDriver>),
            Some(target.clone()),
            Options {
                volume_backend_name: "lvm".into(),
                ..Options::default()
            },
        );
        if alive {
            router.register(volume_manager::endpoint(parts, router.clone(), 64).start());
        }
        let state = WebState {
            call_timeout: Duration::from_secs(30),
            ..WebState::new(catalog.clone(), router.clone())
        };
        let server = ServerState::new(Strategy::Tokens(Arc::new(Roles)));
        server.readiness.ready();
        let site = Site {
            server: Data::new(server),
            state: Some(Data::new(state)),
            identity: None,
        };
        let (server, addresses) = server::run(&loopback(), site.clone()).unwrap();
        let handle = server.handle();
        actix_rt::spawn(server);
        Self {
            address: addresses[0],
            catalog,
            driver,
            target,
            site,
            server: handle,
        }
    }

    /// Stops serving.
    pub async fn close(self) {
        self.server.stop(false).await;
    }

    /// Waits for something to be so.
    pub async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "waited in vain for {what}"
            );
            actix_rt::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A request whose path follows the project, by its administrator.
    pub fn request<'h>(&'h self, method: &'h str, path: &str) -> Request<'h> {
        Request {
            project: Some(PROJECT.to_owned()),
            ..self.request_at(method, path)
        }
    }

    /// A request whose path starts at the root of the server.
    pub fn request_at<'h>(&'h self, method: &'h str, path: &str) -> Request<'h> {
        Request {
            house: self,
            method,
            project: None,
            path: path.to_owned(),
            token: Some(format!("admin:{PROJECT}")),
            version: "3.71".to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    pub fn get(&self, path: &str) -> Request<'_> {
        self.request("GET", path)
    }

    pub fn post(&self, path: &str, body: Value) -> Request<'_> {
        self.request("POST", path).body(body)
    }

    pub fn put(&self, path: &str, body: Value) -> Request<'_> {
        self.request("PUT", path).body(body)
    }

    pub fn delete(&self, path: &str) -> Request<'_> {
        self.request("DELETE", path)
    }

    /// Makes a volume and waits until it is available; its id.
    pub async fn volume(&self, fields: Value) -> String {
        let made = self.post("/volumes", json!({"volume": fields})).send().await;
        assert_eq!(made.status, 202, "{}", made.text);
        let id = made.json()["volume"]["id"].as_str().unwrap().to_owned();
        self.until_status(&id, "available").await;
        id
    }

    /// Makes a volume where no backend is, and has it rest there in a status, as if one had made it.
    pub async fn resting_volume(&self, status: &str) -> String {
        let made = self.post("/volumes", json!({"volume": {"size": 1}})).send().await;
        assert_eq!(made.status, 202, "{}", made.text);
        let id = made.json()["volume"]["id"].as_str().unwrap().to_owned();
        let was = self.catalog.volume(id.parse().unwrap()).await.unwrap().unwrap();
        let mut now = was.record.clone();
        now.status = status.parse().unwrap();
        now.host = "h@lvm#lvm".parse().ok();
        now.placed = true;
        let mut changes = self.catalog.change();
        changes.update(&was, &now);
        changes.commit().await.unwrap();
        id
    }

    /// Ends what is being done to a volume, as an administrator does.
    pub async fn end_operations(&self, volume: &str) {
        let reset = json!({"os-reset_status": {"status": "available"}});
        let reset = self
            .post(&format!("/volumes/{volume}/action"), reset)
            .send()
            .await;
        assert_eq!(reset.status, 202, "{}", reset.text);
    }

    /// Makes a snapshot and waits until it is available; its id.
    pub async fn snapshot(&self, fields: Value) -> String {
        let made = self.post("/snapshots", json!({"snapshot": fields})).send().await;
        assert_eq!(made.status, 202, "{}", made.text);
        let id = made.json()["snapshot"]["id"].as_str().unwrap().to_owned();
        self.until_snapshot(&id, "available").await;
        id
    }

    pub async fn until_snapshot(&self, id: &str, status: &str) {
        self.until(&format!("{id} to be {status}"), async || {
            let shown = self.get(&format!("/snapshots/{id}")).send().await;
            (shown.status == 200 && shown.json()["snapshot"]["status"] == status).then_some(())
        })
        .await;
    }

    pub async fn until_no_snapshot(&self, id: &str) {
        self.until(&format!("{id} to be gone"), async || {
            let shown = self.get(&format!("/snapshots/{id}")).send().await;
            (shown.status == 404).then_some(())
        })
        .await;
    }

    pub async fn until_status(&self, id: &str, status: &str) {
        self.until(&format!("{id} to be {status}"), async || {
            let shown = self.get(&format!("/volumes/{id}")).send().await;
            (shown.status == 200 && shown.json()["volume"]["status"] == status).then_some(())
        })
        .await;
    }

    pub async fn until_gone(&self, id: &str) {
        self.until(&format!("{id} to be gone"), async || {
            let shown = self.get(&format!("/volumes/{id}")).send().await;
            (shown.status == 404).then_some(())
        })
        .await;
    }
}

impl Request<'_> {
    /// As somebody with this role in this project.
    pub fn by(mut self, role: &str, project: &str) -> Self {
        self.token = Some(format!("{role}:{project}"));
        if let Some(of_path) = &mut self.project {
            project.clone_into(of_path);
        }
        self
    }

    /// Without a token.
    pub fn by_anyone(mut self) -> Self {
        self.token = None;
        self
    }

    /// In this version; an empty one sends no header.
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub async fn send(self) -> Answer {
        let version = format!("volume {}", self.version);
        let mut headers = vec![("Host", "localhost")];
        headers.extend(self.token.as_deref().map(|token| ("X-Auth-Token", token)));
        if !self.version.is_empty() {
            headers.push(("OpenStack-API-Version", &version));
        }
        if self.body.is_some() {
            headers.push(("Content-Type", "application/json"));
        }
        headers.extend(
            self.headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let path = match &self.project {
            Some(project) => format!("/v3/{project}{}", encoded(&self.path)),
            None => encoded(&self.path),
        };
        let body = self.body.map(|body| body.to_string());
        let answer = send(self.house.address, self.method, &path, &headers, body).await;
        described::check(self.method, &path, &self.version, &answer);
        answer
    }
}

/// A path whose query may hold what a URL may not.
fn encoded(path: &str) -> String {
    match path.split_once('?') {
        Some((path, query)) => {
            let pairs = pumice::web::links::decode_query(query);
            let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            format!("{path}?{}", pumice::web::links::encode_query(pairs))
        }
        None => path.to_owned(),
    }
}
