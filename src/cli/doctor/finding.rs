//! What a check reports: one line each, and how to mend what is wrong.

use std::sync::mpsc::{Receiver, Sender, channel};

use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Nothing is to be done.
    Ok,
    /// It will serve, but one should know.
    Warn,
    /// It will not serve, or not all of it.
    Fault,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, such as `node.data_dir`.
    pub check: String,
    /// Whose it is; nothing if it is the whole node's.
    pub backend: Option<String>,
    /// How it is.
    pub outcome: Outcome,
    /// What was found.
    pub what: String,
    /// The command to type or the key to change. Every fault has one.
    pub mend: Option<String>,
}

/// Where a check reports its findings, one by one: those before it hung are not lost.
#[derive(Clone, Debug)]
pub struct Reporter {
    backend: Option<String>,
    sender: Sender<Finding>,
}

impl Reporter {
    /// A place to report findings of this backend, or of the node, and where they come out.
    #[must_use]
    pub fn new(backend: Option<&str>) -> (Self, Receiver<Finding>) {
        let (sender, receiver) = channel();
        let backend = backend.map(str::to_owned);
        (Self { backend, sender }, receiver)
    }

    /// What a check that ends by itself has to report.
    pub fn collect(backend: Option<&str>, check: impl FnOnce(&Self)) -> Vec<Finding> {
        let (reporter, receiver) = Self::new(backend);
        check(&reporter);
        drop(reporter);
        receiver.into_iter().collect()
    }

    /// All is well.
    pub fn ok(&self, check: &str, what: impl Into<String>) {
        self.report(check, Outcome::Ok, what.into(), None);
    }

    /// One should know.
    pub fn warn(&self, check: &str, what: impl Into<String>, mend: impl Into<String>) {
        self.report(check, Outcome::Warn, what.into(), Some(mend.into()));
    }

    /// One should know, and nothing more is to be said.
    pub fn remark(&self, check: &str, what: impl Into<String>) {
        self.report(check, Outcome::Warn, what.into(), None);
    }

    /// It must be mended.
    pub fn fault(&self, check: &str, what: impl Into<String>, mend: impl Into<String>) {
        self.report(check, Outcome::Fault, what.into(), Some(mend.into()));
    }

    fn report(&self, check: &str, outcome: Outcome, what: String, mend: Option<String>) {
        // Nobody listens any more after the time limit: then nobody wants to know.
        let _ = self.sender.send(Finding {
            check: check.to_owned(),
            backend: self.backend.clone(),
            outcome,
            what,
            mend,
        });
    }
}
