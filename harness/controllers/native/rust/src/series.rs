//! What the subject tells of itself: how many objects it was given, and what reading the initial list took.
//! The names are those of the reference controller `watcher`, so that both can be held against each other.

use std::fmt::Write;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

#[derive(Default)]
struct State {
    handed_on: u64,
    began: Option<(Instant, f64)>,
    coming: u64,
    payload: u64,
    initial: u64,
    initial_payload: u64,
    first_s: f64,
    done_s: f64,
    cpu_s: f64,
    synced: bool,
}

type Count = Box<dyn Fn() -> usize + Send>;

/// Times count from the first request; of the last initial list.
#[derive(Default)]
pub struct Series {
    state: Mutex<State>,
    stored: Mutex<Option<Count>>,
}

impl Series {
    /// The initial list is asked for now.
    pub fn begin(&self) {
        let mut state = self.state();
        state.began = Some((Instant::now(), cpu_s()));
        (state.coming, state.payload) = (0, 0);
    }

    /// An object of the initial list has come, with so many bytes of payload.
    pub fn initial(&self, payload: u64) {
        let mut state = self.state();
        if state.coming == 0 {
            state.first_s = state.began.map_or(0.0, |(began, _)| began.elapsed().as_secs_f64());
        }
        state.handed_on += 1;
        state.coming += 1;
        state.payload += payload;
    }

    /// An object has changed, has come or has gone.
    pub fn changed(&self) {
        self.state().handed_on += 1;
    }

    /// All of the initial list has come.
    pub fn end(&self) {
        let mut state = self.state();
        if let Some((began, cpu_before)) = state.began {
            (state.done_s, state.cpu_s) = (began.elapsed().as_secs_f64(), cpu_s() - cpu_before);
        }
        (state.initial, state.initial_payload) = (state.coming, state.payload);
        state.synced = true;
    }

    /// From now on `count` says how many objects are kept.
    pub fn stored_by(&self, count: impl Fn() -> usize + Send + 'static) {
        *self.stored.lock().expect("nobody panics while holding it") = Some(Box::new(count));
    }

    pub fn synced(&self) -> bool {
        self.state().synced
    }

    /// The exposition, in Prometheus's text format.
    pub fn text(&self) -> String {
        let stored = self.stored.lock().expect("nobody panics while holding it").as_ref().map_or(0, |count| count());
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let state = self.state();
        let mut out = String::new();
        let counted = "controller_runtime_reconcile_total";
        let _ = writeln!(out, "# HELP {counted} Objects handed on.\n# TYPE {counted} counter");
        let _ = writeln!(out, "{counted}{{controller=\"watcher\",result=\"success\"}} {}", state.handed_on);
        let mut gauge = |name: &str, help: &str, value: f64| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
        };
        gauge("watcher_objects_stored", "Objects in the store; 0 without one", stored as f64);
        gauge("watcher_initial_objects", "Objects of the initial list handed on", state.initial as f64);
        gauge("watcher_first_object_seconds", "Until the first object was handed on", state.first_s);
        gauge("watcher_initial_seconds", "Until the last object was handed on", state.done_s);
        gauge("watcher_initial_cpu_seconds", "CPU time of the process in that time", state.cpu_s);
        gauge("watcher_payload_bytes", "Payload of the initial objects, as encoded", state.initial_payload as f64);
        gauge("tokio_alive_tasks", "Tasks of the runtime that have not ended", tasks as f64);
        out
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }
}

/// Bytes of a payload in base64, as it was sent.
pub fn encoded<'a>(values: impl Iterator<Item = &'a [u8]>) -> u64 {
    values.map(|value| value.len().div_ceil(3) as u64 * 4).sum()
}

/// CPU time of this process so far, in s.
fn cpu_s() -> f64 {
    let mut spent = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on Linux, and `spent` is ours to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut spent) };
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}
