//! Output on its way into the log: complete, in order, never torn, whatever happens to disks and shims.

#![expect(clippy::unwrap_used, reason = "in a test, an error is a failure")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use barepod_shim::layout;
use barepod_shim::wire::exit::How;
use barepod_shim::wire::log::WhenRefused;
use barepod_shim::wire::{Reexec, Start, event, request};
use support::{Host, PATIENCE, until};

/// Writes numbered lines of 100 bytes, one write(2) each, `burst` of them between pauses of a millisecond (0: no pauses).
fn writer(host: &Host, attempt: u32, lines: u32, burst: u32) -> Start {
    let program = format!(
        "use Time::HiRes qw(usleep); my $p = 'x' x 84; for my $i (1..{lines}) {{ \
         syswrite(STDOUT, sprintf(\"line %09d %s\\n\", $i, $p)) or exit 9; \
         usleep(1000) if {burst} && $i % {burst} == 0 }} exit 17"
    );
    let mut start = host.start(attempt, "");
    start.argv = vec!["perl".into(), "-e".into(), program];
    start
}

/// Numbers of the lines in a log, which holds nothing else.
fn numbers(host: &Host, attempt: u32) -> Vec<u32> {
    host.lines(attempt)
        .iter()
        .map(|line| {
            assert_eq!(line.len(), 99, "torn or joined: {line:?}");
            line[5..14].parse().unwrap()
        })
        .collect()
}

fn assert_complete(host: &Host, attempt: u32, lines: u32) {
    let numbers = numbers(host, attempt);
    let wrong = numbers.iter().zip(1..).position(|(&number, expected)| number != expected);
    assert_eq!(wrong, None, "around {:?}", wrong.map(|at| &numbers[at.saturating_sub(2)..(at + 2).min(numbers.len())]));
    assert_eq!(numbers.len(), lines as usize);
}

#[test]
fn every_line_is_there_in_order_over_rotations() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let mut start = writer(&host, 1, 100_000, 0);
    let log = start.log.as_mut().unwrap();
    (log.max_bytes, log.max_files) = (1 << 20, 100);

    assert_eq!(shim.run(start).how, Some(How::Code(17)));

    assert_complete(&host, 1, 100_000);
    let rotated = barepod_logs::files::rotated(&host.logs, 1).unwrap();
    assert!(rotated.len() >= 12, "{} files", rotated.len());
    assert!(rotated.iter().all(|file| fs::metadata(file).unwrap().len() <= 1 << 20));
    let stats = shim.stats();
    assert_eq!((stats.lines_in, stats.lines_out, stats.lines_dropped), (100_000, 100_000, 0));
    assert_eq!((stats.bytes_in, stats.bytes_out, stats.rotations), (10_000_000, 9_900_000, rotated.len() as u64));
}

#[test]
fn old_files_go_and_rotations_keep_their_spacing() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let mut start = writer(&host, 1, 50_000, 0);
    let log = start.log.as_mut().unwrap();
    (log.max_bytes, log.max_files) = (100_000, 3);
    shim.run(start);
    let mut start = writer(&host, 2, 50_000, 0);
    let log = start.log.as_mut().unwrap();
    (log.max_bytes, log.max_files, log.min_rotate_ns) = (100_000, 3, 3_600_000_000_000);
    shim.run(start);

    assert_eq!(barepod_logs::files::rotated(&host.logs, 1).unwrap().len(), 2);
    assert!(barepod_logs::files::rotated(&host.logs, 2).unwrap().is_empty());
    assert_complete(&host, 2, 50_000);
}

#[test]
fn long_lines_are_cut_and_the_end_needs_no_line_end() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();

    shim.run(host.start(1, "perl -e 'print \"y\" x 40000, \"\\nshort\\n\\nrest\"'"));

    let log: Vec<(String, usize)> = host.log(1).into_iter().map(|(_, tag, content)| (tag, content.len())).collect();
    let expected = [("P", 16384), ("P", 16384), ("F", 7232), ("F", 5), ("F", 0), ("P", 4)];
    assert_eq!(log, expected.map(|(tag, length)| (tag.to_owned(), length)));
}

