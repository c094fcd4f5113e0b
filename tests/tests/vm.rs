//! The VM harness itself: what later tests on cgroup v2 and systemd rely on.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use barepod_tests::vm::{Outcome, Recipe, Vm, VmError};

/// Of text and of every byte value, and longer than any buffer on the way.
const LENGTH: usize = 5 << 20;

#[test]
fn a_guest_boots_with_systemd_and_all_controllers_of_cgroup_v2() -> Result<(), VmError> {
    let vm = Vm::boot(&Recipe::debian_12())?;
    println!("booted in {:?}", vm.booted_in());

    let state = vm.run(["systemctl", "is-system-running", "--wait"])?.text();
    let init = vm.get("/proc/1/comm")?;
    let mount = vm.check(["findmnt", "--noheadings", "--output", "FSTYPE", "/sys/fs/cgroup"])?;
    let controllers = vm.get("/sys/fs/cgroup/cgroup.controllers")?;

    assert_eq!(state, "running\n");
    assert_eq!(init, b"systemd\n");
    assert_eq!(mount, "cgroup2");
    let controllers = String::from_utf8(controllers).unwrap();
    for wanted in ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"] {
        assert!(controllers.split_whitespace().any(|name| name == wanted), "{wanted} in {controllers:?}");
    }
    somebody_may_sit_at_the_console(vm.sit_down()?, vm.console()).unwrap();
    vm.shutdown()
}

fn somebody_may_sit_at_the_console(mut seat: UnixStream, kept: &Path) -> io::Result<()> {
    seat.set_read_timeout(Some(Duration::from_secs(120)))?;
    let (mut shown, mut buffer) = (String::new(), [0; 4096]);
    let mut until = |seat: &mut UnixStream, wanted: &str| {
        while !shown.contains(wanted) {
            let length = seat.read(&mut buffer).map_err(|error| io::Error::other(format!("{error}; {shown}")))?;
            shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        io::Result::Ok(())
    };
    seat.write_all(b"\r")?;
    until(&mut seat, "login:")?;
    seat.write_all(b"root\r")?;
    until(&mut seat, "root@guest")?;
    seat.write_all(b"echo sea$((1+1))ted\r")?;
    until(&mut seat, "sea2ted")?;
    let kept = std::fs::read_to_string(kept)?;
    assert!(kept.contains("sea2ted"), "all of it is in the console's file: {kept}");
    Ok(())
}

#[test]
fn commands_and_files_pass_into_the_guest_and_back_unharmed() -> Result<(), VmError> {
    let vm = Vm::boot(&Recipe::debian_12())?;

    exit_codes_signals_and_both_outputs_are_told_apart(&vm)?;
    five_megabytes_come_back_as_they_went(&vm)?;
    a_program_that_hangs_ends_at_its_limit_with_its_children(&vm)?;
    commands_run_side_by_side(&vm)?;
    what_fails_says_what(&vm);

    vm.shutdown()
}

fn exit_codes_signals_and_both_outputs_are_told_apart(vm: &Vm) -> Result<(), VmError> {
    let both = vm.command(["sh", "-c", "cat; echo $WORD >&2; exit 42"]).stdin("in").env("WORD", "err").run()?;
    let killed = vm.run(["sh", "-c", "kill -9 $$"])?;

    assert_eq!((both.outcome, &both.stdout[..], &both.stderr[..]), (Outcome::Code(42), &b"in"[..], &b"err\n"[..]));
    assert_eq!(killed.outcome, Outcome::Signal(9));
    Ok(())
}

fn five_megabytes_come_back_as_they_went(vm: &Vm) -> Result<(), VmError> {
    let bytes: Vec<u8> = (0..LENGTH).map(|index| (index ^ (index >> 8)) as u8).collect();
    let begin = Instant::now();

    vm.put("/srv/new/place", bytes.clone(), 0o640)?;
    let mode = vm.check(["stat", "--format", "%a %s", "/srv/new/place"])?;
    let file = vm.get("/srv/new/place")?;
    let piped = vm.command(["cat"]).stdin(bytes.clone()).run()?;

    println!("four times {LENGTH} bytes in {:?}", begin.elapsed());
    assert_eq!(mode, format!("640 {LENGTH}"));
    // Not assert_eq: five megabytes of differing bytes help nobody.
    assert!(file == bytes, "a file of {} bytes came back as {}", bytes.len(), file.len());
    assert!(piped.stdout == bytes, "{} bytes through a pipe came back as {}", bytes.len(), piped.stdout.len());
    Ok(())
}

fn a_program_that_hangs_ends_at_its_limit_with_its_children(vm: &Vm) -> Result<(), VmError> {
    let begin = Instant::now();

    let hung = vm.command(["sh", "-c", "echo begun; sleep 98765 & wait"]).limit(Duration::from_secs(1)).run()?;

    assert_eq!((hung.outcome, hung.text().as_str()), (Outcome::TimedOut, "begun\n"));
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    let children = vm.run(["pgrep", "--full", "sleep 98765"])?;
    assert_eq!(children.outcome, Outcome::Code(1), "the child of the hung program is gone: {}", children.text());
    Ok(())
}

fn commands_run_side_by_side(vm: &Vm) -> Result<(), VmError> {
    // Each waits for the file that the other one makes.
    let meet = |mine: &str, other: &str| {
        let script = format!("touch /run/{mine}; until test -e /run/{other}; do sleep 0.1; done");
        vm.check(["sh".to_owned(), "-c".to_owned(), script])
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| meet("a", "b"));
        let second = scope.spawn(|| meet("b", "a"));

        first.join().expect("it does not panic")?;
        second.join().expect("it does not panic")?;
        Ok(())
    })
}

