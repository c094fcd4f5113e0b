//! The kernel's programs: classic BPF over `struct seccomp_data`.
//!
//! ```text
//!   load the architecture ── none of ours ──▶ kill
//!     └─ for each: load the number, then a binary search over the ranges of numbers that are answered alike
//!          └─ leaf: an answer, or conditions on arguments, each with its answer
//! ```

use std::collections::BTreeMap;

use super::architecture::ARM_PRIVATE;

/// Most instructions that the kernel takes (`BPF_MAXINSNS`).
pub(super) const MOST: usize = 4096;
/// On x86-64 numbers from here on are those of x32, a third set of system calls that nearly no kernel has.
pub(super) const X32: u32 = 0x4000_0000;

// `linux/bpf_common.h`
const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_GREATER: u16 = 0x25;
const IF_GREATER_OR_EQUAL: u16 = 0x35;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

// `struct seccomp_data`: number, architecture, instruction pointer, six arguments of 64 bits
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// `SECCOMP_RET_KILL_PROCESS`: system calls of a machine that the profile does not speak of.
const KILL: u32 = 0x8000_0000;

/// One instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u16,
    pub(super) yes: u8,
    pub(super) no: u8,
    pub(super) operand: u32,
}

/// How calls of one architecture are answered.
#[derive(Debug)]
pub(super) struct Table {
    /// As the kernel tells it.
    pub(super) machine: u32,
    /// Numbers from here on are answered so, whatever the rules say.
    pub(super) no_calls_from: Option<(u32, u32)>,
    /// The answer for a number above all that have rules.
    pub(super) newer: u32,
    /// The answer for every other number without a rule.
    pub(super) default: u32,
    /// Rules by number.
    pub(super) calls: BTreeMap<u32, Vec<Rule>>,
}

/// An answer, if all conditions hold. Of several rules for a call, those with conditions come first.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) answer: u32,
}

