//! The ways to run a task that are compared.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use serde::Serialize;

use super::container::{Data, Runtime};
use super::ground::Ground;
use super::inside::Place;
use super::pod::Pods;
use super::process;
use super::task::Task;
use crate::commands::Client;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Arm {
    /// What the others are compared with.
    Process,
    /// A pod of this host.
    Barepod,
    /// A container with the directory as a volume.
    BindMount,
    /// A container with the file in its own layer.
    Overlay,
    /// A container with the file in its image.
    CopyUp,
}

impl Arm {
    /// All, in the order of tables.
    pub(crate) const ALL: [Self; 5] = [Self::Process, Self::Barepod, Self::BindMount, Self::Overlay, Self::CopyUp];

    fn data(self) -> Option<Data> {
        match self {
            Self::Process | Self::Barepod => None,
            Self::BindMount => Some(Data::Bind),
            Self::Overlay => Some(Data::Upper),
            Self::CopyUp => Some(Data::Lower),
        }
    }
}

/// An arm that there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Present {
    pub(crate) arm: Arm,
    pub(crate) title: String,
    /// What the data directory lies on, seen from there.
    pub(crate) place: Place,
}

/// An arm that there is not, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Absent {
    pub(crate) what: String,
    pub(crate) why: String,
}

/// Those that there are, to be used.
#[derive(Debug)]
pub(crate) struct Arms<'a> {
    ground: &'a Ground,
    pods: Pods,
    runtime: Option<Runtime>,
    pub(crate) present: Vec<Present>,
    pub(crate) absent: Vec<Absent>,
}

impl<'a> Arms<'a> {
    /// None yet.
    pub(crate) fn new(ground: &'a Ground, client: Client, namespace: String) -> Self {
        let pods = Pods::new(client, namespace);
        Self { ground, pods, runtime: None, present: Vec::new(), absent: Vec::new() }
    }

    /// Says that something is not there.
    pub(crate) fn leave_out(&mut self, what: &str, why: &str) {
        self.absent.push(Absent { what: what.to_owned(), why: why.to_owned() });
    }

    /// Tries all, and looks around in each.
    ///
    /// # Errors
    /// No bare process or no pod runs: without these there is nothing to be said.
    pub(crate) async fn find(&mut self, runtimes: &[impl AsRef<Path>]) -> Result<()> {
        for arm in [Arm::Process, Arm::Barepod] {
            self.try_one(arm).await?;
        }
        let mut why = "neither crun nor runc is installed".to_owned();
        for runtime in runtimes {
            self.runtime = Some(Runtime(runtime.as_ref().to_owned()));
            match self.try_one(Arm::BindMount).await {
                Ok(()) => break,
                Err(error) => {
                    self.runtime = None;
                    why = format!("{error:#}");
                }
            }
        }
        if self.runtime.is_none() {
            self.absent.push(Absent { what: "containers".to_owned(), why });
            return Ok(());
        }
        for arm in [Arm::Overlay, Arm::CopyUp] {
            if let Err(error) = self.try_one(arm).await {
                self.absent.push(Absent { what: self.title(arm), why: format!("{error:#}") });
            }
        }
        Ok(())
    }

    async fn try_one(&mut self, arm: Arm) -> Result<()> {
        let place = serde_json::from_str(&self.run(arm, &Task::look()).await?)?;
        let title = self.title(arm);
        self.present.push(Present { arm, title, place });
        Ok(())
    }

    fn title(&self, arm: Arm) -> String {
        let runtime = self.runtime.as_ref().map(Runtime::name).unwrap_or_default();
        match arm {
            Arm::Process => "bare process".to_owned(),
            Arm::Barepod => "barepod".to_owned(),
            Arm::BindMount => format!("{runtime}, bind mount"),
            Arm::Overlay => format!("{runtime}, overlay"),
            Arm::CopyUp => format!("{runtime}, overlay, file of the image"),
        }
    }

    /// Whether there is this one.
    pub(crate) fn has(&self, arm: Arm) -> bool {
        self.present.iter().any(|present| present.arm == arm)
    }

    /// Runs a task in an arm; what it has found out.
    pub(crate) async fn run(&mut self, arm: Arm, task: &Task) -> Result<String> {
        self.ground.sweep()?;
        self.ground.settle()?;
        let ended = match (arm.data(), &self.runtime) {
            (Some(data), Some(runtime)) => runtime.run(self.ground, data, task).await,
            (Some(_), None) => Err(anyhow!("no runtime")),
            (None, _) if arm == Arm::Barepod => self.pods.run(self.ground, task).await,
            (None, _) => process::run(self.ground, task).await,
        };
        let complaint = self.ground.complaint();
        let what = || match complaint.is_empty() {
            true => self.title(arm),
            false => format!("{}: {complaint}", self.title(arm)),
        };
        ended.and_then(|()| self.ground.result()).with_context(what)
    }

    /// Takes away what may still be there of a task that was left in the middle.
    pub(crate) async fn end(&mut self) -> Result<()> {
        self.pods.end().await
    }
}
