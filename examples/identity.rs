//! The login part alone, for trying clients on it: `cargo run --example identity -- 127.0.0.1:8776 /tmp/pumice`, then
//! `OS_CLIENT_CONFIG_FILE=/tmp/pumice/clouds.yaml OS_CLOUD=pumice openstack token issue`. Users live as long as the process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use pumice::store::catalog::Catalog;
use pumice::store::memory::MemoryStore;
use pumice::transport::Router;
use pumice::web::auth::Strategy;
use pumice::web::identity::{Identity, IdentityOptions};
use pumice::web::server::{ServerOptions, Site, run};
use pumice::web::state::ServerState;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8776".to_owned());
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);

    let catalog = Catalog::open(Arc::new(MemoryStore::default())).await?;
    let options = IdentityOptions {
        clouds_dir: Some(folder),
        url: format!("http://{address}"),
        ..IdentityOptions::default()
    };
    let identity = web::Data::new(Identity::open(catalog, Router::new("example").any(), options).await?);
    let tidying = actix_web::rt::spawn(identity.clone().into_inner().keep_tidy(Duration::from_secs(300)));
    let state = web::Data::new(ServerState::new(Strategy::Tokens(identity.clone().into_inner())));
    let site = Site {
        server: state.clone(),
        state: None,
        identity: Some(identity),
    };
    let options = ServerOptions {
        listen: vec![address.parse()?],
        ..ServerOptions::default()
    };
    let (server, _) = run(&options, site)?;
    state.readiness.ready();
    let handle = server.handle();
    actix_web::rt::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.stop(true).await;
        }
    });
    server.await?;
    tidying.abort();
    Ok(())
}
