//! The changes of users, projects, roles and assignments: the program is killed before and after each commit, started again, and
//! compared with the answers of its clients. What was acknowledged is there; what was not is there as a whole, or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::client::Client;
use crate::look_behind;
use crate::matrix::commits;
use crate::process::Pumice;

const USERS: &str =
    "[auth]\nusers = [{ name = \"ann\", password = \"ann's\", project = \"red\", roles = [\"admin\"] }]\n";

/// How many records a list has; `None` while a change of it is not answered.
type Expected = BTreeMap<&'static str, Option<usize>>;

/// What lists say of what the story makes.
const LISTS: [(&str, &str); 4] = [
    ("projects", "projects?name=green"),
    ("users", "users?name=eve"),
    ("roles", "roles?name=auditor"),
    ("role_assignments", "role_assignments?include_names"),
];

/// An administrator who makes everything, and deletes it.
struct Story<'a> {
    client: Client,
    expected: &'a mut Expected,
}

impl Story<'_> {
    fn ask(client: &mut Client, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = client.send_raw(method, &format!("/identity/v3/{path}"), &body)?;
        ensure!(
            answer.status < 300,
            "{method} {path}: {} {}",
            answer.status,
            answer.text()
        );
        if answer.body.is_empty() {
            Ok(Value::Null)
        } else {
            answer.json()
        }
    }

    /// A change after which the list has so many.
    fn change(&mut self, list: &'static str, count: usize, request: (&str, &str, Value)) -> Result<Value> {
        self.expected.insert(list, None);
        let (method, path, body) = request;
        let answer = Self::ask(&mut self.client, method, path, &body)?;
        self.expected.insert(list, Some(count));
        Ok(answer)
    }

    fn run(&mut self) -> Result<()> {
        let project = json!({"project": {"name": "green"}});
        let project = self.change("projects", 1, ("POST", "projects", project))?;
        let project = project["project"]["id"].as_str().context("no id")?.to_owned();
        let user = json!({"user": {"name": "eve", "password": "eve's"}});
        let user = self.change("users", 1, ("POST", "users", user))?;
        let user = user["user"]["id"].as_str().context("no id")?.to_owned();
        let role = json!({"role": {"name": "auditor"}});
        let role = self.change("roles", 1, ("POST", "roles", role))?;
        let role = role["role"]["id"].as_str().context("no id")?.to_owned();
        // One more than that of the configuration.
        let grant = format!("projects/{project}/users/{user}/roles/{role}");
        self.change("role_assignments", 2, ("PUT", &grant, Value::Null))?;
        self.change("role_assignments", 1, ("DELETE", &grant, Value::Null))?;
        self.change("role_assignments", 2, ("PUT", &grant, Value::Null))?;
        let rename = json!({"user": {"description": "d"}});
        self.change("users", 1, ("PATCH", &format!("users/{user}"), rename))?;
        self.expected.insert("role_assignments", None);
        self.change(
            "projects",
            0,
            ("DELETE", &format!("projects/{project}"), Value::Null),
        )?;
        self.expected.insert("role_assignments", Some(1));
        self.change("users", 0, ("DELETE", &format!("users/{user}"), Value::Null))?;
        self.change("roles", 0, ("DELETE", &format!("roles/{role}"), Value::Null))?;
        Ok(())
    }
}

/// A client that is logged in.
fn administrator(address: SocketAddr) -> Result<Client> {
    let mut client = Client::connect(address)?;
    let login = json!({"auth": {"identity": {"methods": ["password"], "password": {"user": {
        "name": "ann", "domain": {"id": "default"}, "password": "ann's"}}}}});
    let answer = client.send_raw("POST", "/identity/v3/auth/tokens", &login.to_string())?;
    let token = answer.token.clone().with_context(|| answer.text())?;
    client.use_token(token);
    Ok(client)
}

/// Runs the story; whether the program died of it.
fn tell(mut pumice: Pumice, expected: &mut Expected) -> Result<bool> {
    let client = administrator(pumice.address)?;
    let run = Story { client, expected }.run();
    let patience = Duration::from_secs(if run.is_err() { 5 } else { 0 });
    match (run, pumice.dies_within(patience)?) {
        (Err(error), false) => bail!("it was not killed, and yet: {error:#}"),
        (_, died) => Ok(died),
    }
}

/// Compares the lists with the answers.
fn compare(address: SocketAddr, expected: &Expected) -> Result<()> {
    let mut client = administrator(address)?;
    for (list, path) in LISTS {
        let answer = Story::ask(&mut client, "GET", path, &Value::Null)?;
        let found = answer[list].as_array().context("no list")?.len();
        let expected = expected.get(list).copied().flatten();
        ensure!(
            expected.is_none_or(|expected| expected == found),
            "{found} {list} where {expected:?} were acknowledged"
        );
    }
    Ok(())
}

#[test]
fn a_change_of_identity_is_whole_wherever_it_dies() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let list = folder.path().join("points");
    let recorded = [("PUMICE_FAILPOINTS", list.as_os_str())];
    let survived = tell(
        Pumice::start_for(USERS, folder.path(), &recorded)?,
        &mut Expected::new(),
    )?;
    ensure!(!survived, "nothing was to kill it");
    let of_verbs = |point: &&str| point.starts_with("commit ") && point.contains("src/verbs/identity/");
    let reached = std::fs::read_to_string(list)?;
    let points: BTreeSet<&str> = reached.lines().filter(of_verbs).collect();
    let places = commits(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    let places = places
        .iter()
        .filter(|(file, _)| file.starts_with("src/verbs/identity/"))
        .count();
    ensure!(
        points.len() >= 2 * places,
        "{places} places that commit, and {points:#?}"
    );
    for point in points {
        let folder = tempfile::tempdir()?;
        let folder = folder.path();
        let mut expected = Expected::new();
        let died = [("PUMICE_FAILPOINT", point.as_ref())];
        let died = tell(Pumice::start_for(USERS, folder, &died)?, &mut expected)?;
        ensure!(died, "{point}: it did not die");
        let pumice = Pumice::start_for(USERS, folder, &[])?;
        compare(pumice.address, &expected).with_context(|| point.to_owned())?;
        pumice.kill()?;
        look_behind(folder, &BTreeSet::new()).with_context(|| point.to_owned())?;
    }
    Ok(())
}
