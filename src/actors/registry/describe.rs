//! What a control node says of itself, for those who look at the cluster.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Registry;
use crate::messages::registry::{ControlNodeReport, DescribeControlNode, SpokenTopic};
use crate::model::{Context, Error};
use crate::transport::Serve;
use crate::transport::header::TopicVersions;

impl Serve<DescribeControlNode> for Registry {
    async fn serve(
        self: Rc<Self>,
        _context: Context,
        _message: DescribeControlNode,
    ) -> Result<ControlNodeReport, Error> {
        let own = self.router.topics();
        let peers = self.router.peers();
        let others = peers.iter().flat_map(|peer| &peer.topics);
        Ok(ControlNodeReport {
            node: self.router.node().to_owned(),
            incarnation: self.router.incarnation().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address: self.options.address.clone(),
            view: self.catalog.shown_revision(),
            common: common(own.iter().chain(others)),
            speaks: own.iter().map(spoken).collect(),
        })
    }
}

fn spoken(of: &TopicVersions) -> SpokenTopic {
    SpokenTopic {
        topic: of.topic.clone(),
        min: of.min,
        max: of.max,
    }
}

/// The versions that all who have a topic speak: senders use the newest of them.
fn common<'a>(all: impl Iterator<Item = &'a TopicVersions>) -> Vec<SpokenTopic> {
    let mut topics: BTreeMap<&str, SpokenTopic> = BTreeMap::new();
    for of in all {
        let common = topics.entry(&of.topic).or_insert_with(|| spoken(of));
        common.min = common.min.max(of.min);
        common.max = common.max.min(of.max);
    }
    topics.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_version_of_a_topic_is_that_of_the_oldest_node() {
        let of = |topic: &str, min, max| TopicVersions {
            topic: topic.to_owned(),
            min,
            max,
        };
        let all = [of("api", 1, 9), of("volume", 1, 6), of("api", 2, 8)];
        let found = common(all.iter());
        assert_eq!(
            (found[0].topic.as_str(), found[0].min, found[0].max),
            ("api", 2, 8)
        );
        assert_eq!((found[1].min, found[1].max), (1, 6));
    }
}
