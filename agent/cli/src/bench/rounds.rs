//! All works in all arms, in turns: what disturbs one disturbs the others too.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use anyhow::{Context as _, Result};
use barepod_statistics::Sample;

use super::arm::{Arm, Arms};
use super::figures::{self, Measure};
use super::task::{Course, Task};
use crate::args::BenchWork;

/// The figures of one arm.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    pub(crate) arm: Arm,
    pub(crate) sample: Sample,
}

/// A measure with the figures of all arms that have it.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) measure: Measure,
    pub(crate) arms: Vec<Figures>,
}

/// Makes what the works need, then runs them. `say` is told how far it is.
pub(crate) async fn measure(
    arms: &mut Arms<'_>,
    works: &[BenchWork],
    course: &Course,
    rounds: u32,
    mut say: impl FnMut(&str),
) -> Result<Vec<Measured>> {
    say("making the files");
    prepare(arms, works, course).await.context("the files cannot be made")?;
    let turns = turns(arms, works);
    let mut figures: Vec<Vec<Vec<f64>>> = vec![Vec::new(); turns.len()];
    let mut dice = Dice::thrown();
    for round in 1..=rounds {
        say(&format!("round {round} of {rounds}"));
        for index in dice.order(turns.len()) {
            let (work, arm) = turns[index];
            let result = arms.run(arm, &Task::of(work, course)).await?;
            figures[index].push(figures::read(work, &result)?);
        }
    }
    works.iter().map(|work| collect(*work, &turns, &figures)).collect::<Result<Vec<_>>>().map(|all| all.concat())
}

/// What is measured in each round.
pub(crate) fn turns(arms: &Arms<'_>, works: &[BenchWork]) -> Vec<(BenchWork, Arm)> {
    works.iter().flat_map(|work| of(*work, arms).map(|arm| (*work, arm))).collect()
}

/// To copy a file up is a matter of its first write alone; all that follow are those of any overlay.
fn of<'a>(work: BenchWork, arms: &'a Arms<'_>) -> impl Iterator<Item = Arm> + use<'a> {
    let wanted = move |arm: &Arm| arms.has(*arm) && (*arm != Arm::CopyUp || work == BenchWork::FirstWrite);
    Arm::ALL.into_iter().filter(wanted)
}

async fn prepare(arms: &mut Arms<'_>, works: &[BenchWork], course: &Course) -> Result<()> {
    if works.iter().any(|work| *work != BenchWork::Postgresql) {
        arms.run(Arm::Process, &Task::fill(course)).await?;
    }
    if works.contains(&BenchWork::FirstWrite) && arms.has(Arm::CopyUp) {
        arms.run(Arm::Process, &Task::fill_image()).await?;
    }
    if let Some(programs) = course.postgresql.as_ref().filter(|_| works.contains(&BenchWork::Postgresql)) {
        arms.run(Arm::Process, &Task::create_cluster(course, programs)).await?;
    }
    Ok(())
}

fn collect(work: BenchWork, turns: &[(BenchWork, Arm)], figures: &[Vec<Vec<f64>>]) -> Result<Vec<Measured>> {
    let measured = |(index, measure): (usize, &Measure)| {
        let of_work = turns.iter().zip(figures).filter(|((of, _), _)| *of == work);
        let arms = of_work.map(|((_, arm), rounds)| {
            let sample = Sample::new(rounds.iter().map(|round| round[index]).collect());
            Ok(Figures { arm: *arm, sample: sample.context("there are no figures")? })
        });
        Ok(Measured { measure: *measure, arms: arms.collect::<Result<_>>()? })
    };
    figures::measures(work).iter().enumerate().map(measured).collect()
}

/// Chance, by xorshift.
struct Dice(u64);

impl Dice {
    fn thrown() -> Self {
        Self(RandomState::new().build_hasher().finish() | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The numbers below `count` in an order by chance.
    fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            let other = (self.next() % (last as u64 + 1)) as usize;
            order.swap(last, other);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_has_everything_once_and_no_place_belongs_to_anyone() {
        let mut dice = Dice(1);
        let mut first = [0; 4];
        for _ in 0..1000 {
            let order = dice.order(4);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3]);
            first[order[0]] += 1;
        }
        assert!(first.iter().all(|count| (180..320).contains(count)), "{first:?}");
    }
}
