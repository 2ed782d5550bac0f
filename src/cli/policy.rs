//! `pumice policy`: the rules of the API, and who passes them with a policy file.
//!
//! Exit codes: 0 done, 1 a file has a fault, or the caller does not pass the rule.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::model::{Context, ProjectId};
use crate::web::auth::Scope;
use crate::web::policy::check::Question;
use crate::web::policy::file::PolicyFile;
use crate::web::policy::rules::{CinderRule, NAMED, cinder_rules, role_rule};
use crate::web::policy::{caller_of, target_of};

/// Options of `pumice policy`.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// All rules, with their checks by default and the requests that they are for, as a policy file.
    List,
    /// Say what is wrong with a policy file, and who passes its rules.
    Check(CheckArgs),
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The policy file; without one, the rules are as by default.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The caller's roles; without any, only the file is checked. `admin` implies `member`, which implies `reader`.
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<String>,
    /// The project of the caller's token.
    #[arg(long, value_name = "ID", default_value = "own")]
    project: String,
    /// The project of the resource; by default the caller's.
    #[arg(long, value_name = "ID")]
    of: Option<String>,
    /// The caller's values as JSON, instead of roles and project.
    #[arg(long, value_name = "JSON", conflicts_with = "roles")]
    caller: Option<String>,
    /// The resource's values as JSON.
    #[arg(long, value_name = "JSON", conflicts_with = "of")]
    target: Option<String>,
    /// Print `{"RULE": true, …}`.
    #[arg(long)]
    json: bool,
    /// Only this rule: the exit code says whether the caller passes it.
    rule: Option<String>,
}

/// Prints what was asked for.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this prints the command's output"
)]
pub fn policy(args: &PolicyArgs) -> ExitCode {
    match &args.command {
        PolicyCommand::List => {
            print!("{}", list());
            ExitCode::SUCCESS
        }
        PolicyCommand::Check(args) => match check(args) {
            Ok((text, passes)) => {
                print!("{text}");
                if passes {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::FAILURE
                }
            }
            Err(faults) => {
                faults.iter().for_each(|fault| eprintln!("pumice: {fault}"));
                ExitCode::FAILURE
            }
        },
    }
}

/// A policy file with everything as by default.
fn list() -> String {
    let mut text = String::new();
    let mut entry = |name: &str, check: &str| {
        let _ = writeln!(text, "#\"{name}\": \"{check}\"");
    };
    for (name, check) in NAMED {
        entry(name, check);
    }
    for CinderRule {
        name,
        level,
        operations,
    } in cinder_rules()
    {
        let _ = writeln!(text, "\n# {}", operations.replace("; ", "\n# "));
        let _ = writeln!(text, "#\"{name}\": \"rule:{}\"", role_rule(level));
    }
    text
}

fn check(args: &CheckArgs) -> Result<(String, bool), Vec<String>> {
    let file = match &args.file {
        Some(path) => PolicyFile::read(path)?,
        None => PolicyFile::parse("")?,
    };
    let mut text = String::new();
    if !args.json {
        for warning in &file.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
    }
    if args.roles.is_empty() && args.caller.is_none() {
        text.push_str("right\n");
        return Ok((text, true));
    }
    let (caller, target) = (caller(args)?, target(args)?);
    let checks = &file.checks;
    let question = Question {
        rules: checks,
        target: &target,
        caller: &caller,
    };
    if let Some(rule) = &args.rule {
        if !checks.contains_key(rule) {
            return Err(vec![format!("there is no rule {rule}")]);
        }
        let passes = question.passes_rule(rule);
        let _ = writeln!(text, "{rule}: {}", allowed_or_denied(passes));
        return Ok((text, passes));
    }
    let answers = checks.keys().map(|rule| (rule, question.passes_rule(rule)));
    if args.json {
        let answers: Map<String, Value> = answers
            .map(|(rule, passes)| (rule.clone(), json!(passes)))
            .collect();
        let _ = writeln!(text, "{}", Value::Object(answers));
    } else {
        for (rule, passes) in answers {
            let _ = writeln!(text, "{:7} {rule}", allowed_or_denied(passes));
        }
    }
    Ok((text, true))
}

fn allowed_or_denied(passes: bool) -> &'static str {
    if passes { "allowed" } else { "denied" }
}

fn caller(args: &CheckArgs) -> Result<Map<String, Value>, Vec<String>> {
    if let Some(text) = &args.caller {
        return object(text, "--caller");
    }
    let mut roles = args.roles.clone();
    for (role, implied) in [("admin", "member"), ("member", "reader")] {
        if roles.iter().any(|given| given == role) && !roles.iter().any(|given| given == implied) {
            roles.push(implied.to_owned());
        }
    }
    let context = Context {
        project_id: ProjectId::from(args.project.as_str()),
        is_admin: roles.iter().any(|role| role == "admin"),
        roles,
        ..Context::internal("user")
    };
    Ok(caller_of(&context, &Scope::Project))
}

fn target(args: &CheckArgs) -> Result<Map<String, Value>, Vec<String>> {
    match &args.target {
        Some(text) => object(text, "--target"),
        None => Ok(target_of(&ProjectId::from(
            args.of.as_deref().unwrap_or(&args.project),
        ))),
    }
}

fn object(text: &str, option: &str) -> Result<Map<String, Value>, Vec<String>> {
    serde_json::from_str(text).map_err(|error| vec![format!("{option}: {error}")])
}