fn what_fails_says_what(vm: &Vm) {
    let missing = vm.get("/no/such/file").expect_err("it cannot succeed").to_string();
    let unknown = vm.run(["no-such-program"]).expect_err("it cannot succeed").to_string();
    let failed = vm.check(["sh", "-c", "echo because >&2; exit 3"]).expect_err("it cannot succeed").to_string();

    assert!(missing.contains("No such file"), "{missing}");
    assert!(unknown.contains("no-such-program"), "{unknown}");
    assert!(failed.contains("Code(3)") && failed.contains("because"), "{failed}");
    assert!(failed.contains(&vm.console().display().to_string()), "an error names the console: {failed}");
}

#[test]
fn a_power_cut_loses_what_was_not_synced_and_the_console_of_a_failure_is_kept() -> Result<(), VmError> {
    let mut vm = Vm::boot(&Recipe::debian_12())?;
    let boot = vm.get("/proc/sys/kernel/random/boot_id")?;
    vm.check(["sh", "-c", "echo kept >/srv/synced && sync /srv/synced /srv"])?;
    vm.check(["sh", "-c", "echo lost >/srv/unsynced"])?;

    vm.power_cut()?;

    assert_ne!(vm.get("/proc/sys/kernel/random/boot_id")?, boot);
    assert_eq!(vm.get("/srv/synced")?, b"kept\n");
    assert_ne!(vm.run(["cat", "/srv/unsynced"])?.stdout, b"lost\n");

    let console = vm.console().to_owned();
    // Nobody is left who could answer.
    let silent = vm
        .command(["sh", "-c", "kill -STOP $PPID; sleep 9"])
        .limit(Duration::from_secs(5))
        .run()
        .unwrap_err()
        .to_string();
    assert!(silent.contains("no answer"), "{silent}");
    // A failed test drops its guest like this.
    drop(vm);
    let text = std::fs::read_to_string(&console).unwrap();
    assert_eq!(text.matches("Linux version").count(), 2, "both boots are in {}", console.display());
    for what in ["VM status: running", "sysrq: Show backtrace of all active CPUs", "sysrq: Show Blocked State"] {
        assert!(text.contains(what), "{what:?} of a guest that does not answer: {text}");
    }
    std::fs::remove_file(console).unwrap();
    Ok(())
}
