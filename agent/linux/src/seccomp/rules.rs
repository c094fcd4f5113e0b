//! From names and words to numbers: which calls of which architecture are answered how.

use std::collections::BTreeMap;

use barepod_model::CAPABILITIES;
use serde_saphyr::Spanned;

use super::architecture::Architecture;
use super::profile::{Profile, ProfileError, RawArgument, RawCondition, RawRule};
use super::program::{self, Comparison, Condition, Operator, Rule, Table};
use super::{Filter, Situation};

// `SECCOMP_RET_*` of `linux/seccomp.h`
const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;
/// The low half of an answer carries an error number.
const DATA: u32 = 0xffff;

const NOT_PERMITTED: u32 = 1;
const NO_SUCH_CALL: u32 = 38;

/// The only flags that mean something for a process that has one thread and no listener.
const FLAGS: [(&str, u32); 4] = [
    ("SECCOMP_FILTER_FLAG_TSYNC", 0),
    ("SECCOMP_FILTER_FLAG_LOG", 2),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", SPEC_ALLOW),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 0),
];
/// Before Linux 5.16 a filter otherwise switches on mitigations that slow every process under it down.
const SPEC_ALLOW: u32 = 4;

/// Most conditions on arguments: system calls have six.
const ARGUMENTS: u32 = 6;

impl Profile {
    /// Makes it the kernel's program.
    ///
    /// # Errors
    /// A word, a name or a number in it that means nothing, with its place.
    pub fn compile(&self, situation: &Situation<'_>) -> Result<Filter, ProfileError> {
        let default = self.action(&self.raw.default_action, self.raw.default_errno_ret)?;
        if let Some(listener) = self.raw.listener_path.as_ref().or(self.raw.listener_metadata.as_ref()) {
            return Err(self.fault(listener, "barepod has no listeners for notifications; remove it"));
        }
        let mut tables: Vec<_> = self
            .architectures()?
            .into_iter()
            .map(|architecture| (architecture, BTreeMap::<u32, Vec<Rule>>::new()))
            .collect();
        let mut unknown = Vec::new();
        for rule in &self.raw.syscalls {
            if self.applies(rule, situation)? {
                self.add(rule, &mut tables, &mut unknown)?;
            }
        }
        let table = |(architecture, calls)| table(architecture, calls, default);
        let tables: Vec<_> = tables.into_iter().map(table).collect();
        let program = program::assemble(&tables);
        match program.len() {
            0..=program::MOST => Ok(Filter { program: program::bytes(&program), flags: self.flags()?, unknown }),
            instructions => Err(ProfileError::TooLong { file: self.file.clone(), instructions }),
        }
    }

    /// This machine's own, and those of its 32-bit programs if the profile names them.
    fn architectures(&self) -> Result<Vec<Architecture>, ProfileError> {
        let [own, others @ ..] = Architecture::here() else {
            return Err(ProfileError::Machine(std::env::consts::ARCH));
        };
        let mut named: Vec<&Spanned<String>> = self.raw.architectures.iter().collect();
        for map in &self.raw.arch_map {
            named.push(&map.architecture);
            if Architecture::named(&map.architecture.value) == Some(*own) {
                named.extend(map.sub_architectures.iter().flatten());
            }
        }
        let is_named = |one: &Architecture| named.iter().any(|name| Architecture::named(&name.value) == Some(*one));
        match named.first() {
            Some(first) if !is_named(own) => {
                Err(self.fault(first, format!("the profile is not for this machine, {}", std::env::consts::ARCH)))
            }
            Some(_) | None => Ok(std::iter::once(*own).chain(others.iter().copied().filter(is_named)).collect()),
        }
    }

    fn applies(&self, rule: &RawRule, situation: &Situation<'_>) -> Result<bool, ProfileError> {
        let RawCondition { caps, arches, min_kernel } = &rule.includes;
        let mut applies = arches.is_empty() || arches.iter().any(|name| is_own(name));
        for cap in caps {
            applies &= self.has(cap, situation)?;
        }
        if let Some(version) = min_kernel {
            applies &= situation.kernel >= self.version(version)?;
        }
        let RawCondition { caps, arches, min_kernel } = &rule.excludes;
        applies &= !arches.iter().any(|name| is_own(name));
        for cap in caps {
            applies &= !self.has(cap, situation)?;
        }
        if let Some(version) = min_kernel {
            applies &= situation.kernel < self.version(version)?;
        }
        Ok(applies)
    }

    fn has(&self, name: &Spanned<String>, situation: &Situation<'_>) -> Result<bool, ProfileError> {
        let number = name.value.strip_prefix("CAP_").and_then(|bare| CAPABILITIES.iter().position(|cap| *cap == bare));
        let number = number.and_then(|number| u32::try_from(number).ok());
        let number = number.ok_or_else(|| self.fault(name, format!("there is no capability {:?}", name.value)))?;
        Ok(situation.capabilities.contains(&number))
    }

    fn version(&self, text: &Spanned<String>) -> Result<(u32, u32), ProfileError> {
        let parsed = text.value.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        parsed.ok_or_else(|| {
            self.fault(text, format!("{:?} is no version of a kernel; write for example 4.8", text.value))
        })
    }

