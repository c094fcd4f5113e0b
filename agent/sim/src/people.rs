//! What people and misfortune do: one turn at a time.

use barepod_core::{Booking, ConditionStatus, Input, StorageUse};
use barepod_model::{Attempt, Bytes, ContainerKey, ContainerName, Pattern, Permit, Pod, PodUid, Quota, Source};

use crate::faults::Mood;
use crate::intent::What;
use crate::trace::Entry;
use crate::violation::Violation;
use crate::workload;
use crate::world::World;

impl World<'_> {
    /// Somebody does something.
    pub(crate) fn take_turn(&mut self) -> Result<(), Violation> {
        if self.faults.repeats(&mut self.rng) && !self.heard.is_empty() {
            let old = self.rng.pick(&self.heard).clone();
            self.hear(old)?;
        }
        if self.rng.chance(self.faults.reboot) {
            self.restart_host(false);
            return Ok(());
        }
        if self.rng.chance(self.faults.shutdown) {
            return self.begin_shutdown();
        }
        if self.rng.chance(100) {
            let seconds = *self.rng.pick(&[-864_000, -600, -30, 30, 600, 864_000]);
            self.clock.step_wall(seconds);
        }
        let Some(target) = self.target() else { return self.apply_new() };
        match self.rng.below(0..100) {
            0..25 => self.apply_new(),
            25..55 => self.apply_changed(&target),
            55..75 => {
                let grace = self.some_grace();
                self.ask(What::Delete { pod: target, grace })
            }
            75..87 => {
                let container = self.rng.chance(500).then(|| ContainerName::new("main").expect("a label"));
                self.ask(What::Restart { pod: target, container })
            }
            87..89 => self.hear(Input::Missing { pod: target }),
            89..91 => {
                let halted = self.intents.pods.get(&target).is_some_and(|intent| intent.halted != Some(true));
                self.ask(What::Halt { pod: target, halted })
            }
            91..95 => {
                let status = *self.rng.pick(&[ConditionStatus::True, ConditionStatus::True, ConditionStatus::False]);
                self.ask(What::Gate { pod: target, status })
            }
            95..97 => self.measure(target),
            97..99 => self.take_survey(6),
            _ => {
                if self.core.is_some() {
                    self.kill_daemon();
                }
                Ok(())
            }
        }
    }

    /// Disk space is measured.
    fn measure(&mut self, pod: PodUid) -> Result<(), Violation> {
        let used = Bytes(*self.rng.pick(&[0, 1 << 18, 1 << 21]));
        let containers = ["main", "side", "init"].map(|name| (ContainerName::new(name).expect("a label"), used));
        let used = StorageUse { containers: containers.into(), ..StorageUse::default() };
        self.hear(Input::Measured { pod, used })
    }

    fn target(&mut self) -> Option<PodUid> {
        let pods: Vec<_> = self.intents.pods.keys().cloned().collect();
        if pods.is_empty() { None } else { Some(self.rng.pick(&pods).clone()) }
    }

    fn some_grace(&mut self) -> Option<std::time::Duration> {
        self.rng.chance(300).then(|| std::time::Duration::from_secs(*self.rng.pick(&[0, 2, 20, 100])))
    }

    fn apply_new(&mut self) -> Result<(), Violation> {
        self.next_number += 1;
        let pod = workload::new_pod(&mut self.rng, self.next_number);
        self.ask_for(pod)
    }

    /// With the word of a policy that is edited now and then.
    fn ask_for(&mut self, pod: Pod) -> Result<(), Violation> {
        let quota = |most| Quota {
            rule: "few".to_owned(),
            most,
            sources: vec![Source::File],
            namespaces: vec![Pattern::new("*").expect("a pattern")],
        };
        let permit = match self.rng.chance(150) {
            true => Permit::Refused { message: "no rule allows it".to_owned() },
            false => Permit::Granted(self.most.map(quota).into_iter().filter(|_| pod.source == Source::File).collect()),
        };
        self.ask(What::Apply(Box::new(pod), permit))
    }

    fn apply_changed(&mut self, uid: &PodUid) -> Result<(), Violation> {
        let Some(present) = self.intents.pods.get(uid).map(|intent| intent.spec.clone()) else { return Ok(()) };
        let mut pod = match self.rng.chance(100) {
            true => present,
            false => workload::changed(&mut self.rng, &present),
        };
        // What a source proposes for a pod that lives already is of no account.
        self.next_number += 1;
        pod.uid = PodUid::new(format!("uid-{}", self.next_number)).expect("letters, digits and a dash");
        self.ask_for(pod)
    }

    /// The power goes and comes back; `orderly` after all disks have been written.
    pub(crate) fn restart_host(&mut self, orderly: bool) {
        self.note(&Entry::Host("the power goes"));
        self.kill_daemon();
        self.host.reboot();
        self.goes_down = None;
        if !orderly {
            self.disk.power_cut(&mut self.rng);
        }
        self.clock.reboot();
        // What was begun in the last moments may be forgotten.
        let known = |(key, attempt): &(ContainerKey, Attempt)| {
            let record = self.disk.records().find(|record| record.pod.uid == key.pod);
            record.and_then(|record| record.containers.get(&key.container)?.attempt) >= Some(*attempt)
        };
        let spent = std::mem::take(&mut self.spent);
        self.spent = spent.into_iter().filter(known).collect();
        self.replaced.clear();
        self.evicted.clear();
        self.cpus = barepod_core::CpuTable::default();
        self.drop_host_events();
        self.summary.reboots += 1;
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn calm_down(&mut self) -> Result<(), Violation> {
        self.note(&Entry::Host("all faults cease"));
        self.faults.mood = Mood::Calm;
        self.end_turns();
        // Others give back what they have: those who waited for that go on.
        self.others = Booking::default();
        self.hear(Input::Booked { others: Box::default() })?;
        self.cancel_shutdown()
    }
}
