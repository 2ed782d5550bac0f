//! Limits, kept near: a reservation must not cost three reads of what changes once a year.
//!
//! This actor is the only one here that writes limits, and forgets what it kept of them when it does. Another control node
//! may write them too, so nothing is kept for long.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::ProjectId;
use crate::model::quota::{DEFAULT_CLASS, Defaults, Deltas, Resource, limit_of};
use crate::store::StoreError;
use crate::store::catalog::Catalog;

/// How many projects' limits are kept; beyond that, all are forgotten and read again.
const KEPT_PROJECTS: usize = 10_000;

type Row = Rc<BTreeMap<Resource, i64>>;

/// See the module.
pub(super) struct Limits {
    catalog: Catalog,
    defaults: Defaults,
    max_age: Duration,
    class: RefCell<Option<(Instant, Row)>>,
    projects: RefCell<HashMap<ProjectId, (Instant, Row)>>,
    /// Counts what was forgotten, so that a read that began before is not kept.
    forgotten: Cell<u64>,
}

impl Limits {
    pub(super) fn new(catalog: Catalog, defaults: Defaults, max_age: Duration) -> Self {
        Self {
            catalog,
            defaults,
            max_age,
            class: RefCell::default(),
            projects: RefCell::default(),
            forgotten: Cell::new(0),
        }
    }

    /// The limits of these resources and of one volume's size.
    pub(super) async fn of(
        &self,
        project: &ProjectId,
        deltas: &Deltas,
    ) -> Result<(BTreeMap<Resource, i64>, i64), StoreError> {
        let own = self.project(project).await?;
        let class = self.class().await?;
        let limit = |resource: &Resource| limit_of(resource, &own, &class, &self.defaults);
        let limits = deltas
            .keys()
            .map(|resource| (resource.clone(), limit(resource)))
            .collect();
        Ok((limits, limit(&Resource::per_volume_gigabytes())))
    }

    /// Limits were written: reads them again when they are needed.
    pub(super) fn forget(&self) {
        self.forgotten.set(self.forgotten.get().wrapping_add(1));
        self.class.replace(None);
        self.projects.borrow_mut().clear();
    }

    async fn project(&self, project: &ProjectId) -> Result<Row, StoreError> {
        let now = Instant::now();
        if let Some((read_at, row)) = self.projects.borrow().get(project)
            && now.duration_since(*read_at) < self.max_age
        {
            return Ok(Rc::clone(row));
        }
        let began = self.forgotten.get();
        let row = Rc::new(self.catalog.project_limits(project).await?);
        if began == self.forgotten.get() {
            let mut projects = self.projects.borrow_mut();
            if projects.len() >= KEPT_PROJECTS {
                projects.clear();
            }
            projects.insert(project.clone(), (now, Rc::clone(&row)));
        }
        Ok(row)
    }

    async fn class(&self) -> Result<Row, StoreError> {
        let now = Instant::now();
        if let Some((read_at, row)) = self.class.borrow().as_ref()
            && now.duration_since(*read_at) < self.max_age
        {
            return Ok(Rc::clone(row));
        }
        let began = self.forgotten.get();
        let row = Rc::new(self.catalog.class_limits(DEFAULT_CLASS).await?);
        if began == self.forgotten.get() {
            self.class.replace(Some((now, Rc::clone(&row))));
        }
        Ok(row)
    }
}
