//! What happened in a simulated run, event by event: two runs of a seed are the same if their traces are.
//!
//! An event is what the code logs at any level, each segment that the simulated network sends, drops or delivers (with its bytes), each
//! access to the store, each message that an actor begins to handle and each draw from the seed. So the first event that differs is
//! close to what made the runs differ.

use std::fmt::{Debug, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

use super::simulated_time;

/// The events of a run, in their order.
pub struct Trace(Vec<String>);

/// Runs this and records what happens on this thread meanwhile.
pub fn recorded<T>(run: impl FnOnce() -> T) -> (T, Trace) {
    let recorder = Recorder::default();
    let recording = Arc::clone(&recorder.0);
    let answer = tracing::subscriber::with_default(recorder, run);
    (answer, Trace(std::mem::take(&mut lock(&recording).events)))
}

impl Trace {
    /// How many events there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A number that is the same for the same events, in another process as well.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        hasher.finish()
    }

    /// Where two runs of a seed part, with what was before it; `None` if they are the same. Both traces are kept in files, then.
    pub fn difference(&self, other: &Self, seed: u64) -> Option<String> {
        const BEFORE: usize = 20;
        const AFTER: usize = 3;
        let same = common(&self.0, &other.0);
        if same == self.0.len() && same == other.0.len() {
            return None;
        }
        let mut text = format!("the runs part after {same} events");
        for (which, events) in [("first", &self.0), ("second", &other.0)] {
            let file = format!("{}/replay-{seed}-{which}.log", env!("CARGO_TARGET_TMPDIR"));
            std::fs::write(&file, events.join("\n")).unwrap();
            write!(text, ", {file}").unwrap();
        }
        text.push('\n');
        for event in &self.0[same.saturating_sub(BEFORE)..same] {
            writeln!(text, "  {}", part(event, 0)).unwrap();
        }
        for (sign, here, there) in [('-', self, other), ('+', other, self)] {
            for (at, event) in here.0.iter().enumerate().skip(same).take(AFTER) {
                let differs = there
                    .0
                    .get(at)
                    .map_or(0, |there| common(event.as_bytes(), there.as_bytes()));
                writeln!(text, "{sign} {}", part(event, differs)).unwrap();
            }
        }
        Some(text)
    }
}

/// With how many elements both begin.
fn common<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The part of a long event around this place.
fn part(event: &str, around: usize) -> String {
    const LENGTH: usize = 300;
    let skipped = around.saturating_sub(LENGTH / 2);
    let sign = if skipped > 0 { "…" } else { "" };
    let part = event.chars().skip(skipped).take(LENGTH);
    format!("{sign}{}", part.collect::<String>())
}

#[derive(Default)]
struct Recording {
    events: Vec<String>,
    /// What each span is, by its number, and those that are entered.
    spans: Vec<String>,
    entered: Vec<u64>,
}

#[derive(Default)]
struct Recorder(Arc<Mutex<Recording>>);

fn lock(recording: &Mutex<Recording>) -> MutexGuard<'_, Recording> {
    recording.lock()
}

impl Subscriber for Recorder {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        ["pumice", "turmoil", "sim_"]
            .iter()
            .any(|of| target.starts_with(of))
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line::default();
        span.record(&mut line);
        let mut recording = lock(&self.0);
        recording.spans.push(line.0);
        Id::from_u64(recording.spans.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        if let Some(now) = simulated_time() {
            write!(line.0, "{now:.3}").unwrap();
        }
        {
            let recording = lock(&self.0);
            for span in &recording.entered {
                let index = usize::try_from(*span).unwrap() - 1;
                line.0.push_str(&recording.spans[index]);
            }
        }
        write!(line.0, " {}:", event.metadata().target()).unwrap();
        event.record(&mut line);
        lock(&self.0).events.push(line.0);
    }

    fn enter(&self, span: &Id) {
        lock(&self.0).entered.push(span.into_u64());
    }

    fn exit(&self, span: &Id) {
        let mut recording = lock(&self.0);
        let mut entered = recording.entered.iter();
        if let Some(at) = entered.rposition(|entered| *entered == span.into_u64()) {
            recording.entered.remove(at);
        }
    }
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        }
        .unwrap();
    }
}
