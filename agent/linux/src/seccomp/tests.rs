//! Programs are carried out here as the kernel does it, and held against what profiles say. That the kernel takes them is
//! shown end to end.

use super::architecture::Architecture;
use super::program::{self, Comparison, Condition, Instruction, Operator, Rule, Table};
use super::*;

const ALLOW: u32 = 0x7fff_0000;
const FORBID: u32 = 0x0005_0001;
const NO_SUCH_CALL: u32 = 0x0005_0026;

/// What the kernel shows to a filter.
#[derive(Debug, Clone, Copy)]
struct Call {
    machine: u32,
    number: u32,
    arguments: [u64; 6],
}

/// What a program answers.
fn carry_out(program: &[Instruction], call: &Call) -> u32 {
    let (mut at, mut register) = (0, 0_u32);
    loop {
        let Instruction { code, yes, no, operand } = program[at];
        at += 1;
        let skip = |met: bool| usize::from(if met { yes } else { no });
        match code {
            0x20 => register = word(call, operand),
            0x54 => register &= operand,
            0x05 => at += operand as usize,
            0x15 => at += skip(register == operand),
            0x25 => at += skip(register > operand),
            0x35 => at += skip(register >= operand),
            0x06 => return operand,
            other => panic!("instruction {other:#x} is not used here"),
        }
    }
}

fn word(call: &Call, offset: u32) -> u32 {
    match offset {
        0 => call.number,
        4 => call.machine,
        _ => {
            let argument = call.arguments[(offset as usize - 16) / 8];
            if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
        }
    }
}

fn decoded(filter: &Filter) -> Vec<Instruction> {
    let one = |bytes: &[u8]| Instruction {
        code: u16::from_ne_bytes([bytes[0], bytes[1]]),
        yes: bytes[2],
        no: bytes[3],
        operand: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
    };
    filter.program.chunks_exact(8).map(one).collect()
}

const NOTHING: Situation<'static> = Situation { capabilities: &[], kernel: (6, 1) };

/// The answer of a profile for a call of this machine by name.
struct Answers(Vec<Instruction>);

impl Answers {
    fn of(text: &str, situation: &Situation<'_>) -> Self {
        Self(decoded(&Profile::parse(Path::new("test.json"), text).unwrap().compile(situation).unwrap()))
    }

    fn default(situation: &Situation<'_>) -> Self {
        Self(decoded(&runtime_default(situation).unwrap()))
    }

    fn to(&self, name: &str, arguments: &[u64]) -> u32 {
        let own = Architecture::here()[0];
        let number = own.number(name).unwrap_or_else(|| panic!("{name}"));
        self.to_number(own, number, arguments)
    }

    fn to_number(&self, architecture: Architecture, number: u32, given: &[u64]) -> u32 {
        let mut arguments = [0; 6];
        arguments[..given.len()].copy_from_slice(given);
        carry_out(&self.0, &Call { machine: architecture.audit(), number, arguments })
    }
}

fn fault(text: &str) -> String {
    match Profile::parse(Path::new("test.json"), text).and_then(|profile| profile.compile(&NOTHING)) {
        Ok(_) => panic!("{text} is taken"),
        Err(error) => error.to_string(),
    }
}

// ---- barepod's own ----

#[test]
fn runtime_default_lets_services_live_and_keeps_them_from_what_lies_beyond() {
    let answers = Answers::default(&NOTHING);
    for call in ["read", "futex", "epoll_pwait", "sendmsg", "execve", "fsync", "io_submit", "mmap", "ptrace", "rseq"] {
        assert_eq!(answers.to(call, &[]), ALLOW, "{call}");
    }
    for call in [
        "mount",
        "umount2",
        "unshare",
        "setns",
        "bpf",
        "perf_event_open",
        "keyctl",
        "add_key",
        "request_key",
        "userfaultfd",
        "open_by_handle_at",
        "init_module",
        "kexec_load",
        "reboot",
        "swapon",
        "pivot_root",
        "io_uring_setup",
        "syslog",
        "settimeofday",
        "acct",
        "quotactl",
        "move_pages",
        "fsopen",
        "open_tree",
    ] {
        assert_eq!(answers.to(call, &[]), FORBID, "{call}");
    }
}