#[test]
fn a_service_lives_without_a_shim_and_its_exit_code_is_known_to_the_next() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let go = host.scratch().join("go");
    let script =
        format!("echo before; while [ ! -e {} ]; do echo waiting; sleep 0.01; done; echo after; exit 23", go.display());
    let started = shim.start(host.start(1, &script));
    until("it writes", || host.lines(1).contains(&"before".to_owned()).then_some(()));

    host.kill_shim();
    let mut shim = host.shim();
    let attempt = shim.welcome.current.clone().unwrap();
    assert_eq!((attempt.pid, attempt.start_ticks, attempt.adopted), (started.pid, started.start_ticks, true));
    fs::write(&go, "").unwrap();
    let exit = shim.exited();
    shim.emptied();

    let known = Some(How::Code(23));
    assert!(exit.how == known || (kernel_before(6, 15) && exit.how == Some(How::Unknown(true))), "{exit:?}");
    let lines = host.lines(1);
    assert_eq!((lines[0].as_str(), lines[lines.len() - 1].as_str()), ("before", "after"));
    assert!(lines[1..lines.len() - 1].iter().all(|line| line == "waiting"));
    assert_eq!(shim.run(host.start(2, "exit 1")).how, Some(How::Code(1)));
}

fn kernel_before(major: u32, minor: u32) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < (major, minor)
}

#[test]
fn shims_killed_under_load_lose_double_and_tear_no_line() {
    killed_shims_under(host_or_skip!(), 40_000, 20);
}

#[test]
fn shims_killed_at_full_speed_lose_double_and_tear_no_line() {
    killed_shims_under(host_or_skip!(), 400_000, 0);
}

fn killed_shims_under(mut host: Host, lines: u32, burst: u32) {
    let mut shim = host.shim();
    let mut start = writer(&host, 1, lines, burst);
    // it lives on at the end: what it wrote last must be read by somebody
    start.argv[2] = start.argv[2].replace("exit 17", "sleep 1000");
    let log = start.log.as_mut().unwrap();
    (log.max_bytes, log.max_files) = (lines as u64 * 5, 1000);
    let started = shim.start(start);

    let mut kills = 0;
    let current = barepod_logs::files::current(&host.logs, 1);
    let last = format!("line {lines:09} ");
    loop {
        let size = fs::metadata(&current).map_or(0, |file| file.len());
        let moved = until("the log grows, or all is there", || {
            let now = fs::metadata(&current).map_or(0, |file| file.len());
            let seen = (now > size + 5_000 || now < size).then_some(true);
            seen.or_else(|| fs::read_to_string(&current).unwrap_or_default().contains(&last).then_some(false))
        });
        if !moved {
            break;
        }
        host.kill_shim();
        host.spawn();
        kills += 1;
        let attempt = host.connect().welcome.current.unwrap();
        assert_eq!((attempt.pid, attempt.start_ticks), (started.pid, started.start_ticks));
    }

    host.connect().kill(1);
    until("nothing is left", || host.connect().welcome.current.filter(|attempt| attempt.empty));
    eprintln!("{kills} kills");
    assert!(kills >= 20, "{kills} kills");
    assert_complete(&host, 1, lines);
}

#[test]
fn a_reexec_under_load_loses_nothing_and_still_knows_the_exit_code() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let started = shim.start(writer(&host, 1, 40_000, 20));
    let mut exits = Vec::new();

    let mut times = 0;
    while exits.is_empty() {
        shim.send(request::Request::Reexec(Reexec { path: support::binary() }));
        loop {
            match shim.event() {
                event::Event::Welcome(welcome) => {
                    let attempt = welcome.current.unwrap();
                    assert_eq!((attempt.pid, attempt.adopted, welcome.shim_pid), (started.pid, false, host.shim_pid()));
                    times += 1;
                    break;
                }
                event::Event::Exited(exited) => exits.push(exited.exit.unwrap()),
                event::Event::Emptied(_) => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    until("nothing is left", || host.connect().welcome.current.filter(|attempt| attempt.empty));
    assert!(times > 10, "{times} times");
    assert_eq!(exits[0].how, Some(How::Code(17)));
    assert_complete(&host, 1, 40_000);
}

#[test]
fn a_reexec_that_fails_is_refused_and_changes_nothing() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    shim.start(host.start(1, "sleep 0.2; exit 6"));

    shim.send(request::Request::Reexec(Reexec { path: "/no/such/shim".into() }));

    let refused = shim.refused();
    assert!(refused.request == "Reexec" && refused.message.contains("/no/such/shim"), "{refused:?}");
    assert_eq!(shim.exited().how, Some(How::Code(6)));
}

#[test]
fn a_shim_that_died_around_its_clone_is_replaced_by_one_that_finds_the_process() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let started = shim.start(host.start(1, "sleep 1000 & echo $$; wait"));
    host.kill_shim();
    // the record as it stands before the clone
    let mut record = barepod_shim::record::read_attempt(&host.dir).unwrap().unwrap();
    let attempt = record.attempt.as_mut().unwrap();
    (attempt.pid, attempt.start_ticks, attempt.started) = (0, 0, None);
    barepod_shim::record::write_attempt(&host.dir, &record).unwrap();

    let mut shim = host.shim();

    let attempt = shim.welcome.current.clone().unwrap();
    assert_eq!((attempt.pid, attempt.start_ticks), (started.pid, started.start_ticks));
    shim.kill(1);
    shim.exited();
    shim.emptied();
}

