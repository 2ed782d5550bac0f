//! Control nodes that share this store, the fence of this one's commits, and the tasks that one of them does.

use super::prelude::*;
use crate::model::ClusterTask;
use crate::model::control_node::{
    ControlNode, ControlNodeAbilities, ControlNodeBeat, ControlNodeState, NodeIncarnation,
};
use crate::store::Revision;

/// What each commit of a process requires: that the record of its control node is still the one that it wrote.
#[derive(Clone, Debug)]
pub struct Fence {
    key: Key,
    revision: Revision,
}

impl Catalog {
    /// All control nodes that have ever shared this store, by name.
    pub async fn control_nodes(&self) -> Result<Vec<Stored<ControlNode>>, StoreError> {
        self.all(key(keys::CONTROL_NODE).prefix()).await
    }

    /// The record of a control node.
    pub async fn control_node(&self, name: &str) -> Result<Option<Stored<ControlNode>>, StoreError> {
        self.record(&node_key(name)).await
    }

    /// How often a control node has said that it runs.
    pub async fn control_node_beat(&self, name: &str) -> Result<u64, StoreError> {
        let found = self.record::<ControlNodeBeat>(&beat_key(name)).await?;
        Ok(found.map_or(0, |beat| beat.record.0))
    }

    /// What the last run of each control node could do, as far as it has said so.
    pub async fn abilities_of_control_nodes(&self) -> Result<Vec<Stored<ControlNodeAbilities>>, StoreError> {
        self.all(key(keys::CONTROL_NODE_ABILITIES).prefix()).await
    }

    /// Whether a run of a control node certainly commits nothing any more.
    pub async fn has_ended(&self, run: &NodeIncarnation) -> Result<bool, StoreError> {
        let node = self.control_node(&run.node).await?;
        Ok(node.is_none_or(|node| node.incarnation != *run || node.state != ControlNodeState::Up))
    }

    /// The record of a task that one control node at a time does.
    pub async fn cluster_task(&self, name: &str) -> Result<Option<Stored<ClusterTask>>, StoreError> {
        self.record(&task_key(name)).await
    }

    /// Whether other control nodes may use the store.
    pub fn is_shared(&self) -> bool {
        self.fence.is_some()
    }

    /// A catalog of the same store, whose commits require that the record of a control node is as it was committed at this revision.
    #[must_use]
    pub fn fenced(&self, node: &ControlNode, revision: Revision) -> Self {
        Self {
            fence: Some(Fence {
                key: node.key(),
                revision,
            }),
            ..self.clone()
        }
    }

    /// Whether this catalog's commits are not refused yet because the control node's record was changed.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn may_commit(&self) -> Result<bool, StoreError> {
        let Some(fence) = &self.fence else {
            return Ok(true);
        };
        let found = self.store.get(&fence.key).await?;
        Ok(found.is_some_and(|entry| entry.revision == fence.revision))
    }
}

impl Changes {
    /// Adds the requirement of a fence.
    pub(super) fn require_fence(&mut self, fence: Option<&Fence>) {
        if let Some(Fence { key, revision }) = fence {
            self.unchanged(key, *revision);
        }
    }

    /// Says what a run of a control node can do.
    pub fn say_abilities(&mut self, abilities: &ControlNodeAbilities) -> &mut Self {
        let key = key(keys::CONTROL_NODE_ABILITIES).text(&abilities.incarnation.node);
        self.put(key.end(), abilities);
        self
    }

    /// Deletes the record of a control node: what is left of its process can commit nothing more.
    pub fn delete_control_node(&mut self, was: &Stored<ControlNode>) -> &mut Self {
        self.delete(was);
        let name = &was.incarnation.node;
        self.delete_key(beat_key(name));
        self.delete_key(key(keys::CONTROL_NODE_ABILITIES).text(name).end());
        self
    }

    /// Says once more that a control node runs.
    pub fn beat(&mut self, name: &str, beat: u64) -> &mut Self {
        self.put(beat_key(name), &ControlNodeBeat(beat));
        self
    }
}

impl Indexed for ControlNode {
    fn key(&self) -> Key {
        node_key(&self.incarnation.node)
    }
}

impl Indexed for ClusterTask {
    fn key(&self) -> Key {
        task_key(&self.name)
    }
}

fn task_key(name: &str) -> Key {
    key(keys::CLUSTER_TASK).text(name).end()
}

fn node_key(name: &str) -> Key {
    key(keys::CONTROL_NODE).text(name).end()
}

fn beat_key(name: &str) -> Key {
    key(keys::CONTROL_NODE_BEAT).text(name).end()
}
