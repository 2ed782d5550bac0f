//! Fault injection, for the tests of every flow: it succeeds; it fails at each step in turn and leaves nothing;
//! running every step twice has the same result as once.

use super::Observer;

/// Where to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Before the step does anything.
    Before(&'static str),
    /// Right after it was done.
    After(&'static str),
}

/// Fails once, at that point.
pub struct FailAt<E> {
    at: At,
    error: fn(&str) -> E,
}

impl<E> FailAt<E> {
    /// An injector; `error` builds the failure from the step's name.
    pub fn new(at: At, error: fn(&str) -> E) -> Self {
        Self { at, error }
    }
}

impl<E> Observer<E> for FailAt<E> {
    fn before(&self, _flow: &'static str, step: &'static str) -> Result<(), E> {
        if self.at == At::Before(step) {
            Err((self.error)(step))
        } else {
            Ok(())
        }
    }

    fn after(&self, _flow: &'static str, step: &'static str) -> Result<(), E> {
        if self.at == At::After(step) {
            Err((self.error)(step))
        } else {
            Ok(())
        }
    }
}

/// Executes each step twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Twice;

impl<E> Observer<E> for Twice {
    fn times(&self) -> u32 {
        2
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use async_trait::async_trait;

    use super::{At, FailAt, Twice};
    use crate::flow::{Flow, Step, Unobserved};

    struct Put(&'static str);

    #[async_trait(?Send)]
    impl Step<Vec<&'static str>, String> for Put {
        fn name(&self) -> &'static str {
            self.0
        }
        async fn execute(&self, state: &mut Vec<&'static str>) -> Result<(), String> {
            if !state.contains(&self.0) {
                state.push(self.0);
            }
            Ok(())
        }
        async fn revert(&self, state: &mut Vec<&'static str>, _cause: &String) {
            state.retain(|name| *name != self.0);
        }
    }

    fn flow() -> Flow<Vec<&'static str>, String> {
        Flow::new("test").then(Put("a")).then(Put("b")).then(Put("c"))
    }

    #[actix::test]
    async fn a_flow_succeeds_and_twice_is_once() {
        for twice in [false, true] {
            let mut state = Vec::new();
            let observer: Rc<dyn crate::flow::Observer<String>> = if twice {
                Rc::new(Twice)
            } else {
                Rc::new(Unobserved)
            };
            let report = flow().run(&mut state, 1, observer).await;
            assert_eq!(report.result, Ok(()));
            assert_eq!(state, ["a", "b", "c"]);
        }
    }

    #[actix::test]
    async fn a_flow_that_fails_anywhere_leaves_nothing() {
        for step in flow().step_names() {
            for at in [At::Before(step), At::After(step)] {
                let mut state = Vec::new();
                let report = flow()
                    .run(&mut state, 1, Rc::new(FailAt::new(at, |s| s.to_owned())))
                    .await;
                assert_eq!(report.result, Err(step.to_owned()));
                assert!(state.is_empty(), "{at:?} left {state:?}");
            }
        }
    }
}
