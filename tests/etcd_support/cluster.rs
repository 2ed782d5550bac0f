//! A real etcd of one member or several, in a folder of its own, whose members are killed, frozen and started again.

#![expect(clippy::disallowed_types, reason = "the members are killed, not waited for")]
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "each test file, and the benchmark, uses a part of it"
)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Its members are killed when it is dropped.
pub struct Cluster {
    members: Vec<Member>,
    folder: tempfile::TempDir,
    options: Vec<String>,
    scheme: &'static str,
    /// How long the disk of each member takes for a flush, beside what it takes anyway.
    flush: Duration,
}

struct Member {
    child: Option<Child>,
    client: u16,
    peer: u16,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for at in 0..self.members.len() {
            self.kill(at);
        }
    }
}

impl Cluster {
    /// So many members, ready.
    pub fn start(count: usize) -> Self {
        Self::start_with(count, &[])
    }

    /// The same with further options of `etcd`.
    pub fn start_with(count: usize, options: &[&str]) -> Self {
        Self::begin(count, options, "http", Duration::ZERO)
    }

    /// So many members, on disks that take this long for each flush: `strace` delays the system calls.
    pub fn start_on_slow_disks(count: usize, flush: Duration) -> Self {
        Self::begin(count, &[], "http", flush)
    }

    /// The same with TLS for clients; the options name the certificates.
    pub fn start_with_tls(options: &[&str]) -> Self {
        Self::begin(1, options, "https", Duration::ZERO)
    }

