//! `pumice ca`: the authority of a cluster's certificates. It needs no running service, and is best kept on a machine of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use super::node::write_files;
use crate::authority::enroll::EnrollmentServer;
use crate::authority::signing::{NodeKey, PublicKey};
use crate::authority::{Authority, AuthorityError, IssuedCertificate, write_private};
use crate::config::units::Duration;
use crate::model::node_identity::node_name;
use crate::model::{BackendName, NodeIdentity, NodeRole};
use crate::private_files;

/// Options of `pumice ca`.
#[derive(Debug, Args)]
pub struct CaArgs {
    /// The folder of the authority. Who can read it can be any node of the cluster.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make the authority: its key, its certificate, and an empty list of revoked certificates.
    Init {
        /// The name of the cluster: letters, digits and '-'.
        #[arg(long, value_name = "NAME")]
        cluster: String,
    },
    /// Issue the certificate of a node, with a key that is made here, or for the request of a key that was made there.
    Issue {
        #[command(flatten)]
        node: NodeArgs,
        /// A request for a certificate, PEM: only its key is looked at.
        #[arg(long, value_name = "FILE")]
        request: Option<PathBuf>,
        /// Where node.pem, node.key (unless there is a request), ca.pem and crl.pem are written.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Issue the certificate of another server, such as a member of etcd, with a key that is made here. Members of etcd need an
    /// authority of their own: they let in each certificate of their authority, and volume nodes are not to be let in.
    Server {
        /// A host name or an IP address of it; more than one: repeat it. `localhost` and 127.0.0.1 are not added by themselves.
        #[arg(long = "name", value_name = "HOST|IP", required = true)]
        names: Vec<String>,
        /// How long the certificate is valid.
        #[arg(long, value_name = "SPAN", default_value = "90d")]
        valid: Duration,
        /// Where server.pem, server.key and ca.pem are written.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Make a token with which `pumice node enroll` gets the certificate of a node, once.
    Token {
        #[command(flatten)]
        node: NodeArgs,
        /// How long the token can be used.
        #[arg(long, value_name = "SPAN", default_value = "1h")]
        usable: Duration,
    },
    /// Answer `pumice node enroll` until this is ended.
    Serve {
        /// Where to listen.
        #[arg(long, value_name = "IP:PORT")]
        listen: SocketAddr,
    },
    /// Revoke all certificates of a node, or one of them, and write crl.pem anew: give it to all nodes.
    Revoke {
        /// The name of the node, or the serial number of a certificate.
        node: String,
    },
    /// List the certificates that were issued.
    List,
}

/// What the certificate of a node says.
#[derive(Debug, Args)]
struct NodeArgs {
    /// The node's node.host.
    #[arg(long)]
    host: String,
    /// Its node.roles; more than one: repeat it.
    #[arg(long = "role", value_enum, required = true)]
    roles: Vec<RoleArg>,
    /// A backend of its configuration; more than one: repeat it.
    #[arg(long = "backend", value_name = "NAME")]
    backends: Vec<String>,
    /// How long the certificate is valid.
    #[arg(long, value_name = "SPAN", default_value = "90d")]
    valid: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleArg {
    Control,
    Volume,
}

impl NodeArgs {
    fn identity(&self, cluster: &str) -> Result<NodeIdentity, AuthorityError> {
        let has = |role| self.roles.contains(&role);
        let (control, volume) = (has(RoleArg::Control), has(RoleArg::Volume));
        let is_bad = |name: &str| {
            name.is_empty() || name.contains(['@', '#', '/']) || name.contains(char::is_whitespace)
        };
        if let Some(bad) = std::iter::once(&self.host)
            .chain(&self.backends)
            .find(|name| is_bad(name))
        {
            return Err(AuthorityError::new(format!(
                "'{bad}' cannot be the name of a host or a backend"
            )));
        }
        if !volume && !self.backends.is_empty() {
            return Err(AuthorityError::new("backends are for nodes with the role volume"));
        }
        let roles = [(control, NodeRole::Control), (volume, NodeRole::Volume)];
        Ok(NodeIdentity {
            cluster: cluster.to_owned(),
            node: node_name(&self.host, control, volume),
            roles: roles
                .iter()
                .filter(|(has, _)| *has)
                .map(|(_, role)| *role)
                .collect(),
            backends: self
                .backends
                .iter()
                .map(|name| BackendName::new(self.host.clone(), name.clone()))
                .collect(),
        })
    }
}

/// Runs the command.
pub fn ca(args: &CaArgs) -> ExitCode {
    super::answer(run(args))
}

fn run(args: &CaArgs) -> Result<String, AuthorityError> {
    match &args.what {
        What::Init { cluster } => init(&args.dir, cluster),
        What::Issue { node, request, out } => {
            issue(&Authority::open(&args.dir)?, node, request.as_deref(), out)
        }
        What::Token { node, usable } => {
            let authority = Authority::open(&args.dir)?;
            let identity = node.identity(authority.cluster())?;
            let token = authority.make_token(&identity, usable.get(), node.valid.get())?;
            Ok(token.reveal())
        }
        What::Server { names, valid, out } => server(&Authority::open(&args.dir)?, names, *valid, out),
        What::Serve { listen } => serve(Authority::open(&args.dir)?, *listen),
        What::Revoke { node } => {
            let revoked = Authority::open(&args.dir)?.revoke(node)?;
            let list = args.dir.join("crl.pem");
            Ok(format!(
                "{}revoked; copy {} to transport.crl of all nodes",
                lines(&revoked),
                list.display()
            ))
        }
        What::List => Ok(lines(&Authority::open(&args.dir)?.issued()?)),
    }
}

fn init(dir: &Path, cluster: &str) -> Result<String, AuthorityError> {
    let authority = Authority::init(dir, cluster)?;
    Ok(format!(
        "{}: the authority of cluster '{cluster}', with the fingerprint {}; keep ca.key secret",
        dir.display(),
        authority.fingerprint()
    ))
}

fn issue(
    authority: &Authority,
    node: &NodeArgs,
    request: Option<&Path>,
    out: &Path,
) -> Result<String, AuthorityError> {
    let identity = node.identity(authority.cluster())?;
    let (key, public) = match request {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| AuthorityError::of(path, error))?;
            (None, PublicKey::of_request(&text)?)
        }
        None => {
            let key = NodeKey::generate()?;
            let public = key.public();
            (Some(key), public)
        }
    };
    let files = authority.issue(&identity, &public, node.valid.get())?;
    write_files(out, key.as_ref(), &files)
}

fn server(
    authority: &Authority,
    names: &[String],
    valid: Duration,
    out: &Path,
) -> Result<String, AuthorityError> {
    let key = NodeKey::generate()?;
    let files = authority.issue_server(names, &key.public(), valid.get())?;
    private_files::create_dir(out).map_err(|error| AuthorityError::of(out, error))?;
    write_private(&out.join("ca.pem"), &files.ca)?;
    write_private(&out.join("server.key"), &key.pem())?;
    write_private(&out.join("server.pem"), &files.certificate)?;
    Ok(format!("{}: server.pem, server.key, ca.pem", out.display()))
}

fn serve(authority: Authority, listen: SocketAddr) -> Result<String, AuthorityError> {
    super::logging::start(&crate::config::log::Log::default()).map_err(AuthorityError::new)?;
    actix_rt::System::new().block_on(async {
        let server = EnrollmentServer::bind(authority, listen).await?;
        tracing::info!(address = %server.local_addr()?, "waiting for nodes to be enrolled");
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .map_err(AuthorityError::new)?;
        tokio::select! {
            () = server.run() => {}
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        Ok("ended".to_owned())
    })
}

fn lines(certificates: &[IssuedCertificate]) -> String {
    let line = |of: &IssuedCertificate| {
        let state = of
            .revoked_at
            .map_or_else(|| "in force".to_owned(), |at| format!("revoked at {at}"));
        format!(
            "{} {} until {} {state}: {}\n",
            of.serial,
            of.node,
            of.not_after,
            of.names.join(" ")
        )
    };
    certificates.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(roles: &[RoleArg], host: &str, backends: &[&str]) -> NodeArgs {
        NodeArgs {
            host: host.to_owned(),
            roles: roles.to_vec(),
            backends: backends.iter().map(|name| (*name).to_owned()).collect(),
            valid: Duration::from_hours(1),
        }
    }

    #[test]
    fn a_certificate_has_the_name_that_the_node_will_have() {
        use RoleArg::{Control, Volume};
        let identity = node(&[Volume], "vol1", &["lvm", "file"]).identity("c").unwrap();
        assert_eq!(identity.node, "vol1/volume");
        let backends: Vec<String> = identity.backends.iter().map(ToString::to_string).collect();
        assert_eq!(backends, ["vol1@file", "vol1@lvm"]);
        assert_eq!(
            node(&[Control, Volume], "a", &[]).identity("c").unwrap().node,
            "a"
        );
        for wrong in [
            node(&[Control], "a", &["lvm"]),
            node(&[Volume], "a@b", &[]),
            node(&[Volume], "a", &["x/y"]),
            node(&[Volume], "", &[]),
        ] {
            assert!(wrong.identity("c").is_err(), "{wrong:?}");
        }
    }
}
