//! The answers that clients received and may rely on: one side of every comparison with what is there.
//!
//! An answer is a fact. A request that was not answered leaves both what was and what was asked for possible. So a change is noted
//! twice: before it is asked for it becomes possible (`begin_…`), and its answer makes it certain again (`end_…`). A client that dies
//! between the two leaves nothing untrue behind.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Acknowledged,
    /// Nothing has changed.
    Refused,
    /// It is not known what came of it, and it may begin later.
    Open,
    /// It is not known what came of it, but it will not begin any more: its server died.
    Lost,
}

/// Whether a resource exists, once nothing is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    /// It was acknowledged, and no client requested its deletion.
    Exists,
    /// Its end was acknowledged, or its begin refused.
    Gone,
    /// Both are right. Whether a request that was not answered may still begin.
    Unsure { may_begin: bool },
}

impl Existence {
    /// What is wrong if it is there, or not.
    pub fn contradiction(self, is_there: bool) -> Option<&'static str> {
        match (self, is_there) {
            (Self::Exists, false) => Some("was acknowledged and is gone"),
            (Self::Gone, true) => Some("was deleted or refused and is there"),
            _ => None,
        }
    }
}

/// The values that an attribute may have; all that there are, if nothing is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PossibleValues<T> {
    values: Option<BTreeSet<T>>,
    /// Those of requests without an answer, which may still begin: an answer to a later request does not exclude them.
    late: BTreeSet<T>,
}

impl<T> Default for PossibleValues<T> {
    fn default() -> Self {
        Self {
            values: None,
            late: BTreeSet::new(),
        }
    }
}

impl<T: Ord, const N: usize> From<[T; N]> for PossibleValues<T> {
    fn from(values: [T; N]) -> Self {
        Self {
            values: Some(values.into()),
            late: BTreeSet::new(),
        }
    }
}

impl<T: Clone + Debug + Ord> PossibleValues<T> {
    /// The value, if there is only one.
    pub fn certain(&self) -> Option<&T> {
        let values = self.values.as_ref()?;
        values.first().filter(|_| values.len() == 1)
    }

    pub fn largest(&self) -> Option<&T> {
        self.values.as_ref()?.last()
    }

    /// It may have this value, too.
    pub fn add(&mut self, value: T) {
        if let Some(values) = &mut self.values {
            values.insert(value);
        }
    }

    /// A change is about to be asked for. What was possible before is needed at its end.
    pub fn begin_change(&mut self, to: T) -> Self {
        let before = self.clone();
        self.add(to);
        before
    }

    pub fn end_change(&mut self, before: Self, to: T, answer: Answer) {
        match answer {
            Answer::Acknowledged => {
                let late = std::mem::take(&mut self.late);
                let possible = late.iter().cloned().chain([to]).collect();
                (self.values, self.late) = (Some(possible), late);
            }
            Answer::Refused => *self = before,
            Answer::Open => drop(self.late.insert(to)),
            Answer::Lost => {}
        }
    }

    /// What is wrong with the value that it has.
    pub fn contradiction<Q: Debug + Ord + ?Sized>(&self, value: &Q) -> Option<String>
    where
        T: Borrow<Q>,
    {
        let possible = self.values.as_ref()?;
        let is_wrong = !possible.contains(value);
        is_wrong.then(|| format!("is {value:?}, not one of {possible:?}"))
    }

    /// The same, when nothing is under way. A possible value is certain from now on.
    pub fn observe<Q: Debug + Ord + ?Sized>(&mut self, value: &Q) -> Option<String>
    where
        T: Borrow<Q>,
    {
        let wrong = self.contradiction(value);
        self.late.clear();
        if let Some(possible) = self.values.as_mut().filter(|_| wrong.is_none()) {
            possible.retain(|one| one.borrow() == value);
        }
        wrong
    }
}

/// What is known of a resource. What its kind does not have is not known.
#[derive(Clone, Debug)]
pub struct Resource<K, M = ()> {
    /// `volume`, `snapshot` or `attachment`.
    pub kind: &'static str,
    /// The volume that it belongs to.
    pub volume: Option<K>,
    /// Missing if the answer that would have had it did not come.
    pub id: Option<String>,
    pub existence: Existence,
    /// In GiB.
    pub sizes: PossibleValues<u64>,
    pub metadata: PossibleValues<M>,
    pub statuses: PossibleValues<&'static str>,
    /// Whose data it has: the name of the volume that they were written for.
    pub data: Option<String>,
}

impl<K: Debug, M: Debug> Resource<K, M> {
    /// One that is about to be asked for.
    pub fn requested(kind: &'static str, volume: Option<K>) -> Self {
        Self {
            kind,
            volume,
            id: None,
            existence: Existence::Unsure { may_begin: true },
            sizes: PossibleValues::default(),
            metadata: PossibleValues::default(),
            statuses: PossibleValues::default(),
            data: None,
        }
    }

