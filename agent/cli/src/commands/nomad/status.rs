//! `barepod nomad status`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use barepod_api::v1;
use barepod_registrar::Settings;
use barepod_registrar::status::{Host, Nomad, Status, status};
use jiff::Timestamp;

use crate::output::print;
use crate::report::Report;

pub(super) async fn show(root: &Path, socket: &Path) -> Result<ExitCode> {
    let shown = render(&status(root, socket).await?, Timestamp::now());
    print(&shown.text)?;
    Ok(if shown.is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn render(status: &Status, now: Timestamp) -> Report {
    let mut shown = Report::default();
    let Some(settings) = &status.settings else {
        shown.nothing("this host was not set up for a Nomad cluster; `barepod nomad setup` does that");
        if let Ok(host) = &status.host
            && is_something(&host.booked)
        {
            tell_booked(&mut shown, host);
            shown.todo("nobody keeps that up to date: `barepod nomad reset` gives it back");
        }
        return shown;
    };
    tell_settings(&mut shown, settings);
    match &status.nomad {
        Some(Ok(nomad)) => tell_nomad(&mut shown, nomad, now),
        Some(Err(why)) => {
            shown.line("Node", "Nomad does not say");
            shown.todo(why);
        }
        None => {}
    }
    match &status.host {
        Ok(host) => {
            tell_pods(&mut shown, host);
            tell_booked(&mut shown, host);
        }
        Err(why) => {
            shown.line("Pods", "barepodd does not say");
            shown.todo(why);
        }
    }
    shown
}

fn tell_settings(shown: &mut Report, settings: &Settings) {
    shown.line("Agent", &settings.address);
    shown.line("Namespace", &settings.namespace);
}

fn tell_nomad(shown: &mut Report, nomad: &Nomad, now: Timestamp) {
    shown.line("Node", &format!("{} ({}), {}, {}", nomad.node, nomad.name, nomad.status, nomad.eligibility));
    if nomad.eligibility != "eligible" {
        shown.todo("nothing more is counted until it is: nomad node eligibility -enable -self");
    }
    match &nomad.driver {
        Some((true, _)) => shown.line("Driver", "healthy"),
        Some((false, why)) => {
            shown.line("Driver", "not healthy");
            shown.todo(why);
        }
        None => {
            shown.line("Driver", "not known to the agent");
            shown.todo("systemctl restart nomad");
        }
    }
    if let Some(end) = nomad.token_end {
        shown.line("Token", &format!("until {}", end.strftime("%Y-%m-%d %H:%M:%S UTC")));
        if end <= now {
            shown.todo("it is of no use any more: `barepod nomad setup` gets another one");
        }
    }
    shown.line("Jobs", &format!("{} that count pods of this host", nomad.jobs));
}

fn tell_pods(shown: &mut Report, host: &Host) {
    let counted = host.pods.values().flatten().filter(|told| told.is_counted).count();
    shown.line("Pods", &format!("{counted} of {} counted", host.pods.len()));
    for ((namespace, name), told) in &host.pods {
        match told {
            Some(told) if told.is_counted => {}
            Some(told) => shown.todo(&format!("{namespace}/{name}: {}", told.message)),
            None => shown.todo(&format!("{namespace}/{name}: nobody has looked yet; does barepod-bridge run?")),
        }
    }
}

fn is_something(booked: &v1::Booking) -> bool {
    *booked != v1::Booking { amounts: booked.amounts.map(|_| v1::Amounts::default()), ..v1::Booking::default() }
}

/// What pods do not get.
fn tell_booked(shown: &mut Report, host: &Host) {
    let amounts = host.booked.amounts.unwrap_or_default();
    let mut parts = vec![format!("CPU {}m", amounts.cpu_milli), format!("memory {}Mi", amounts.memory >> 20)];
    if !host.booked.ports.is_empty() {
        let ports: Vec<_> = host.booked.ports.iter().map(u32::to_string).collect();
        parts.push(format!("ports {}", ports.join(" ")));
    }
    if !host.booked.cpus.is_empty() {
        let cpus: Vec<_> = host.booked.cpus.iter().map(u32::to_string).collect();
        parts.push(format!("CPUs {} for themselves", cpus.join(" ")));
    }
    shown.line("Nomad's own tasks", &parts.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;
    use barepod_registrar::wanted::Told;

    fn host() -> Host {
        let told = |name: &str, told| (("default".to_owned(), name.to_owned()), told);
        let amounts = v1::Amounts { cpu_milli: 500, memory: 300 << 20, ..v1::Amounts::default() };
        Host {
            pods: [
                told("pg", Some(Told::counted("barepod-0a1b2c3d-default.pg"))),
                told("large", Some(Told::uncounted("a job for it would evict default/web".to_owned()))),
                told("new", None),
            ]
            .into(),
            booked: v1::Booking { amounts: Some(amounts), ports: vec![80, 443], cpus: vec![3] },
        }
    }

    fn nomad() -> Nomad {
        Nomad {
            node: "0a1b2c3d".to_owned(),
            name: "host-1".to_owned(),
            status: "ready".to_owned(),
            eligibility: "ineligible".to_owned(),
            driver: Some((true, String::new())),
            token_end: Some(Timestamp::UNIX_EPOCH),
            jobs: 1,
        }
    }

    #[test]
    fn what_nomad_and_the_host_say_of_each_other_is_shown_with_what_is_to_be_done() {
        let status = Status { settings: Some(Settings::default()), nomad: Some(Ok(nomad())), host: Ok(host()) };
        let shown = render(&status, Timestamp::UNIX_EPOCH);
        assert!(!shown.is_well);
        insta::assert_snapshot!(shown.text, @r"
        Agent:               http://127.0.0.1:4646
        Namespace:           barepod
        Node:                0a1b2c3d (host-1), ready, ineligible
                             nothing more is counted until it is: nomad node eligibility -enable -self
        Driver:              healthy
        Token:               until 1970-01-01 00:00:00 UTC
                             it is of no use any more: `barepod nomad setup` gets another one
        Jobs:                1 that count pods of this host
        Pods:                1 of 3 counted
                             default/large: a job for it would evict default/web
                             default/new: nobody has looked yet; does barepod-bridge run?
        Nomad's own tasks:   CPU 500m, memory 300Mi, ports 80 443, CPUs 3 for themselves
        ");
    }

    #[test]
    fn all_is_well_where_all_is_counted() {
        let well = Nomad { eligibility: "eligible".to_owned(), token_end: None, ..nomad() };
        let mut host = host();
        host.pods.retain(|_, told| told.as_ref().is_some_and(|told| told.is_counted));
        let status = Status { settings: Some(Settings::default()), nomad: Some(Ok(well)), host: Ok(host) };
        let shown = render(&status, Timestamp::UNIX_EPOCH);
        assert!(shown.is_well, "{}", shown.text);
    }

    #[test]
    fn what_is_booked_for_a_cluster_that_is_gone_is_said() {
        let gone = Status { settings: None, nomad: None, host: Ok(host()) };
        let shown = render(&gone, Timestamp::UNIX_EPOCH);
        assert!(shown.text.contains("`barepod nomad reset` gives it back"), "{}", shown.text);
        let never = Status { settings: None, nomad: None, host: Ok(Host::default()) };
        assert!(!render(&never, Timestamp::UNIX_EPOCH).text.contains("reset"));
    }

    #[test]
    fn who_does_not_answer_is_named() {
        let silent = |what: &str| Err(what.to_owned());
        let status = Status {
            settings: Some(Settings::default()),
            nomad: Some(Err("no agent".to_owned())),
            host: silent("no daemon").map(|(): ()| Host::default()),
        };
        let shown = render(&status, Timestamp::UNIX_EPOCH);
        assert!(shown.text.contains("no agent") && shown.text.contains("no daemon"), "{}", shown.text);
    }
}
