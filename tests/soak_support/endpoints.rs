//! Where clients find the service: one control node or several, with or without a login.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::acknowledged::Answer;
use crate::client::{Client, PROJECT};

/// How long a connection to the identity service may take, however slow this machine is.
const LOGIN_LIMIT: Duration = Duration::from_secs(30);

pub struct Endpoints {
    addresses: Vec<SocketAddr>,
    /// A user of the embedded identity service and its password; without it nobody is asked who it is.
    login: Option<(String, String)>,
    /// The token of that user and its project, once there was a login.
    token: Mutex<Option<(String, String)>>,
    /// How long a client waits for an answer.
    patience: Duration,
    /// What a connection that breaks says of its request.
    pub broken: Answer,
}

impl Endpoints {
    /// A service of one control node without a login. A connection that breaks says that the node is dead: what it has not begun
    /// does not begin any more.
    pub fn one(address: SocketAddr) -> Self {
        Self {
            addresses: vec![address],
            login: None,
            token: Mutex::new(None),
            patience: Duration::from_secs(60),
            broken: Answer::Lost,
        }
    }

    /// A service of several. What a node has given to the store may be done after its death.
    #[allow(dead_code, clippy::allow_attributes, reason = "not for a service of one")]
    pub fn several(addresses: Vec<SocketAddr>, user: &str, password: &str, patience: Duration) -> Self {
        Self {
            addresses,
            login: Some((user.to_owned(), password.to_owned())),
            token: Mutex::new(None),
            patience,
            broken: Answer::Open,
        }
    }

    pub fn count(&self) -> usize {
        self.addresses.len()
    }

    /// A client of the control node with this number, logged in.
    pub fn connect(&self, number: usize) -> Result<Client> {
        let address = *self.addresses.get(number).context("there is such a node")?;
        let Some((user, password)) = &self.login else {
            return self.patient(Client::connect(address)?);
        };
        let known = self.token.lock().clone();
        let (token, project) = match known {
            Some(known) => known,
            None => {
                let fresh = log_in(address, user, password)?;
                *self.token.lock() = Some(fresh.clone());
                fresh
            }
        };
        let mut client = Client::connect_as(address, &project)?;
        client.use_token(token);
        self.patient(client)
    }

    fn patient(&self, mut client: Client) -> Result<Client> {
        client.wait_at_most(self.patience)?;
        Ok(client)
    }

    /// A client of the first control node that serves.
    pub fn connect_any(&self) -> Result<Client> {
        let mut last = None;
        for number in 0..self.count() {
            match self.connect(number) {
                Ok(client) => return Ok(client),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("there are control nodes")?)
    }

    /// The token is not accepted any more: the next client logs in again.
    pub fn forget_token(&self) {
        *self.token.lock() = None;
    }

    /// The project of the clients.
    pub fn project(&self) -> String {
        let known = self.token.lock().clone();
        known.map_or_else(|| PROJECT.to_owned(), |(_, project)| project)
    }
}

/// A token and its project.
fn log_in(address: SocketAddr, user: &str, password: &str) -> Result<(String, String)> {
    let user = json!({"name": user, "domain": {"id": "default"}, "password": password});
    let body = json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
    }});
    let mut client = Client::connect(address)?;
    client.wait_at_most(LOGIN_LIMIT)?;
    let answer = client.send_raw("POST", "/identity/v3/auth/tokens", &body.to_string())?;
    ensure!(answer.status == 201, "login: {} {}", answer.status, answer.text());
    let shown: Value = answer.json()?;
    let project = shown["token"]["project"]["id"]
        .as_str()
        .context("no project in the token")?;
    Ok((answer.token.context("no token")?, project.to_owned()))
}
