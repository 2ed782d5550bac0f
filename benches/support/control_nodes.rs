//! Control nodes that share an etcd, with a backend each, and projects that create volumes through all of them.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use pumice::model::{BackendName, NodeRole};

use super::authority::Authority;
use super::http::{Client, Load, closed_loop_at, request};
use super::server::{Server, free_address};

/// Clients at once.
const CLIENTS: usize = 64;

/// A project, and a token for it.
pub struct Tenant {
    project: String,
    token: String,
}

/// Running control nodes.
pub struct ControlNodes(Vec<Server>);

impl ControlNodes {
    /// Starts so many, in folders of their own. The first makes the users of them all.
    pub async fn start(count: usize, folder: &Path, etcd: &[String]) -> Result<Self> {
        let authority = Authority::new()?;
        let listen: Vec<String> = (0..count)
            .map(|_| free_address().map(|address| address.to_string()))
            .collect::<Result<_>>()?;
        let mut nodes = Vec::new();
        for (number, own) in listen.iter().enumerate() {
            let host = format!("control-{number}");
            let data = folder.join(&host);
            std::fs::create_dir(&data)?;
            let backend = BackendName::new(host.clone(), "fake".to_owned());
            let roles = [NodeRole::Control, NodeRole::Volume];
            authority.write(&data, &host, &roles, &[backend])?;
            let config = format!(
                "[node]\nhost = {host:?}\n[log]\nfilter = \"warn\"\n[quota]\nvolumes = -1\ngigabytes = -1\n\
                 [backend.fake]\ndriver = \"fake\"\ntarget = \"none\"\n\
                 [store]\nengine = \"etcd\"\netcd_endpoints = {etcd:?}\n{}",
                Authority::section(&data, own, &listen)
            );
            std::fs::write(data.join("bench.toml"), config)?;
            nodes.push(match nodes.is_empty() {
                true => Server::start(&data).await?,
                false => Server::start_without_login(&data).await?,
            });
        }
        let nodes = Self(nodes);
        nodes.until_all_are_up().await?;
        Ok(nodes)
    }

    async fn until_all_are_up(&self) -> Result<()> {
        let begun = std::time::Instant::now();
        let first = self.first()?;
        for node in &self.0 {
            while super::fleet::up_at(node.address, first).await? < self.0.len() {
                ensure!(begun.elapsed().as_secs() < 60, "the nodes do not find each other");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    fn first(&self) -> Result<&Server> {
        self.0.first().context("no control node")
    }

    /// So many projects, each with a token of the administrator.
    pub async fn tenants(&self, count: usize) -> Result<Vec<Tenant>> {
        let first = self.first()?;
        let mut client = Client::connect(first.address).await?;
        let (user, role) = (first.user.clone(), first.role.clone());
        let mut tenants = Vec::new();
        for number in 0..count {
            let name = format!("tenant-{number}");
            let body = format!(r#"{{"project": {{"name": "{name}"}}}}"#);
            let made = client
                .send(&request("POST", "/identity/v3/projects", &first.token, &body))
                .await?;
            ensure!(made.status == 201, "a project is answered with {}", made.status);
            let made: serde_json::Value = serde_json::from_slice(&made.body)?;
            let project = made["project"]["id"].as_str().context("no id")?.to_owned();
            let path = format!("/identity/v3/projects/{project}/users/{user}/roles/{role}");
            let granted = client.send(&request("PUT", &path, &first.token, "")).await?;
            ensure!(
                granted.status == 204,
                "a role is answered with {}",
                granted.status
            );
            let token = first.token_for(&name).await?;
            tenants.push(Tenant { project, token });
        }
        Ok(tenants)
    }

    /// Creates so many volumes, in turn for each of these projects, and waits until they are available.
    pub async fn create(&self, tenants: &[Tenant], count: usize) -> Result<Load> {
        let addresses: Vec<SocketAddr> = self.0.iter().map(|node| node.address).collect();
        let requests = |index: usize| {
            let tenant = &tenants[index % tenants.len()];
            let body = format!(r#"{{"volume": {{"size": 1, "name": "bench-{index}"}}}}"#);
            let path = format!("/v3/{}/volumes", tenant.project);
            request("POST", &path, &tenant.token, &body)
        };
        let load = closed_loop_at(&addresses, CLIENTS, count, 202, requests).await?;
        for tenant in tenants {
            self.first()?
                .drain_project(&tenant.project, &tenant.token)
                .await?;
        }
        Ok(load)
    }
}
