//! A step made of functions, for flows whose file lists the functions in order, each above its revert.

use async_trait::async_trait;

use super::Step;

/// A step that runs an async function.
pub struct FnStep<X, R = NoRevert> {
    name: &'static str,
    execute: X,
    revert: R,
}

/// The step has no revert.
#[derive(Clone, Copy, Debug)]
pub struct NoRevert;

/// The step is reverted by this function.
#[derive(Clone, Copy, Debug)]
pub struct RevertedBy<R>(R);

/// A step that runs `execute`, under its name in the journal.
pub fn step<X>(name: &'static str, execute: X) -> FnStep<X> {
    FnStep {
        name,
        execute,
        revert: NoRevert,
    }
}

impl<X> FnStep<X> {
    /// Adds the function that reverts the step.
    pub fn reverted_by<R>(self, revert: R) -> FnStep<X, RevertedBy<R>> {
        FnStep {
            name: self.name,
            execute: self.execute,
            revert: RevertedBy(revert),
        }
    }
}

#[async_trait(?Send)]
impl<S, E, X> Step<S, E> for FnStep<X>
where
    X: AsyncFn(&mut S) -> Result<(), E>,
{
    fn name(&self) -> &'static str {
        self.name
    }

    async fn execute(&self, state: &mut S) -> Result<(), E> {
        (self.execute)(state).await
    }
}

#[async_trait(?Send)]
impl<S, E, X, R> Step<S, E> for FnStep<X, RevertedBy<R>>
where
    X: AsyncFn(&mut S) -> Result<(), E>,
    R: AsyncFn(&mut S),
{
    fn name(&self) -> &'static str {
        self.name
    }

    async fn execute(&self, state: &mut S) -> Result<(), E> {
        (self.execute)(state).await
    }

    async fn revert(&self, state: &mut S, _cause: &E) {
        (self.revert.0)(state).await;
    }
}
