//! Policy: which rule needs which role (facts: `cinder/policy.tsv`, `cinder/observed_roles.tsv`).

/// A policy rule by its Cinder name, e.g. `volume:create`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule(pub &'static str);