#[test]
fn arguments_decide_about_new_namespaces_families_of_sockets_personalities_and_terminals() {
    let answers = Answers::default(&NOTHING);
    assert_eq!(answers.to("clone", &[0x0011_0f11]), ALLOW);
    for namespace in [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
        assert_eq!(answers.to("clone", &[namespace | 17]), FORBID, "{namespace:#x}");
    }
    assert_eq!(answers.to("clone3", &[]), NO_SUCH_CALL, "so that C libraries take clone");
    assert_eq!(answers.to("socket", &[2]), ALLOW);
    for family in [40, 38, 40 | 1 << 32] {
        assert_eq!(answers.to("socket", &[family]), 0x0005_0061, "{family:#x}: no bit above counts for the kernel");
    }
    for known in [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff] {
        assert_eq!(answers.to("personality", &[known]), ALLOW);
    }
    assert_eq!(answers.to("personality", &[0x4_0000]), FORBID, "no randomisation");
    assert_eq!(answers.to("ioctl", &[0, 0x5401]), ALLOW);
    for typing in [0x5412, 0x541c, 0x5412 | 1 << 40] {
        assert_eq!(answers.to("ioctl", &[0, typing]), FORBID, "{typing:#x}");
    }
}

#[test]
fn a_capability_opens_what_it_is_for() {
    let (sys_admin, sys_chroot, sys_time) = (21, 18, 25);
    for (capability, calls) in [
        (sys_admin, &["mount", "unshare", "setns", "bpf"][..]),
        (sys_chroot, &["chroot"]),
        (sys_time, &["settimeofday"]),
    ] {
        let with = Answers::default(&Situation { capabilities: &[capability], ..NOTHING });
        for call in calls {
            assert_eq!(with.to(call, &[]), ALLOW, "{call}");
            assert_eq!(Answers::default(&NOTHING).to(call, &[]), FORBID, "{call}");
        }
    }
    let with = Answers::default(&Situation { capabilities: &[sys_admin], ..NOTHING });
    assert_eq!((with.to("clone", &[0x1000_0000]), with.to("clone3", &[])), (ALLOW, ALLOW));
}

#[test]
fn the_kernels_age_decides_where_a_profile_says_so() {
    assert_eq!(Answers::default(&Situation { kernel: (4, 4), ..NOTHING }).to("ptrace", &[]), FORBID);
}

#[test]
fn numbers_that_are_newer_than_the_profile_do_not_exist_and_foreign_machines_end() {
    let answers = Answers::default(&NOTHING);
    let own = Architecture::here()[0];
    assert_eq!(answers.to_number(own, 1000, &[]), NO_SUCH_CALL);
    assert_eq!(carry_out(&answers.0, &Call { machine: 0, number: 0, arguments: [0; 6] }), 0x8000_0000);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn programs_of_32_bits_are_held_to_the_same_by_their_own_numbers_and_x32_does_not_exist() {
    let answers = Answers::default(&NOTHING);
    let number = |name| Architecture::X86.number(name).unwrap();
    assert_eq!(answers.to_number(Architecture::X86, number("read"), &[]), ALLOW);
    assert_eq!(answers.to_number(Architecture::X86, number("mount"), &[]), FORBID);
    assert_ne!(answers.to_number(Architecture::X86, number("socketcall"), &[]), ALLOW, "its family lies in memory");
    assert_eq!(answers.to_number(Architecture::X86_64, program::X32 | 165, &[]), NO_SUCH_CALL);
    let open = Answers::of(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#, &NOTHING);
    assert_eq!(
        open.to_number(Architecture::X86_64, program::X32, &[]),
        NO_SUCH_CALL,
        "no way round a list of refusals"
    );
}

#[test]
fn the_default_is_well_below_what_the_kernel_takes_and_names_nothing_unknown() {
    let filter = runtime_default(&NOTHING).unwrap();
    let instructions = filter.program.len() / 8;
    assert!(instructions < program::MOST / 2, "{instructions}");
    assert_eq!(filter.unknown, Vec::<String>::new());
}

// ---- the host's own ----

#[test]
fn a_profile_as_docker_and_oci_write_it_is_taken() {
    let answers = Answers::of(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"], "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13, "args": null, "comment": ""},
            {"name": "getcwd", "action": "SCMP_ACT_LOG", "includes": {}, "excludes": {"caps": ["CAP_CHOWN"]}},
            {"names": ["kill"], "action": "SCMP_ACT_KILL_PROCESS", "args": [
                {"index": 1, "value": 9, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 15, "op": "SCMP_CMP_EQ"}]}]}"#,
        &NOTHING,
    );
    assert_eq!(answers.to("mkdirat", &[]), 0x0005_000d);
    assert_eq!(answers.to("getcwd", &[]), 0x7ffc_0000);
    assert_eq!(answers.to("kill", &[1, 9]), 0x8000_0000);
    assert_eq!(answers.to("kill", &[1, 15]), 0x8000_0000, "two conditions on one argument are alternatives");
    assert_eq!(answers.to("kill", &[1, 0]), ALLOW);
    assert_eq!(answers.to("rmdir", &[]), ALLOW);
}