/// What an argument must be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Condition {
    /// 0 to 5.
    pub(super) argument: u32,
    pub(super) comparison: Comparison,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Comparison {
    Is(Operator, u64),
    /// These bits of it are `value`.
    Masked {
        mask: u64,
        value: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The program for these tables; a call of another architecture ends its process.
pub(super) fn assemble(tables: &[Table]) -> Vec<Instruction> {
    let mut program = vec![step(LOAD, ARCHITECTURE)];
    for table in tables {
        let body = table.body();
        // The body may be longer than a conditional jump reaches.
        program.extend([branch(IF_EQUAL, table.machine, 1, 0), jump(body.len())]);
        program.extend(body);
    }
    program.push(answer(KILL));
    program
}

/// As the kernel reads it.
pub(super) fn bytes(program: &[Instruction]) -> Vec<u8> {
    let one = |i: &Instruction| [&i.code.to_ne_bytes()[..], &[i.yes, i.no], &i.operand.to_ne_bytes()].concat();
    program.iter().flat_map(one).collect()
}

impl Table {
    fn body(&self) -> Vec<Instruction> {
        let mut body = vec![step(LOAD, NUMBER)];
        if let Some((from, said)) = self.no_calls_from {
            body.extend([branch(IF_GREATER_OR_EQUAL, from, 0, 1), answer(said)]);
        }
        body.extend(search(&self.ranges()));
        body
    }

    /// Where each range of numbers begins that is answered alike, and how.
    fn ranges(&self) -> Vec<(u32, Vec<Instruction>)> {
        let mut ranges: Vec<(u32, Vec<Instruction>)> = Vec::new();
        let mut put = |from: u32, leaf: Vec<Instruction>| {
            if ranges.last().is_none_or(|(_, last)| *last != leaf) {
                ranges.push((from, leaf));
            }
        };
        let newest = self.calls.keys().rev().find(|number| **number < ARM_PRIVATE).copied().unwrap_or(0);
        let mut next = 0;
        for (number, rules) in &self.calls {
            if *number > next {
                put(next, vec![answer(if next > newest { self.newer } else { self.default })]);
            }
            put(*number, leaf(rules, self.default));
            next = number + 1;
        }
        put(next, vec![answer(self.newer)]);
        ranges
    }
}

/// A binary search for the number that is loaded.
fn search(ranges: &[(u32, Vec<Instruction>)]) -> Vec<Instruction> {
    match ranges {
        [] => Vec::new(),
        [(_, leaf)] => leaf.clone(),
        several => {
            let (low, high) = several.split_at(several.len() / 2);
            let from = high.first().map_or(0, |(from, _)| *from);
            let (low, high) = (search(low), search(high));
            let mut code = match u8::try_from(low.len()) {
                Ok(over) => vec![branch(IF_GREATER_OR_EQUAL, from, over, 0)],
                Err(_) => vec![branch(IF_GREATER_OR_EQUAL, from, 0, 1), jump(low.len())],
            };
            code.extend(low);
            code.extend(high);
            code
        }
    }
}

/// The answer for one call.
fn leaf(rules: &[Rule], default: u32) -> Vec<Instruction> {
    let (always, conditional): (Vec<&Rule>, Vec<&Rule>) = rules.iter().partition(|rule| rule.conditions.is_empty());
    let mut code: Vec<_> = conditional.into_iter().flat_map(attempt).collect();
    code.push(answer(always.first().map_or(default, |rule| rule.answer)));
    code
}

/// Where a test goes on.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// After so many instructions.
    Over(u8),
    /// Behind this rule.
    Fail,
}

const NEXT: Way = Way::Over(0);

/// One rule; it falls through where it does not apply.
fn attempt(rule: &Rule) -> Vec<Instruction> {
    let tests: Vec<_> = rule.conditions.iter().flat_map(test).collect();
    let end = tests.len() + 1;
    let place = |at: usize, way: Way| match way {
        Way::Over(instructions) => instructions,
        // Six conditions have at most 36 instructions.
        Way::Fail => u8::try_from(end - (at + 1)).unwrap_or(u8::MAX),
    };
    let placed = |(at, (code, operand, yes, no)): (usize, (u16, u32, Way, Way))| match code {
        LOAD | AND => step(code, operand),
        _ => branch(code, operand, place(at, yes), place(at, no)),
    };
    let mut code: Vec<_> = tests.into_iter().enumerate().map(placed).collect();
    code.push(answer(rule.answer));
    code
}

type Test = (u16, u32, Way, Way);

/// The high half decides, unless it is equal.
fn test(condition: &Condition) -> Vec<Test> {
    let low = ARGUMENTS + 8 * condition.argument;
    let load = |at: u32| (LOAD, at, NEXT, NEXT);
    let half = |value: u64| ((value >> 32) as u32, value as u32);
    let (operator, value) = match condition.comparison {
        Comparison::Is(operator, value) => (operator, value),
        Comparison::Masked { mask, value } => {
            let ((mask_high, mask_low), (high, rest)) = (half(mask), half(value));
            return vec![
                load(low + 4),
                (AND, mask_high, NEXT, NEXT),
                (IF_EQUAL, high, NEXT, Way::Fail),
                load(low),
                (AND, mask_low, NEXT, NEXT),
                (IF_EQUAL, rest, NEXT, Way::Fail),
            ];
        }
    };
    let (high, rest) = half(value);
    let (is_high, is_low) = (|way, other| (IF_EQUAL, high, way, other), load(low));
    let begin = load(low + 4);
    match operator {
        Operator::Equal => vec![begin, is_high(NEXT, Way::Fail), is_low, (IF_EQUAL, rest, NEXT, Way::Fail)],
        Operator::NotEqual => vec![begin, is_high(NEXT, Way::Over(2)), is_low, (IF_EQUAL, rest, Way::Fail, NEXT)],
        Operator::Greater | Operator::GreaterOrEqual => {
            let code = if operator == Operator::Greater { IF_GREATER } else { IF_GREATER_OR_EQUAL };
            let above = (IF_GREATER, high, Way::Over(3), NEXT);
            vec![begin, above, is_high(NEXT, Way::Fail), is_low, (code, rest, NEXT, Way::Fail)]
        }
        Operator::Less | Operator::LessOrEqual => {
            let code = if operator == Operator::Less { IF_GREATER_OR_EQUAL } else { IF_GREATER };
            let above = (IF_GREATER, high, Way::Fail, NEXT);
            vec![begin, above, is_high(NEXT, Way::Over(2)), is_low, (code, rest, Way::Fail, NEXT)]
        }
    }
}

fn step(code: u16, operand: u32) -> Instruction {
    Instruction { code, yes: 0, no: 0, operand }
}

fn branch(code: u16, operand: u32, yes: u8, no: u8) -> Instruction {
    Instruction { code, yes, no, operand }
}

fn jump(over: usize) -> Instruction {
    step(JUMP, over as u32)
}

fn answer(said: u32) -> Instruction {
    step(RETURN, said)
}