    fn begin(count: usize, options: &[&str], scheme: &'static str, flush: Duration) -> Self {
        let mut ports = free_ports(2 * count).into_iter();
        let mut member = || {
            Some(Member {
                child: None,
                client: ports.next()?,
                peer: ports.next()?,
            })
        };
        let mut cluster = Self {
            members: (0..count).filter_map(|_| member()).collect(),
            folder: tempfile::tempdir().unwrap(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            scheme,
            flush,
        };
        for at in 0..count {
            cluster.restart(at);
        }
        cluster.wait_ready();
        cluster
    }

    /// The folder of the cluster, for further files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The endpoints of all members.
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.members.len()).map(|at| self.endpoint(at)).collect()
    }

    /// The endpoint of a member.
    pub fn endpoint(&self, at: usize) -> String {
        format!("{}://localhost:{}", self.scheme, self.members[at].client)
    }

    /// The port of a member for clients.
    pub fn port(&self, at: usize) -> u16 {
        self.members[at].client
    }

    fn data(&self, at: usize) -> PathBuf {
        self.folder.path().join(format!("m{at}"))
    }

    fn initial(&self) -> String {
        let members = self.members.iter().enumerate();
        let members = members.map(|(at, member)| format!("m{at}=http://127.0.0.1:{}", member.peer));
        members.collect::<Vec<_>>().join(",")
    }

    /// Starts a member that does not run.
    pub fn restart(&mut self, at: usize) {
        self.start_member(at, "new");
    }

    /// Puts a new member without data in the place of one, at the same addresses, as after the loss of its disk.
    pub fn replace(&mut self, at: usize) {
        let name = format!("m{at}");
        let members = self.ctl(&["member", "list"]);
        let mut lines = members.lines().map(|line| line.split(", ").collect::<Vec<_>>());
        let line = lines
            .find(|line| line.get(2) == Some(&name.as_str()))
            .expect("a member");
        let id = line[0].to_owned();
        self.kill(at);
        let _ = std::fs::remove_dir_all(self.data(at));
        let peer = format!("http://127.0.0.1:{}", self.members[at].peer);
        // Both wait for a new leader, if the member was the leader, and may be done though their reply is lost.
        self.ctl_until(&["member", "remove", &id], |members| !members.contains(&id));
        self.ctl_until(
            &["member", "add", &name, &format!("--peer-urls={peer}")],
            |members| members.contains(&peer),
        );
        self.start_member(at, "existing");
        self.wait_ready();
    }

    /// Runs `etcdctl` until the list of members is so.
    fn ctl_until(&self, words: &[&str], is_done: impl Fn(&str) -> bool) {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            let (_, text) = self.try_ctl(words);
            let (is_listed, members) = self.try_ctl(&["member", "list"]);
            if is_listed && is_done(&members) {
                return;
            }
            assert!(Instant::now() < limit, "etcdctl {words:?}: {text}");
        }
    }

    fn start_member(&mut self, at: usize, state: &str) {
        let member = &self.members[at];
        assert!(member.child.is_none(), "member {at} runs");
        let client = format!("{}://127.0.0.1:{}", self.scheme, member.client);
        let peer = format!("http://127.0.0.1:{}", member.peer);
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join(format!("m{at}.log")))
            .unwrap();
        let child = self
            .program()
            .args([
                "--name",
                &format!("m{at}"),
                "--logger",
                "zap",
                "--log-outputs",
                "stderr",
            ])
            .arg("--data-dir")
            .arg(self.data(at))
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args([
                "--initial-cluster",
                &self.initial(),
                "--initial-cluster-state",
                state,
            ])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("etcd is installed: scripts/install-packages etcd-server etcd-client");
        self.members[at].child = Some(child);
    }

    /// `etcd`, with what delays its flushes.
    fn program(&self) -> Command {
        if self.flush.is_zero() {
            return Command::new("etcd");
        }
        let delay = format!("--inject=fsync,fdatasync:delay_enter={}", self.flush.as_micros());
        let mut strace = Command::new("strace");
        // The process of the child is etcd itself, and is killed like it.
        strace.args(["--daemonize", "--follow-forks", "--output=/dev/null"]);
        strace.args(["--trace=fsync,fdatasync", &delay, "etcd"]);
        strace
    }

    /// Kills a member, if it runs.
    pub fn kill(&mut self, at: usize) {
        if let Some(mut child) = self.members[at].child.take() {
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// Stops all members and deletes what they have.
    pub fn wipe(&mut self) {
        for at in 0..self.members.len() {
            self.kill(at);
            let _ = std::fs::remove_dir_all(self.data(at));
        }
    }

    /// Stops a member with its connections open.
    pub fn freeze(&self, at: usize) {
        self.signal(at, Signal::STOP);
    }

    /// Lets a frozen member go on.
    pub fn thaw(&self, at: usize) {
        self.signal(at, Signal::CONT);
    }

    fn signal(&self, at: usize, signal: Signal) {
        if let Some(child) = &self.members[at].child {
            kill_process(Pid::from_child(child), signal).unwrap();
        }
    }

    /// Waits until the cluster commits.
    pub fn wait_ready(&self) {
        let limit = Instant::now() + Duration::from_secs(30);
        if self.scheme == "https" {
            // etcdctl has no certificate.
            while std::net::TcpStream::connect(("127.0.0.1", self.port(0))).is_err() {
                assert!(Instant::now() < limit, "etcd does not listen");
                std::thread::sleep(Duration::from_millis(20));
            }
            return;
        }
        loop {
            let (is_healthy, text) = self.try_ctl(&["put", "ready", "yes"]);
            // A cluster with users is ready when it refuses.
            if is_healthy || text.contains("user name") {
                return;
            }
            assert!(Instant::now() < limit, "etcd is not ready: {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs `etcdctl`; returns what it says.
    pub fn ctl(&self, words: &[&str]) -> String {
        let (is_done, text) = self.try_ctl(words);
        assert!(is_done, "etcdctl {words:?}: {text}");
        text
    }

    fn try_ctl(&self, words: &[&str]) -> (bool, String) {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.endpoints().join(",")])
            .args(["--dial-timeout", "2s", "--command-timeout", "5s"])
            .args(words)
            .output()
            .expect("etcdctl is installed: scripts/install-packages etcd-server etcd-client");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    /// Puts a snapshot of `etcdctl snapshot save` in the place of what the members have, and starts them.
    pub fn restore(&mut self, snapshot: &Path) {
        self.wipe();
        for at in 0..self.members.len() {
            let peer = format!("http://127.0.0.1:{}", self.members[at].peer);
            let data = self.data(at);
            self.ctl(&[
                "snapshot",
                "restore",
                snapshot.to_str().unwrap(),
                "--name",
                &format!("m{at}"),
                "--data-dir",
                data.to_str().unwrap(),
                "--initial-cluster",
                &self.initial(),
                "--initial-advertise-peer-urls",
                &peer,
            ]);
            self.restart(at);
        }
        self.wait_ready();
    }
}

/// Ports that no one listens on.
fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap().port())
        .collect()
}
