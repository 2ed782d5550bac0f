//! Decides which of two connections to the same node is kept.
//!
//! Both ends decide independently and must come to the same result, so the rule uses only what both know: the
//! incarnations of the node, and the dialing side. A new incarnation replaces the old one at once if it has the same data folder, which
//! shows that the old one has ended. With another folder it may be a second node of the same name: it is refused as long as the first one
//! is connected. Of two simultaneous dials, the one from the smaller name is kept; if the same side dials twice, it has abandoned its
//! first connection.

use super::header::{Incarnation, Refusal};

/// The side that dialed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DialedBy {
    /// This node.
    Us,
    /// The peer.
    Them,
}

/// The decision about a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmissionDecision {
    /// There is no present connection: the new one is accepted.
    Take,
    /// The new one replaces the present one, which is closed.
    Replace,
    /// The present one is kept.
    Refuse(Refusal),
}

/// Decides between the present connection to a node and a new one.
pub fn admit(
    us: &str,
    them: &str,
    present: Option<(Incarnation, DialedBy)>,
    new: (Incarnation, DialedBy),
) -> AdmissionDecision {
    let Some((present_life, present_dial)) = present else {
        return AdmissionDecision::Take;
    };
    let (new_life, new_dial) = new;
    if !present_life.has_folder_of(new_life) {
        return AdmissionDecision::Refuse(Refusal::SameName);
    }
    if present_life != new_life {
        return if new_life.boot < present_life.boot {
            AdmissionDecision::Refuse(Refusal::Stale)
        } else {
            AdmissionDecision::Replace
        };
    }
    let smaller = if us < them { DialedBy::Us } else { DialedBy::Them };
    if present_dial == new_dial || new_dial == smaller {
        AdmissionDecision::Replace
    } else {
        AdmissionDecision::Refuse(Refusal::Duplicate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn life(boot: u64, random: u64) -> Incarnation {
        Incarnation { boot, random }
    }

    #[test]
    fn a_later_life_ends_the_earlier_one_and_never_the_other_way_round() {
        let (old, new) = (life(1, 9), life(2, 3));
        for dial in [DialedBy::Us, DialedBy::Them] {
            assert_eq!(
                admit("a", "b", Some((old, DialedBy::Us)), (new, dial)),
                AdmissionDecision::Replace
            );
            let stale = admit("a", "b", Some((new, DialedBy::Us)), (old, dial));
            assert_eq!(stale, AdmissionDecision::Refuse(Refusal::Stale));
        }
    }

    #[test]
    fn a_second_node_of_one_name_is_refused_whatever_its_boot_number() {
        let first = Incarnation::new(3, 1 << 32);
        for boot in [1, 3, 9] {
            let second = Incarnation::new(boot, 2 << 32);
            let decision = admit("a", "b", Some((first, DialedBy::Us)), (second, DialedBy::Us));
            assert_eq!(decision, AdmissionDecision::Refuse(Refusal::SameName));
        }
        let restarted = Incarnation::new(4, 1 << 32);
        assert_eq!(
            admit("a", "b", Some((first, DialedBy::Us)), (restarted, DialedBy::Us)),
            AdmissionDecision::Replace
        );
    }

    proptest! {
        #[test]
        fn both_ends_keep_the_same_one_of_two_dials_whichever_they_saw_first(
            names in ("[a-c]{1,3}", "[a-c]{1,3}").prop_filter("two nodes", |(a, b)| a != b),
            first_at_one: bool,
            first_at_other: bool,
        ) {
            let (one, other) = names;
            let dials = [DialedBy::Us, DialedBy::Them];
            let kept = |us: &str, them: &str, ours_first: bool| {
                let (first, second) = if ours_first { (dials[0], dials[1]) } else { (dials[1], dials[0]) };
                match admit(us, them, Some((life(1, 1), first)), (life(1, 1), second)) {
                    AdmissionDecision::Replace => second,
                    _ => first,
                }
            };
            let at_one = kept(&one, &other, first_at_one);
            let at_other = kept(&other, &one, first_at_other);
            // The same dial, seen from its two ends.
            prop_assert_ne!(at_one, at_other);
        }
    }
}