#[test]
fn what_ended_while_no_shim_lived_is_unknown_and_its_rest_is_killed() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let started = shim.start(host.start(1, "echo early; sleep 1000 & exec sleep 1001"));
    until("it has written", || host.lines(1).first().cloned());
    host.kill_shim();
    let pidfd = barepod_sys::pidfd::open(started.pid).unwrap();
    barepod_sys::pidfd::send_signal(std::os::fd::AsFd::as_fd(&pidfd), 9).unwrap();
    until("it is gone", || (!Path::new(&format!("/proc/{}", started.pid)).exists()).then_some(()));

    host.spawn();
    let attempt = until("nothing is left", || host.connect().welcome.current.filter(|attempt| attempt.empty));

    assert_eq!(attempt.exit.unwrap().how, Some(How::Unknown(true)));
    assert_eq!(
        host.lines(1),
        ["early", "barepod: output may be missing here: the service ended while no shim was there"]
    );
    assert_eq!(fs::read_to_string(host.leaf(1).join("cgroup.procs")).unwrap(), "");
}

#[test]
fn an_attempt_of_another_boot_is_over() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    shim.start(host.start(1, "sleep 1000"));
    host.kill_shim();
    let mut record = barepod_shim::record::read_attempt(&host.dir).unwrap().unwrap();
    record.attempt.as_mut().unwrap().boot_id = "another".into();
    barepod_shim::record::write_attempt(&host.dir, &record).unwrap();

    let shim = host.shim();

    let attempt = shim.welcome.current.clone().unwrap();
    assert_eq!(attempt.exit.unwrap().how, Some(How::Unknown(true)));
    assert!(attempt.empty);
}

#[test]
fn a_lost_journal_is_marked_in_the_log_and_a_torn_line_is_removed() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    shim.start(host.start(0, "echo one; sleep 1000"));
    until("it has written", || host.lines(0).first().cloned());
    host.kill_shim();
    fs::remove_file(host.dir.join(layout::JOURNAL)).unwrap();
    let current = barepod_logs::files::current(&host.logs, 0);
    let text = fs::read_to_string(&current).unwrap();
    fs::write(&current, format!("{text}2026-01-01T00:00:0")).unwrap();

    let _shim = host.shim();

    let lines = until("the mark", || Some(host.lines(0)).filter(|lines| lines.len() > 1));
    assert_eq!(lines[0], "one");
    assert!(lines[1].starts_with("barepod: output may be missing here"), "{lines:?}");
}

/// A small disk of its own under the logs.
fn small_disk(host: &Host) {
    fs::create_dir_all(&host.logs).unwrap();
    let target = barepod_sys::path::refer(&host.logs).unwrap();
    let target = std::os::fd::AsFd::as_fd(&target);
    barepod_sys::mount::file_system("tmpfs", "small", target, Default::default(), "size=256k").unwrap();
}

