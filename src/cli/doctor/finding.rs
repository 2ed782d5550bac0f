//! The findings of checks: one line each, with how to correct it.

use std::sync::mpsc::{Receiver, Sender, channel};

use serde::Serialize;

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Nothing has to be done.
    Ok,
    /// It can serve, but the operator should know.
    Warn,
    /// It cannot serve, or not everything.
    Fault,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The name of the check, such as `node.data_dir`.
    pub check: String,
    /// The backend; `None` for the whole node.
    pub backend: Option<String>,
    /// The outcome.
    pub outcome: Outcome,
    /// The finding.
    pub what: String,
    /// The command or the configuration change that corrects it. Every fault has one.
    pub mend: Option<String>,
}

#[cfg(test)]
impl Finding {
    /// Its correction; empty without one.
    pub fn correction(&self) -> &str {
        self.mend.as_deref().unwrap_or_default()
    }
}

/// Collects the findings of a check, one by one: those before it hangs are not lost.
#[derive(Clone, Debug)]
pub struct Reporter {
    backend: Option<String>,
    sender: Sender<Finding>,
}

impl Reporter {
    /// A reporter for this backend, or for the node, and the receiver of its findings.
    pub fn new(backend: Option<&str>) -> (Self, Receiver<Finding>) {
        let (sender, receiver) = channel();
        let backend = backend.map(str::to_owned);
        (Self { backend, sender }, receiver)
    }

    /// The findings of a check without a time limit.
    pub fn collect(backend: Option<&str>, check: impl FnOnce(&Self)) -> Vec<Finding> {
        let (reporter, receiver) = Self::new(backend);
        check(&reporter);
        drop(reporter);
        receiver.into_iter().collect()
    }

    /// The first finding of a check.
    #[cfg(test)]
    pub fn first(check: impl FnOnce(&Self)) -> Finding {
        Self::collect(None, check).remove(0)
    }

    /// Reports that everything is in order.
    pub fn ok(&self, check: &str, what: impl Into<String>) {
        self.report(check, Outcome::Ok, what.into(), None);
    }

    /// Reports a warning.
    pub fn warn(&self, check: &str, what: impl Into<String>, mend: impl Into<String>) {
        self.report(check, Outcome::Warn, what.into(), Some(mend.into()));
    }

    /// Reports a warning without a correction.
    pub fn remark(&self, check: &str, what: impl Into<String>) {
        self.report(check, Outcome::Warn, what.into(), None);
    }

    /// Reports a fault.
    pub fn fault(&self, check: &str, what: impl Into<String>, mend: impl Into<String>) {
        self.report(check, Outcome::Fault, what.into(), Some(mend.into()));
    }

    fn report(&self, check: &str, outcome: Outcome, what: String, mend: Option<String>) {
        // The receiver is dropped after the time limit.
        let _ = self.sender.send(Finding {
            check: check.to_owned(),
            backend: self.backend.clone(),
            outcome,
            what,
            mend,
        });
    }
}
