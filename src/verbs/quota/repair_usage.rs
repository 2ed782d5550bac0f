//! Set the usage of projects to what their records sum up to, while the service runs (cinder: `cmd/manage.py`
//! `QuotaCommands.sync`).
//!
//! Each counter is written only if it is as it was when the records were read, and every change of a counted record changes its
//! counters in the same commit: so a request that runs meanwhile is neither lost nor counted twice.

use crate::model::ProjectId;
use crate::store::catalog::verify::{self, Finding};
use crate::verbs::prelude::*;

/// Repair the usage of a project, or of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairUsage {
    /// The project; all if it is missing.
    pub project_id: Option<ProjectId>,
}

/// What was wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairedUsage {
    /// What was repaired.
    pub repaired: Vec<UsageFinding>,
    /// What was not: counters that changed at every try, or records that cannot be read, so that the sums are unknown.
    pub left: Vec<UsageFinding>,
}

/// A counter that is not the sum over the records, or a record that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageFinding {
    /// Its kind.
    pub finding: String,
    /// Its text.
    pub what: String,
}
call!(RepairUsage => ApiTopic, "repair_usage", since 7, reply RepairedUsage);

impl From<&Finding> for UsageFinding {
    fn from(finding: &Finding) -> Self {
        Self {
            finding: finding.kind().to_owned(),
            what: finding.to_string(),
        }
    }
}

impl Request for RepairUsage {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<RepairedUsage>, Interrupt> {
        let repair = verify::repair_usage(&at.control.catalog, self.project_id.as_ref()).await?;
        for finding in &repair.repaired {
            tracing::warn!(%finding, "quota repaired");
        }
        let rows = |findings: &[Finding]| findings.iter().map(UsageFinding::from).collect();
        Ok(Began::Done(RepairedUsage {
            repaired: rows(&repair.repaired),
            left: rows(&repair.left),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let message = RepairUsage {
            project_id: Some("p".into()),
        };
        let all = RepairUsage { project_id: None };
        crate::golden::message(&[("full", message), ("all", all)]);
        let finding = UsageFinding {
            finding: "wrong_in_use".to_owned(),
            what: "project p has 2 volumes in use, but its volumes and snapshots sum up to 1".to_owned(),
        };
        let reply = RepairedUsage {
            repaired: vec![finding],
            left: Vec::new(),
        };
        crate::golden::reply("api.repair_usage", &[("full", reply)]);
    }
}
