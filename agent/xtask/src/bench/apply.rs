//! From an order on the socket to the service's first instruction: for one pod, and for two hundred at once.

mod runc;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use barepod_api::v1::barepod_client::BarepodClient;
use barepod_api::v1::{ApplyRequest, DeleteRequest, ListRequest, ManifestFile};
use barepod_statistics::Sample;
use barepod_test_programs::stamp::monotonic;
use barepod_tests::Scratch;
use tokio::runtime::Runtime;
use tonic::transport::Channel;

use super::Course;
use super::stamps::Stamps;
use super::supervisor::{Barepod, Service, Supervisor as _, manifest};
use super::table::{Arm, Goal, Line};
use runc::Runc;

const BURST: usize = 200;
/// A burst and its end take seconds.
const BURSTS: usize = 5;
const LIMIT: Duration = Duration::from_secs(60);

/// Whoever can start so many services at once, and end them.
trait Starter {
    fn name(&self) -> String;

    /// Orders them; may return before or after they run.
    fn start(&mut self, services: usize) -> anyhow::Result<()>;

    /// Ends them all and leaves nothing.
    fn end(&mut self) -> anyhow::Result<()>;
}

/// All arms in turns.
pub(super) fn measure(course: &Course) -> anyhow::Result<Vec<Line>> {
    let scratch = Scratch::new()?;
    let stamps = Stamps::bind(scratch.join("stamps"), LIMIT)?;
    let service = Service::new(vec![course.built.musl("stamp")?.display().to_string()], stamps.path());
    let bundles = Scratch::new()?;
    let mut arms: [Box<dyn Starter>; 2] =
        [Box::new(Pods::start(course, &service)?), Box::new(Runc::new(bundles.path(), &service)?)];
    let one = turns(&mut arms, &stamps, 1, course.rounds, course.gap)?;
    let many = turns(&mut arms, &stamps, BURST, course.rounds.min(BURSTS), course.gap)?;
    Ok(vec![one_line(course, one), burst_line(many)])
}

fn one_line(course: &Course, arms: Vec<Arm>) -> Line {
    let notes = format!(
        "barepod: from before the call Apply on the socket to the service's first instruction; what is accepted is on the \
         disk by then. runc: from before `runc run` with a bundle that is ready; nothing is promised to be on the disk, and \
         nobody supervises. {} ms idle before each.",
        course.gap.as_millis()
    );
    let goals = vec![Goal::at_most(10.0, &arms)];
    Line {
        title: "apply to the first instruction of a pod of one container".to_owned(),
        unit: "ms".into(),
        notes,
        goals,
        arms,
    }
}

fn burst_line(arms: Vec<Arm>) -> Line {
    let notes = "To the first instruction of the last one. barepod: one call Apply with all of them. runc: as many \
                 processes `runc run --detach`, all started before the first is waited for."
        .to_owned();
    let title = format!("apply to the first instruction of the last of {BURST} pods");
    Line { title, unit: "ms".into(), notes, goals: vec![Goal::at_most(2000.0, &arms)], arms }
}

fn turns(
    starters: &mut [Box<dyn Starter>],
    stamps: &Stamps,
    services: usize,
    rounds: usize,
    gap: Duration,
) -> anyhow::Result<Vec<Arm>> {
    let mut figures: Vec<Vec<f64>> = starters.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (starter, figures) in starters.iter_mut().zip(&mut figures) {
            std::thread::sleep(gap);
            let name = starter.name();
            figures.push(round(starter.as_mut(), stamps, services).with_context(|| name)?);
        }
    }
    let names = starters.iter().map(|starter| starter.name());
    names
        .zip(figures)
        .map(|(name, figures)| Ok(Arm { name, sample: Sample::new(figures).context("no figures")? }))
        .collect()
}

/// Milliseconds to the last one's first instruction.
fn round(starter: &mut dyn Starter, stamps: &Stamps, services: usize) -> anyhow::Result<f64> {
    let begin = monotonic()?;
    starter.start(services)?;
    let mut last = Duration::ZERO;
    for number in 0..services {
        let stamp = stamps.receive().with_context(|| format!("{number} of {services} services began"))?;
        last = last.max(stamp.at);
    }
    starter.end()?;
    let elapsed = last.checked_sub(begin).context("a service began before it was ordered")?;
    Ok(elapsed.as_secs_f64() * 1e3)
}

/// barepod by a client in this process: the command line's own start does not count.
struct Pods {
    barepod: Barepod,
    runtime: Runtime,
    client: BarepodClient<Channel>,
    service: Service,
    next: usize,
}

impl Pods {
    fn start(course: &Course, service: &Service) -> anyhow::Result<Self> {
        let barepod = Barepod::start(&course.built)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let socket = barepod.host().path("run/barepod/barepod.sock");
        let client = runtime.block_on(barepod_api::connect(&socket))?;
        let service = Service { argv: service.argv.clone(), socket: service.socket.clone(), ..*service };
        Ok(Self { barepod, runtime, client, service, next: 0 })
    }

    fn files(&mut self, services: usize) -> anyhow::Result<Vec<ManifestFile>> {
        let numbers = self.next..self.next + services;
        self.next += services;
        self.service.among = services;
        let file = |number: usize| {
            let name = format!("pod-{number}");
            Ok(ManifestFile { text: manifest(&name, &self.service)?, name })
        };
        numbers.map(file).collect()
    }
}

impl Starter for Pods {
    fn name(&self) -> String {
        self.barepod.name()
    }

    fn start(&mut self, services: usize) -> anyhow::Result<()> {
        let request = ApplyRequest { files: self.files(services)?, dry_run: false };
        let answer = self.runtime.block_on(self.client.apply(request))?.into_inner();
        let accepted = answer.results.iter().filter(|result| result.denied_reason.is_empty()).count();
        ensure!(accepted == services, "{accepted} of {services} were accepted: {answer:?}");
        Ok(())
    }

    fn end(&mut self) -> anyhow::Result<()> {
        let Self { runtime, client, .. } = self;
        runtime.block_on(async {
            for pod in client.list(ListRequest::default()).await?.into_inner().pods {
                let (namespace, name) = (pod.namespace, pod.name);
                let grace_seconds = Some(0);
                client.delete(DeleteRequest { namespace, name, grace_seconds, ..DeleteRequest::default() }).await?;
            }
            let gone = async {
                while !client.list(ListRequest::default()).await?.into_inner().pods.is_empty() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                anyhow::Ok(())
            };
            tokio::time::timeout(LIMIT, gone).await.context("pods do not go")?
        })
    }
}
