//! A log as go-hclog writes it: one JSON object a line on standard error. A host of go-plugin logs each anew, with its level
//! and fields.
//!
//! Lines are written by a thread of their own. If the host does not read them, those that do not fit are dropped and counted;
//! if it is dead, they go nowhere.

use std::fmt;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines that may wait for the host.
const BACKLOG: usize = 1024;

/// The longest message or field: a host reads 64 KiB a line.
const LONGEST: usize = 8 << 10;

/// The layer, to be added to a subscriber.
#[derive(Debug)]
pub struct Hclog {
    module: String,
    lines: SyncSender<Vec<u8>>,
    dropped: AtomicU64,
}

impl Hclog {
    /// Begins to log as this module.
    ///
    /// # Errors
    /// There can be no further thread.
    pub fn begin(module: &str) -> std::io::Result<Self> {
        let (lines, wanted) = sync_channel::<Vec<u8>>(BACKLOG);
        let write = move || {
            for line in wanted {
                // A dead host's pipe is broken: there is nobody to tell.
                std::io::stderr().lock().write_all(&line).ok();
            }
        };
        std::thread::Builder::new().name("hclog".to_owned()).spawn(write)?;
        Ok(Self { module: module.to_owned(), lines, dropped: AtomicU64::new(0) })
    }

    fn send(&self, line: Vec<u8>) {
        match self.lines.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl<S: Subscriber> Layer<S> for Hclog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let mut fields = Fields::default();
        event.record(&mut fields);
        if dropped > 0 {
            fields.0.insert("dropped_before".to_owned(), json!(dropped));
        }
        self.send(line(&self.module, *event.metadata().level(), fields.0));
    }
}

fn line(module: &str, level: Level, mut fields: Map<String, Value>) -> Vec<u8> {
    let message = fields.remove("message").unwrap_or_default();
    let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    fields.insert("@level".to_owned(), json!(word(level)));
    fields.insert("@message".to_owned(), message);
    fields.insert("@module".to_owned(), json!(module));
    fields.insert("@timestamp".to_owned(), json!(time));
    let mut line = Value::Object(fields).to_string().into_bytes();
    line.push(b'\n');
    line
}

fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

#[derive(Debug, Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(&value[..value.floor_char_boundary(LONGEST)]));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_what_a_host_looks_for_and_the_fields_beside_it() {
        let fields = Map::from_iter([("message".to_owned(), json!("it runs")), ("pid".to_owned(), json!(7))]);
        let line = line("barepod", Level::WARN, fields);
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let mut value: Value = serde_json::from_slice(&line).expect("JSON");
        let time = value["@timestamp"].take();
        assert!(time.as_str().is_some_and(|time| time.len() == 27 && time.ends_with('Z')), "{time}");
        let wanted =
            json!({"@level": "warn", "@message": "it runs", "@module": "barepod", "@timestamp": null, "pid": 7});
        assert_eq!(value, wanted);
    }

    #[test]
    fn a_host_that_does_not_read_costs_lines_and_holds_up_nothing() {
        let (lines, unread) = sync_channel(1);
        let log = Hclog { module: String::new(), lines, dropped: AtomicU64::new(0) };
        (0..3).for_each(|_| log.send(Vec::new()));
        assert_eq!(log.dropped.load(Ordering::Relaxed), 2);
        drop(unread);
        log.send(Vec::new());
        assert_eq!(log.dropped.load(Ordering::Relaxed), 3);
    }
}
