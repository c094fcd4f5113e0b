//! `barepod top`.

use std::io::{IsTerminal as _, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use barepod_api::v1::{ListRequest, Pod, StatsRequest, StatsResponse};
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::Client;
use crate::args::{Selectors, Top, TopOutput};
use crate::output::print;
use crate::refusal::from_status;
use crate::terminal;
use crate::top::{Order, Sample, Screen, fit, sample};

/// Without a terminal's size.
const USUAL: (usize, usize) = (24, 80);

pub(super) async fn run(client: Client, namespace: String, args: Top) -> Result<ExitCode> {
    let all = args.all_namespaces;
    let wanted = ListRequest {
        namespace: if all { String::new() } else { namespace },
        name: args
            .pod
            .as_deref()
            .filter(|_| !args.selectors.are_given())
            .map(crate::target::name)
            .transpose()?
            .unwrap_or_default(),
        uid: String::new(),
    };
    let watch = Watch { client, wanted, selectors: args.selectors, order: args.sort };
    let period = Duration::from_secs_f64(args.interval);
    if args.once || args.output.is_some() || !stdout().is_terminal() {
        once(watch, period, all, args.output).await
    } else {
        live(watch, period, all).await
    }
}

/// Who is asked for what.
struct Watch {
    client: Client,
    wanted: ListRequest,
    selectors: Selectors,
    order: Order,
}

impl Watch {
    async fn look(&mut self) -> Result<(StatsResponse, Vec<Pod>)> {
        let stats = self.client.stats(StatsRequest { disk: false }).await.map_err(from_status)?.into_inner();
        let mut pods = self.client.list(self.wanted.clone()).await.map_err(from_status)?.into_inner().pods;
        self.selectors.retain(&mut pods);
        Ok((stats, pods))
    }
}

/// Two samples make one table.
async fn once(mut watch: Watch, period: Duration, namespaces: bool, output: Option<TopOutput>) -> Result<ExitCode> {
    let (before, _) = watch.look().await?;
    tokio::time::sleep(period).await;
    let (now, pods) = watch.look().await?;
    let sample = sample(Some(&before), &now, &pods, watch.order);
    match output {
        Some(TopOutput::Json) => print(&format!("{:#}\n", serde_json::to_value(&sample)?))?,
        None => print(&format!("{}\n\n{}", sample.heading(), sample.table(namespaces)))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn live(mut watch: Watch, period: Duration, namespaces: bool) -> Result<ExitCode> {
    let (mut before, mut pods) = watch.look().await?;
    let mut shown = sample(None, &before, &pods, watch.order);
    let screen = Screen::enter()?;
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut resized = signal(SignalKind::window_change())?;
    let mut ended = signal(SignalKind::terminate())?;
    let mut keys = tokio::io::stdin();
    let mut key = [0];
    loop {
        draw(&screen, &shown, namespaces, watch.order)?;
        tokio::select! {
            _ = ticks.tick() => {
                let now;
                (now, pods) = watch.look().await?;
                shown = sample(Some(&before), &now, &pods, watch.order);
                before = now;
            }
            _ = resized.recv() => {}
            _ = ended.recv() => return Ok(ExitCode::SUCCESS),
            read = keys.read(&mut key) => match (read, key) {
                (Ok(1), [b'c']) => watch.order = Order::Cpu,
                (Ok(1), [b'm']) => watch.order = Order::Memory,
                (Ok(1), [b'i']) => watch.order = Order::Io,
                (Ok(1), [b'n']) => watch.order = Order::Name,
                // Ctrl-C and Ctrl-D are keys here; without input there is nobody to look.
                (Ok(0) | Err(_), _) | (_, [b'q' | 3 | 4]) => return Ok(ExitCode::SUCCESS),
                (Ok(_), _) => {}
            },
        }
    }
}

fn draw(screen: &Screen, sample: &Sample, namespaces: bool, order: Order) -> std::io::Result<()> {
    let by = match order {
        Order::Name => "name",
        Order::Cpu => "cpu",
        Order::Memory => "memory",
        Order::Io => "io",
    };
    let keys = format!("by {by}   keys: c cpu, m memory, i io, n name, q quit");
    let text = format!("{}\n{keys}\n\n{}", sample.heading(), sample.table(namespaces));
    let (rows, columns) = terminal::size().map_or(USUAL, |size| (size.rows as usize, size.columns as usize));
    screen.show(&fit(&text, rows, columns))
}