#[test]
fn a_full_disk_costs_the_oldest_lines_which_are_counted_and_marked() {
    let mut host = host_or_skip!();
    small_disk(&host);
    let filler = host.logs.join("filler");
    let mut shim = host.shim();
    let go = host.scratch().join("go");
    let script = format!(
        "for i in $(seq 1 9); do echo early $i; done; while [ ! -e {go} ]; do sleep 0.01; done; \
         seq -f 'line %.0f' 1 20000; while [ -e {go} ]; do sleep 0.01; done; echo last; sleep 1000",
        go = go.display()
    );
    shim.start(host.start(1, &script));
    until("the first lines", || (host.lines(1).len() == 9).then_some(()));

    Command::new("dd").args(["if=/dev/zero", "bs=4k"]).arg(format!("of={}", filler.display())).output().unwrap();
    fs::write(&go, "").unwrap();
    let refused =
        until("the disk refuses", || Some(shim.stats()).filter(|stats| stats.refusing && stats.lines_dropped > 10_000));
    fs::remove_file(&filler).unwrap();
    until("it is written again", || (!shim.stats().refusing).then_some(()));
    fs::remove_file(&go).unwrap();
    until("the last line", || host.lines(1).contains(&"last".to_owned()).then_some(()));

    let lines = host.lines(1);
    let mark = lines.iter().position(|line| line.starts_with("barepod: ")).unwrap();
    let stats = shim.stats();
    assert!(lines[mark].ends_with("dropped: No space left on device"), "{}", lines[mark]);
    assert_eq!(lines.iter().filter(|line| line.starts_with("barepod: ")).count(), 1);
    assert!(lines[mark].starts_with(&format!("barepod: {} lines (", stats.lines_dropped)), "{} {stats:?}", lines[mark]);
    assert!(stats.lines_dropped >= refused.lines_dropped);
    assert_eq!(stats.lines_in, 20_010);
    assert_eq!(stats.lines_out + stats.lines_dropped, 20_010);
    // what is missing lies in one piece at the mark
    let before: Vec<_> = lines[9..mark].to_vec();
    let first = 1 + before.len() as u64 + stats.lines_dropped;
    assert_eq!(lines[mark + 1], format!("line {first}"));
    assert_eq!(lines[lines.len() - 2], "line 20000");
}

/// A service that has written all it has to say while the disk was full.
fn blocked(host: &mut Host) -> (support::Shim, std::path::PathBuf) {
    small_disk(host);
    let filler = host.logs.join("filler");
    Command::new("dd").args(["if=/dev/zero", "bs=4k"]).arg(format!("of={}", filler.display())).output().unwrap();
    let mut shim = host.shim();
    let mut start = host.start(1, "seq -f 'line %.0f' 1 4000; echo done");
    start.log.as_mut().unwrap().when_refused = WhenRefused::Block.into();
    shim.start(start);
    shim.exited();
    assert!(shim.stats().refusing);
    (shim, filler)
}

#[test]
fn with_block_everything_waits_for_the_disk_and_nothing_is_lost() {
    let mut host = host_or_skip!();
    let (mut shim, filler) = blocked(&mut host);
    // longer than output is waited for otherwise
    std::thread::sleep(std::time::Duration::from_millis(2500));

    fs::remove_file(&filler).unwrap();
    shim.emptied();

    let expected: Vec<String> = (1..=4000).map(|i| format!("line {i}")).chain(["done".to_owned()]).collect();
    assert_eq!(host.lines(1), expected);
}

#[test]
fn with_block_a_kill_ends_the_waiting_and_what_is_lost_is_counted_and_marked_later() {
    let mut host = host_or_skip!();
    let (mut shim, filler) = blocked(&mut host);

    shim.kill(1);
    shim.emptied();
    let stats = shim.stats();
    fs::remove_file(&filler).unwrap();
    shim.run(host.start(2, "echo next"));

    assert_eq!((stats.lines_in, stats.lines_out + stats.lines_dropped), (4001, 4001));
    let mark = format!("barepod: {} lines (", stats.lines_dropped);
    let lines = host.lines(2);
    assert!(lines[0].starts_with(&mark) && lines[1] == "next", "{lines:?}");
}

#[test]
fn output_that_somebody_else_still_holds_does_not_hold_up_the_end() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let outside = host.start(1, "");
    let _held = {
        shim.start(host.start(1, "echo hello; sleep 0.3; exit 0"));
        fs::File::options().write(true).read(true).open(layout::stdout(&host.dir, outside.attempt)).unwrap()
    };
    let before = std::time::Instant::now();

    shim.exited();
    shim.emptied();

    assert!(before.elapsed() < PATIENCE / 2);
    assert_eq!(host.lines(1), ["hello"]);
}

#[test]
fn a_terminal_is_one_stream_of_the_log() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let mut start = host
        .start(1, "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo yes; echo error >&2; tty < /dev/tty > /dev/null && exit 8");
    start.tty = true;

    assert_eq!(shim.run(start).how, Some(How::Code(8)));

    let log: Vec<_> = host.log(1).into_iter().map(|(stream, _, content)| (stream, content)).collect();
    assert_eq!(log, [("stdout".to_owned(), "yes\r".to_owned()), ("stdout".to_owned(), "error\r".to_owned())]);
}