    fn add(
        &self,
        rule: &RawRule,
        tables: &mut [(Architecture, BTreeMap<u32, Vec<Rule>>)],
        unknown: &mut Vec<String>,
    ) -> Result<(), ProfileError> {
        let answer = self.action(&rule.action, self.error_number(rule)?)?;
        let alternatives = self.conditions(rule.args.as_deref().unwrap_or_default())?;
        for name in rule.names.iter().chain(&rule.name) {
            if !Architecture::is_known(&name.value) {
                match answer {
                    // What a later kernel has is refused as everything that is not named.
                    ALLOW | LOG => unknown.push(name.value.clone()),
                    _ => return Err(self.fault(name, format!("there is no system call {:?}", name.value))),
                }
            }
            for (architecture, calls) in tables.iter_mut() {
                if let Some(number) = architecture.number(&name.value) {
                    let rules = alternatives.iter().map(|conditions| Rule { conditions: conditions.clone(), answer });
                    calls.entry(number).or_default().extend(rules);
                }
            }
        }
        Ok(())
    }

    fn error_number(&self, rule: &RawRule) -> Result<Option<u32>, ProfileError> {
        let named = |name: &Spanned<String>| {
            let number = ERRORS.iter().find(|(known, _)| *known == name.value).map(|(_, number)| *number);
            number.ok_or_else(|| self.fault(name, format!("{:?} is not known; give errnoRet, a number", name.value)))
        };
        match (rule.errno_ret, &rule.errno) {
            (Some(number), _) => Ok(Some(number)),
            (None, Some(name)) => named(name).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Sets of conditions of which one must hold. Two on the same argument are alternatives, as runc has it.
    fn conditions(&self, arguments: &[RawArgument]) -> Result<Vec<Vec<Condition>>, ProfileError> {
        let conditions = arguments.iter().map(|one| self.condition(one)).collect::<Result<Vec<_>, _>>()?;
        let twice = |one: &Condition| conditions.iter().filter(|other| other.argument == one.argument).count() > 1;
        if conditions.iter().any(twice) {
            return Ok(conditions.into_iter().map(|condition| vec![condition]).collect());
        }
        Ok(vec![conditions])
    }

    fn condition(&self, argument: &RawArgument) -> Result<Condition, ProfileError> {
        if argument.index.value >= ARGUMENTS {
            return Err(self.fault(&argument.index, "a system call has six arguments, 0 to 5"));
        }
        let comparison = match argument.op.value.as_str() {
            "SCMP_CMP_NE" => Comparison::Is(Operator::NotEqual, argument.value),
            "SCMP_CMP_LT" => Comparison::Is(Operator::Less, argument.value),
            "SCMP_CMP_LE" => Comparison::Is(Operator::LessOrEqual, argument.value),
            "SCMP_CMP_EQ" => Comparison::Is(Operator::Equal, argument.value),
            "SCMP_CMP_GE" => Comparison::Is(Operator::GreaterOrEqual, argument.value),
            "SCMP_CMP_GT" => Comparison::Is(Operator::Greater, argument.value),
            "SCMP_CMP_MASKED_EQ" => Comparison::Masked { mask: argument.value, value: argument.value_two },
            other => {
                let known = "SCMP_CMP_EQ, _NE, _LT, _LE, _GT, _GE or _MASKED_EQ";
                return Err(self.fault(&argument.op, format!("there is no comparison {other:?}; use {known}")));
            }
        };
        Ok(Condition { argument: argument.index.value, comparison })
    }

    fn action(&self, word: &Spanned<String>, error: Option<u32>) -> Result<u32, ProfileError> {
        let error = error.unwrap_or(NOT_PERMITTED) & DATA;
        match word.value.as_str() {
            "SCMP_ACT_ALLOW" => Ok(ALLOW),
            "SCMP_ACT_LOG" => Ok(LOG),
            "SCMP_ACT_ERRNO" => Ok(ERRNO | error),
            "SCMP_ACT_TRACE" => Ok(TRACE | error),
            "SCMP_ACT_TRAP" => Ok(TRAP),
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Ok(KILL_THREAD),
            "SCMP_ACT_KILL_PROCESS" => Ok(KILL_PROCESS),
            "SCMP_ACT_NOTIFY" => {
                Err(self.fault(word, "barepod has no listeners for notifications; use SCMP_ACT_ERRNO"))
            }
            other => Err(self.fault(word, format!("there is no action {other:?}; use for example SCMP_ACT_ERRNO"))),
        }
    }

    fn flags(&self) -> Result<u32, ProfileError> {
        let Some(flags) = &self.raw.flags else { return Ok(SPEC_ALLOW) };
        flags.iter().try_fold(0, |all, flag| match FLAGS.iter().find(|(name, _)| *name == flag.value) {
            Some((_, bit)) => Ok(all | bit),
            None => Err(self.fault(flag, format!("there is no flag {:?}", flag.value))),
        })
    }
}

/// Errors that profiles give by name.
const ERRORS: [(&str, u32); 6] =
    [("EPERM", 1), ("EACCES", 13), ("EINVAL", 22), ("ENOSYS", 38), ("ENOTSUP", 95), ("EAFNOSUPPORT", 97)];

fn is_own(name: &str) -> bool {
    Architecture::here().first().is_some_and(|own| Architecture::named(name) == Some(*own))
}

/// A call that is newer than all that the profile names is told not to exist, not forbidden: programs then do without it.
fn table(architecture: Architecture, calls: BTreeMap<u32, Vec<Rule>>, default: u32) -> Table {
    let is_error = default & !DATA == ERRNO;
    Table {
        machine: architecture.audit(),
        no_calls_from: (architecture == Architecture::X86_64).then_some((program::X32, ERRNO | NO_SUCH_CALL)),
        newer: if is_error { ERRNO | NO_SUCH_CALL } else { default },
        default,
        calls,
    }
}
