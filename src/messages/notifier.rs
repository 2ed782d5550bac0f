//! To the **Notifier** actor of a control node, which works by itself: it has no messages.

use super::topic;

topic!(
    /// The Notifier actor; its server is the name of its sink.
    NotifierTopic = "notifier", versions 1..=1
);
