//! How soon a task's first instruction comes.

use anyhow::Context as _;
use barepod_test_programs::stamp::monotonic;

use super::{Driver, Logs, Pair};
use crate::bench::Course;
use crate::bench::table::{Arm, Goal, Line};
use barepod_statistics::Sample;

/// Beyond what `raw_exec` takes, in milliseconds.
const MORE: f64 = 20.0;

/// What one driver was seen to take.
#[derive(Default)]
struct Taken {
    since_asked: Vec<f64>,
    since_received: Vec<f64>,
}

pub(super) fn measure(course: &Course, pair: &Pair) -> anyhow::Result<Vec<Line>> {
    let mut taken = [(Driver::Barepod, Taken::default()), (Driver::RawExec, Taken::default())];
    for round in 0..=course.rounds {
        for (driver, taken) in &mut taken {
            std::thread::sleep(course.gap);
            let name = format!("start-{}-{round}", driver.word());
            let job = pair.job(&name, *driver, 1, Logs::Collected);
            let asked = monotonic()?;
            pair.nomad.ask("PUT", "/v1/jobs", &job)?;
            let began = pair.stamps.receive()?.at;
            let received = pair.received(&name)?;
            pair.end(&name)?;
            // The first may meet what is not warm yet anywhere.
            if round > 0 {
                taken.since_asked.push(began.saturating_sub(asked).as_secs_f64() * 1e3);
                taken.since_received.push(began.saturating_sub(received).as_secs_f64() * 1e3);
            }
        }
    }
    let line = |of: fn(&Taken) -> &Vec<f64>, title: &str, notes: &str| {
        let arm = |(driver, taken): &(Driver, Taken)| {
            Ok(Arm { name: driver.name(), sample: Sample::new(of(taken).clone()).context("no figures")? })
        };
        let arms = taken.iter().map(arm).collect::<anyhow::Result<Vec<_>>>()?;
        let goals = vec![Goal::beside_the_second(MORE, &arms)];
        anyhow::Ok(Line { title: title.to_owned(), unit: "ms".into(), notes: notes.to_owned(), goals, arms })
    };
    Ok(vec![
        line(
            |taken| &taken.since_received,
            "Nomad: from a client's work on a task to its first instruction",
            "From the event `Task Setup`, which is before the task's directory and the process that collects its log are made, \
             for both in the same way.",
        )?,
        line(
            |taken| &taken.since_asked,
            "Nomad: from a job's registration to its task's first instruction",
            "With the time that server and client take to plan it and to hear of it.",
        )?,
    ])
}