    /// One that was acknowledged.
    pub fn existing(kind: &'static str, volume: Option<K>, id: impl ToString) -> Self {
        let mut existing = Self::requested(kind, volume);
        existing.exists_as(id);
        existing
    }

    /// It was acknowledged, or seen.
    pub fn exists_as(&mut self, id: impl ToString) {
        (self.id, self.existence) = (Some(id.to_string()), Existence::Exists);
    }

    pub fn exists(&self) -> bool {
        self.existence == Existence::Exists
    }

    pub fn may_exist(&self) -> bool {
        self.existence != Existence::Gone
    }

    /// Whether it was not answered, and what came of it can be seen now.
    pub fn is_unsure(&self) -> bool {
        self.existence == Existence::Unsure { may_begin: false }
    }

    /// Its create was answered, though not with an id.
    pub fn end_create(&mut self, answer: Answer) {
        match answer {
            Answer::Refused => self.existence = Existence::Gone,
            Answer::Lost => self.existence = Existence::Unsure { may_begin: false },
            Answer::Acknowledged | Answer::Open => {}
        }
    }

    /// What is wrong with what is there, of which this is the id. What was unsure is certain from now on.
    pub fn observe(&mut self, found: Option<&str>) -> Option<String> {
        if let Some(why) = self.existence.contradiction(found.is_some()) {
            let wrong = format!("{why}: {self:?}");
            self.existence = Existence::Gone;
            return Some(wrong);
        }
        let Some(id) = found else {
            self.existence = Existence::Gone;
            return None;
        };
        let is_other = self.id.as_deref().is_some_and(|known| known != id);
        let wrong = is_other.then(|| format!("has another id than in the answer: {id}, {self:?}"));
        self.exists_as(id);
        wrong
    }
}

/// All answers to some clients, by what names each resource for them: its id, or what they called it.
#[derive(Clone, Debug)]
pub struct AcknowledgedFacts<K, M = ()> {
    pub resources: BTreeMap<K, Resource<K, M>>,
    /// What contradicted them while the clients worked.
    pub faults: Vec<String>,
}

impl<K, M> Default for AcknowledgedFacts<K, M> {
    fn default() -> Self {
        Self {
            resources: BTreeMap::new(),
            faults: Vec::new(),
        }
    }
}

impl<K: Clone + Debug + Ord, M: Debug> AcknowledgedFacts<K, M> {
    /// One that was asked about.
    pub fn of(&mut self, key: &K) -> &mut Resource<K, M> {
        self.resources
            .get_mut(key)
            .expect("it was noted when it was asked for")
    }

    /// The resources of that kind that may exist.
    pub fn all<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a K, &'a Resource<K, M>)> {
        let all = self.resources.iter();
        all.filter(move |(_, one)| one.kind == kind && one.may_exist())
    }

    /// The same of one volume.
    pub fn of_volume<'a>(
        &'a self,
        kind: &'a str,
        key: &'a K,
    ) -> impl Iterator<Item = (&'a K, &'a Resource<K, M>)> {
        self.all(kind)
            .filter(move |(_, one)| one.volume.as_ref() == Some(key))
    }

    /// It is gone, and so is what belonged to it.
    pub fn is_gone(&mut self, key: &K) {
        for (name, one) in &mut self.resources {
            if name == key || one.volume.as_ref() == Some(key) {
                one.existence = Existence::Gone;
            }
        }
    }

    /// A delete is about to be asked for, of a volume perhaps with its snapshots. What was before is needed at its end.
    pub fn begin_delete(&mut self, key: &K, with_snapshots: bool) -> Vec<(K, Existence)> {
        let goes_along = |one: &Resource<K, M>| {
            with_snapshots && one.kind == "snapshot" && one.volume.as_ref() == Some(key) && one.may_exist()
        };
        let all = self.resources.iter_mut();
        let to_go = all.filter(|(name, one)| *name == key || goes_along(one));
        let unsure = Existence::Unsure { may_begin: true };
        to_go
            .map(|(name, one)| (name.clone(), std::mem::replace(&mut one.existence, unsure)))
            .collect()
    }

    pub fn end_delete(&mut self, key: &K, before: Vec<(K, Existence)>, answer: Answer) {
        match answer {
            Answer::Acknowledged => self.is_gone(key),
            Answer::Open => {}
            Answer::Refused | Answer::Lost => {
                for (key, before) in before {
                    let is_sure = matches!(before, Existence::Exists);
                    self.of(&key).existence = match answer {
                        Answer::Lost if is_sure => Existence::Unsure { may_begin: false },
                        _ => before,
                    };
                }
            }
        }
    }

    /// Forgets what is gone.
    pub fn forget_what_is_gone(&mut self) {
        self.resources.retain(|_, one| one.may_exist());
    }
}
