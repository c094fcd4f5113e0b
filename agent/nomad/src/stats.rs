//! What a task uses, measured by the daemon when the client asks for it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use barepod_api::v1::Usage;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::start::Hands;
use crate::table::Task;
use crate::wire::driver::cpu_usage::Fields as Cpu;
use crate::wire::driver::memory_usage::Fields as Memory;
use crate::wire::driver::{CpuUsage, MemoryUsage, TaskResourceUsage, TaskStats, TaskStatsResponse};

pub(crate) type Answers = Pin<Box<dyn Stream<Item = Result<TaskStatsResponse, Status>> + Send>>;

/// The shortest interval, for whoever wants more.
const SHORTEST: Duration = Duration::from_secs(1);

/// Measures at once and then at each interval, until the task is over or nobody listens.
pub(crate) fn stream(hands: &Hands, task: &Arc<Task>, interval: Duration) -> Answers {
    let (sender, answers) = mpsc::channel(1);
    let (daemon, meter, task) = (hands.daemon.clone(), hands.meter.clone(), Arc::clone(task));
    tokio::spawn(async move {
        let mut before = None;
        let mut ticks = tokio::time::interval(interval.max(SHORTEST));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = task.wait() => return,
                () = sender.closed() => return,
                _ = ticks.tick() => {}
            }
            // A daemon that is away measures nothing; the next time it may.
            let Some(now) = Box::pin(meter.usage(&daemon, &task.kept.pod.uid)).await else { continue };
            let stats = stats(&task, &now, before.as_ref());
            before = Some(now);
            if sender.send(Ok(TaskStatsResponse { stats: Some(stats) })).await.is_err() {
                return;
            }
        }
    });
    Box::pin(ReceiverStream::new(answers))
}

fn stats(task: &Task, now: &Usage, before: Option<&Usage>) -> TaskStats {
    let usage = TaskResourceUsage { cpu: Some(cpu(now, before)), memory: Some(memory(now)) };
    TaskStats {
        id: task.config.id.clone(),
        timestamp: Some(SystemTime::now().into()),
        agg_resource_usage: Some(usage),
        resource_usage_by_pid: HashMap::new(),
    }
}

/// Per cent of one CPU since the measurement before. Ticks are not told: what a MHz of this host is, the client knows.
fn cpu(now: &Usage, before: Option<&Usage>) -> CpuUsage {
    let at = |usage: &Usage| {
        let time = usage.time.as_ref();
        time.map(|time| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos))
    };
    let passed = before.and_then(|before| Some(at(now)? - at(before)?)).filter(|passed| *passed > 0);
    let part = |of: fn(&Usage) -> Option<u64>| {
        let used = of(now)?.saturating_sub(before.and_then(of)?);
        #[expect(clippy::cast_precision_loss, reason = "a part of a hundred")]
        passed.map(|passed| used as f64 / passed as f64 * 100.0)
    };
    let measured = [
        (Cpu::Percent, part(|usage| usage.cpu_ns)),
        (Cpu::UserMode, part(|usage| usage.cpu_user_ns)),
        (Cpu::SystemMode, part(|usage| usage.cpu_system_ns)),
    ];
    let [percent, user, system] = measured.map(|(_, value)| value.unwrap_or_default());
    let counted = [(Cpu::ThrottledPeriods, now.cpu_throttled_periods), (Cpu::ThrottledTime, now.cpu_throttled_ns)];
    let [periods, time] = counted.map(|(_, value)| value.unwrap_or_default());
    let fields = measured.into_iter().filter(|(_, value)| value.is_some()).map(|(field, _)| field);
    let more = counted.into_iter().filter(|(_, value)| value.is_some()).map(|(field, _)| field);
    CpuUsage {
        system_mode: system,
        user_mode: user,
        total_ticks: 0.0,
        throttled_periods: periods,
        throttled_time: time,
        percent,
        measured_fields: fields.chain(more).map(i32::from).collect(),
    }
}

fn memory(now: &Usage) -> MemoryUsage {
    let measured = [
        (Memory::Usage, now.memory),
        (Memory::Rss, now.memory_rss),
        (Memory::Cache, now.memory_cache),
        (Memory::Swap, now.swap),
    ];
    let [usage, rss, cache, swap] = measured.map(|(_, value)| value.unwrap_or_default());
    let fields = measured.into_iter().filter(|(_, value)| value.is_some()).map(|(field, _)| field.into());
    MemoryUsage { usage, rss, cache, swap, measured_fields: fields.collect(), ..MemoryUsage::default() }
}

#[cfg(test)]
mod tests {
    use barepod_api::v1::Timestamp;

    use super::*;

    fn usage(seconds: i64, cpu: u64) -> Usage {
        let time = Some(Timestamp { seconds, nanos: 0 });
        Usage { time, cpu_ns: Some(cpu), memory: Some(5), ..Usage::default() }
    }

    #[test]
    fn cpu_is_a_part_of_the_time_between_two_measurements() {
        let [first, second] = [usage(10, 1_000_000_000), usage(12, 2_000_000_000)];
        let cpu = cpu(&second, Some(&first));
        assert!((cpu.percent - 50.0).abs() < 1e-9, "{}", cpu.percent);
        assert_eq!(cpu.measured_fields, [i32::from(Cpu::Percent)]);
    }

    #[test]
    fn what_is_not_measured_is_not_said_to_be() {
        assert!(cpu(&usage(10, 1), None).measured_fields.is_empty());
        assert_eq!(memory(&usage(10, 1)).measured_fields, [i32::from(Memory::Usage)]);
    }
}
