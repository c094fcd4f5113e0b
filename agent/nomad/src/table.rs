//! The tasks that the client has told of. Nothing of it is kept: after a death of the plugin the client tells of them again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tonic::Status;

use crate::config::OnStop;
use crate::manifest::PodId;
use crate::outcome::Outcome;
use crate::wire::driver::{TaskConfig, TaskHandle, TaskState};

/// The version of what is in a handle.
const VERSION: i32 = 1;

/// What the client keeps of a task, beside its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) pod: PodId,
    /// Somebody else has made the pod.
    pub(crate) adopted: bool,
    pub(crate) on_stop: OnStop,
}

/// What of a task's configuration is looked at after its start. The rest, an environment of a hundred variables above all, is the
/// client's to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Brief {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) alloc_id: String,
    pub(crate) stdout_path: String,
    pub(crate) stderr_path: String,
}

impl From<&TaskConfig> for Brief {
    fn from(config: &TaskConfig) -> Self {
        Self {
            id: config.id.clone(),
            name: config.name.clone(),
            alloc_id: config.alloc_id.clone(),
            stdout_path: config.stdout_path.clone(),
            stderr_path: config.stderr_path.clone(),
        }
    }
}

/// A task.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) config: Brief,
    pub(crate) kept: Kept,
    pub(crate) began: SystemTime,
    ended: watch::Sender<Option<(Outcome, SystemTime)>>,
    /// Ends what is done for it.
    pub(crate) over: CancellationToken,
    _over: DropGuard,
    /// Those who pass its logs on.
    pub(crate) pumps: TaskTracker,
}

/// How long the client waits, beyond the end of a task, for what was written last.
const LAST_LINES: Duration = Duration::from_secs(3);

impl Task {
    pub(crate) fn new(config: Brief, kept: Kept) -> Self {
        let over = CancellationToken::new();
        let guard = over.clone().drop_guard();
        Self {
            config,
            kept,
            began: SystemTime::now(),
            ended: watch::Sender::new(None),
            over,
            _over: guard,
            pumps: TaskTracker::new(),
        }
    }

    /// For the client to keep, with the configuration that it gave.
    pub(crate) fn handle(&self, config: TaskConfig) -> TaskHandle {
        TaskHandle {
            version: VERSION,
            config: Some(config),
            state: TaskState::Running.into(),
            driver_state: serde_json::to_vec(&self.kept).unwrap_or_default(),
        }
    }

    /// What a client has kept.
    ///
    /// # Errors
    /// It is not this driver's.
    pub(crate) fn of_handle(handle: TaskHandle) -> Result<Self, Status> {
        let wrong = |what: String| Status::invalid_argument(format!("this is no task of the driver barepod: {what}"));
        if handle.version != VERSION {
            return Err(wrong(format!("its handle has the version {}, and not {VERSION}", handle.version)));
        }
        let config = handle.config.as_ref().ok_or_else(|| wrong("its handle has no configuration".to_owned()))?;
        let kept = serde_json::from_slice(&handle.driver_state).map_err(|error| wrong(error.to_string()))?;
        Ok(Self::new(config.into(), kept))
    }

    /// It has ended; the first word counts.
    pub(crate) fn end(&self, outcome: Outcome) {
        self.ended.send_if_modified(|ended| {
            let is_first = ended.is_none();
            if is_first {
                *ended = Some((outcome, SystemTime::now()));
            }
            is_first
        });
    }

    /// How and when it ended, if it has.
    pub(crate) fn ended(&self) -> Option<(Outcome, SystemTime)> {
        self.ended.borrow().clone()
    }

    /// Waits for that.
    pub(crate) async fn wait(&self) -> Outcome {
        let mut ended = self.ended.subscribe();
        let ended = ended.wait_for(Option::is_some).await.map(|ended| ended.clone());
        ended.ok().flatten().map_or_else(|| Outcome::unknown("the plugin ends"), |(outcome, _)| outcome)
    }
}

impl Task {
    /// Waits until its last lines have been passed on, but not for long.
    pub(crate) async fn drained(&self) {
        self.pumps.close();
        tokio::time::timeout(LAST_LINES, self.pumps.wait()).await.ok();
    }
}

/// All of them, by their ids.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table(Arc<Mutex<HashMap<String, Arc<Task>>>>);

impl Table {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Task>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Task>> {
        self.lock().get(id).cloned()
    }

    /// # Errors
    /// There is none of this id.
    pub(crate) fn find(&self, id: &str) -> Result<Arc<Task>, Status> {
        self.get(id).ok_or_else(|| Status::not_found(format!("the driver barepod has no task {id}")))
    }

    /// Takes a task in, unless it is known: whether it was not.
    pub(crate) fn put(&self, task: &Arc<Task>) -> bool {
        let mut tasks = self.lock();
        let is_new = !tasks.contains_key(&task.config.id);
        if is_new {
            tasks.insert(task.config.id.clone(), Arc::clone(task));
        }
        is_new
    }

    pub(crate) fn take(&self, id: &str) -> Option<Arc<Task>> {
        self.lock().remove(id)
    }

    /// The task that has this pod and has not ended.
    pub(crate) fn holder(&self, uid: &str) -> Option<Arc<Task>> {
        self.lock().values().find(|task| task.kept.pod.uid == uid && task.ended().is_none()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> TaskConfig {
        TaskConfig { id: "a/b/c".to_owned(), alloc_id: "a".to_owned(), ..TaskConfig::default() }
    }

    fn task() -> Task {
        let text = |text: &str| text.to_owned();
        let pod = PodId { namespace: text("default"), name: text("b"), uid: text("u") };
        Task::new((&config()).into(), Kept { pod, adopted: false, on_stop: OnStop::Stop })
    }

    #[test]
    fn a_task_is_known_again_by_its_handle() {
        let before = task();
        let handle = before.handle(config());
        assert_eq!(handle.config, Some(config()), "all of it is the client's to keep");
        let after = Task::of_handle(handle.clone()).unwrap();
        assert_eq!((after.config, after.kept), (before.config.clone(), before.kept.clone()));
        let other = TaskHandle { version: 7, ..handle };
        assert!(Task::of_handle(other).unwrap_err().message().contains("version 7"));
    }

    #[test]
    fn a_task_is_taken_in_once_and_holds_its_pod_until_it_ends() {
        let (table, task) = (Table::default(), Arc::new(task()));
        assert!(table.put(&task));
        assert!(!table.put(&task));
        assert!(table.holder("u").is_some());
        task.end(Outcome::default());
        task.end(Outcome::unknown("later"));
        assert!(table.holder("u").is_none());
        assert_eq!(task.ended().unwrap().0, Outcome::default());
    }
}