#[test]
fn what_is_wrong_in_a_profile_is_told_with_its_place() {
    for (text, expected) in [
        ("{", "test.json"),
        (r#"{"syscalls": []}"#, "defaultAction"),
        ("{\"defaultAction\":\n \"SCMP_ACT_DENY\"}", "test.json:2:2: there is no action \"SCMP_ACT_DENY\""),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "sysCalls": []}"#, "sysCalls"),
        (
            "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [\n{\"names\": [\"mnt\"], \"action\": \"SCMP_ACT_ERRNO\"}]}",
            "test.json:2:12: there is no system call \"mnt\"",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#,
            "six arguments",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 0, "value": 0, "op": "EQ"}]}]}"#,
            "no comparison",
        ),
        (r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#, "no listeners"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/x"}"#, "no listeners"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_S390X"]}"#, "not for this machine"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["FAST"]}"#, "no flag"),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO",
                "includes": {"caps": ["CAP_ALL"]}}]}"#,
            "no capability",
        ),
    ] {
        let message = fault(text);
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn a_name_that_only_a_later_kernel_may_have_is_told_and_lets_nothing_through() {
    let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read", "tomorrow"], "action": "SCMP_ACT_ALLOW"}]}"#;
    let filter = Profile::parse(Path::new("test.json"), text).unwrap().compile(&NOTHING).unwrap();
    assert_eq!(filter.unknown, ["tomorrow"]);
}

#[test]
fn a_profile_is_found_below_its_directory_and_nowhere_else() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::create_dir(scratch.path().join("team")).unwrap();
    std::fs::write(scratch.path().join("team/a.json"), r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
    assert!(localhost(scratch.path(), Path::new("team/a.json"), &NOTHING).is_ok());
    for name in ["../a.json", "/etc/passwd", "", "team/../../a"] {
        let error = localhost(scratch.path(), Path::new(name), &NOTHING).unwrap_err();
        assert!(matches!(error, ProfileError::Name { .. }), "{name}");
    }
    let error = localhost(scratch.path(), Path::new("none.json"), &NOTHING).unwrap_err();
    assert!(matches!(error, ProfileError::Read { .. }), "{error}");
}

// ---- the compiler against the words ----

/// A small generator of numbers, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 17
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Values whose halves meet and miss each other.
    fn value(&mut self) -> u64 {
        [0, 1, 2, u32::MAX.into(), 1 << 32, (1 << 32) + 1, (2 << 32) + 1, u64::MAX][self.below(8) as usize]
    }

    fn condition(&mut self) -> Condition {
        use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        let operators = [Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual];
        let comparison = match self.below(7) {
            6 => Comparison::Masked { mask: self.value(), value: self.value() },
            which => Comparison::Is(operators[which as usize], self.value()),
        };
        Condition { argument: self.below(6) as u32, comparison }
    }
}

fn holds(condition: &Condition, arguments: &[u64; 6]) -> bool {
    let argument = arguments[condition.argument as usize];
    match condition.comparison {
        Comparison::Masked { mask, value } => argument & mask == value,
        Comparison::Is(Operator::Equal, value) => argument == value,
        Comparison::Is(Operator::NotEqual, value) => argument != value,
        Comparison::Is(Operator::Less, value) => argument < value,
        Comparison::Is(Operator::LessOrEqual, value) => argument <= value,
        Comparison::Is(Operator::Greater, value) => argument > value,
        Comparison::Is(Operator::GreaterOrEqual, value) => argument >= value,
    }
}

fn expected(table: &Table, number: u32, arguments: &[u64; 6]) -> u32 {
    let newest = table.calls.keys().next_back().copied();
    let Some(rules) = table.calls.get(&number) else {
        return if newest.is_none_or(|newest| number > newest) { table.newer } else { table.default };
    };
    let meets = |rule: &&Rule| !rule.conditions.is_empty() && rule.conditions.iter().all(|one| holds(one, arguments));
    let always = |rule: &&Rule| rule.conditions.is_empty();
    rules.iter().find(meets).or(rules.iter().find(always)).map_or(table.default, |rule| rule.answer)
}

#[test]
fn programs_answer_as_their_rules_say_for_ten_thousand_random_calls() {
    let mut random = Random(7);
    for round in 0..40 {
        let mut table =
            Table { machine: 1, no_calls_from: None, newer: 1, default: 2, calls: std::collections::BTreeMap::new() };
        for _ in 0..random.below(120) {
            let conditions = (0..random.below(4)).map(|_| random.condition()).collect();
            let rule = Rule { conditions, answer: 3 + random.below(4) as u32 };
            table.calls.entry(random.below(400) as u32).or_default().push(rule);
        }
        let program = program::assemble(std::slice::from_ref(&table));
        for _ in 0..250 {
            let number = random.below(420) as u32;
            let arguments = std::array::from_fn(|_| random.value());
            let call = Call { machine: 1, number, arguments };
            assert_eq!(carry_out(&program, &call), expected(&table, number, &arguments), "round {round}: {call:?}");
        }
    }
}
