//! `pumice tokens`: revokes all tokens of a user in a running service, for example after a theft.
//!
//! Exit codes: 0 done, 1 refused or not reached.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::answer;
use super::client::{AskError, Client};

/// Options of `pumice tokens`.
#[derive(Debug, Args)]
pub struct TokensArgs {
    /// Where the service is, if the identity service does not say. Who asks is said by OS_CLOUD, OS_TOKEN or OS_AUTH_URL.
    #[arg(long, global = true, value_name = "http://HOST:PORT")]
    url: Option<String>,
    #[command(subcommand)]
    command: TokensCommand,
}

#[derive(Debug, Subcommand)]
enum TokensCommand {
    /// End all tokens of a user at once; it has to log in again. Administrators only.
    Revoke {
        /// The user's name.
        user: String,
    },
}

/// Sends the request, and prints the answer.
pub fn tokens(args: TokensArgs) -> ExitCode {
    answer(actix_rt::System::new().block_on(run(args)))
}

async fn run(args: TokensArgs) -> Result<String, AskError> {
    let TokensCommand::Revoke { user } = args.command;
    let client = Client::log_in(args.url).await?;
    let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let found = client
        .ask("GET", &format!("/identity/v3/users?name={}", escaped(&user)))
        .await?;
    let id = found["users"][0]["id"]
        .as_str()
        .ok_or_else(|| AskError::Unknown(format!("There is no user named {user}.")))?;
    client
        .ask("DELETE", &format!("/identity/v3/users/{}/tokens", escaped(id)))
        .await?;
    Ok(format!("All tokens of {user} are ended."))
}
