//! A policy's text, read and checked: what can be wrong with it is found before anybody is judged by it.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use barepod_model::{CAPABILITIES, Pattern, Source};
use serde_saphyr::Location;

use crate::error::{Fault, PolicyError};
use crate::file::{AllowFile, HostPathFile, LimitsFile, PolicyFile, RuleFile, SubjectsFile, Text};
use crate::policy::{Allow, Capabilities, HostPath, Limits, Policy, Rule, Subjects, VolumeType};
use crate::subject::Verb;
use crate::words::{Profile, Who};

/// The largest policy, in bytes.
const MAX_BYTES: usize = 1 << 20;
const API_VERSION: &str = "barepod.dev/v1alpha1";
const KIND: &str = "Policy";
const COMPARE: &str = "compare with configs/policy.yaml";

/// Reads a policy. `file` is what errors and verdicts call it.
///
/// # Errors
/// The first thing that is wrong with it, with line and column. A file without a policy in it is wrong too: it may be half
/// written.
pub fn parse(file: &str, text: &str) -> Result<Policy, PolicyError> {
    let raw = raw(text).map_err(|fault| fault.in_file(file))?;
    let rules = rules(&raw).map_err(|fault| fault.in_file(file))?;
    Ok(Policy { file: file.to_owned(), rules })
}

fn raw(text: &str) -> Result<PolicyFile, Fault> {
    if text.len() > MAX_BYTES {
        let message = format!("it is {} bytes long; a policy has at most {MAX_BYTES}", text.len());
        return Err(Fault::new(Location::UNKNOWN, message, "allow more with fewer rules"));
    }
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        let hint = "write `rules: []` to deny all, or remove the file for the built-in policy";
        return Err(Fault::new(Location::UNKNOWN, "it holds no policy", hint));
    }
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let at = error.location().unwrap_or(Location::UNKNOWN);
        let (message, hint) = tidy(&error.without_snippet().to_string());
        Fault::new(at, message, hint)
    })
}

/// An error's first line, without the place, which is told apart from it, and the likely fix.
fn tidy(message: &str) -> (String, String) {
    let line = message.lines().next().unwrap_or_default();
    let line = line.split(" at line ").next().unwrap_or(line).trim_start_matches("error: ");
    let line = line.split(", set DuplicateKeyPolicy").next().unwrap_or(line);
    let (message, hint) = match line {
        "expected sequence start" => ("expected a list", "write one as [a, b], or begin each line with '- '"),
        "expected mapping start" => ("expected a map", "write lines as `key: value`, indented below this one"),
        _ if line.starts_with("missing field") => (line, "add it; a rule has name, subjects, verbs and allow"),
        _ if line.starts_with("duplicate mapping key") => (line, "remove one of the two"),
        _ if line.starts_with("invalid boolean") => ("expected true or false", "write it without quotes"),
        _ if line.starts_with("invalid u") => ("expected a whole number, 0 or more", "write it without quotes"),
        _ => (line, COMPARE),
    };
    (message.to_owned(), unknown_field(line).unwrap_or_else(|| hint.to_owned()))
}

/// What was probably meant by a key that does not exist.
fn unknown_field(line: &str) -> Option<String> {
    let rest = line.strip_prefix("unknown field `")?;
    let (written, rest) = rest.split_once('`')?;
    if written == "deny" {
        return Some("rules only allow: what no rule allows is denied".to_owned());
    }
    let names = rest.split_once("expected one of ")?.1.split(", ");
    nearest(written, names).map(|near| format!("did you mean {near:?}?"))
}

fn nearest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &str| strsim::osa_distance(&written.to_lowercase(), &name.to_lowercase());
    names
        .map(|name| (distance(name), name))
        .min()
        .filter(|(far, name)| *far <= 1 + name.len() / 4)
        .map(|(_, name)| name)
}

fn wrong(text: &Text, what: &str, hint: impl Into<String>) -> Fault {
    let shown: String = text.value.chars().take(64).collect();
    Fault::new(text.referenced, format!("{shown:?} {what}"), hint)
}

/// One of these words.
fn word<T: Copy>(text: &Text, what: &str, words: &[(&'static str, T)]) -> Result<T, Fault> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
        return Ok(*value);
    }
    let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let hint = match nearest(&text.value, all.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("write one of {}", all.join(", ")),
    };
    Err(wrong(text, &format!("is no {what}"), hint))
}

fn each<T>(texts: &[Text], read: impl Fn(&Text) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    texts.iter().map(read).collect()
}

fn rules(raw: &PolicyFile) -> Result<Vec<Rule>, Fault> {
    word(&raw.api_version, "apiVersion of a policy", &[(API_VERSION, ())])?;
    word(&raw.kind, "kind of this file", &[(KIND, ())])?;
    let mut rules: Vec<Rule> = Vec::new();
    for from in &raw.rules {
        let rule = rule(from)?;
        if rules.iter().any(|other| other.name == rule.name) {
            return Err(wrong(&from.name, "names two rules", "give each its own name: verdicts speak of it"));
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn rule(from: &RuleFile) -> Result<Rule, Fault> {
    let name = &from.name;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.value.is_empty() || name.value.len() > 63 || !name.value.chars().all(plain) {
        return Err(wrong(name, "cannot name a rule", "use letters, digits, '-', '_' and '.', at most 63"));
    }
    Ok(Rule {
        name: name.value.clone(),
        line: name.referenced.line(),
        subjects: subjects(&from.subjects, name)?,
        verbs: verbs(&from.verbs, name)?,
        allow: allow(&from.allow)?,
    })
}

fn verbs(from: &[Text], name: &Text) -> Result<BTreeSet<Verb>, Fault> {
    if from.is_empty() {
        let hint = format!("list some of {}, or \"*\"", Verb::ALL.map(Verb::as_str).join(", "));
        return Err(Fault::new(name.referenced, format!("the rule {:?} has no verbs", name.value), hint));
    }
    if from.iter().any(|verb| verb.value == "*") {
        return Ok(Verb::ALL.into());
    }
    let words = Verb::ALL.map(|verb| (verb.as_str(), verb));
    from.iter().map(|verb| word(verb, "verb", &words)).collect()
}

fn subjects(from: &SubjectsFile, name: &Text) -> Result<Subjects, Fault> {
    let words = [Source::File, Source::Kubernetes, Source::Nomad].map(|source| (source_word(source), source));
    let subjects = Subjects {
        sources: each(&from.sources, |text| word(text, "source", &words))?,
        namespaces: each(&from.namespaces, pattern)?,
        users: each(&from.users, subject)?,
        groups: each(&from.groups, subject)?,
    };
    let lacks = |what: &str, hint: &str| {
        Err(Fault::new(name.referenced, format!("the rule {:?} is about no {what}", name.value), hint))
    };
    if subjects.sources.is_empty() {
        return lacks("source", "list some of file, kubernetes, nomad below subjects.sources");
    }
    if subjects.namespaces.is_empty() {
        return lacks("namespace", "list names or patterns below subjects.namespaces, or \"*\" for all");
    }
    if subjects.sources.contains(&Source::File) && subjects.users.is_empty() && subjects.groups.is_empty() {
        return lacks("user", "the source file has users: list some below subjects.users or subjects.groups");
    }
    Ok(subjects)
}

fn source_word(source: Source) -> &'static str {
    match source {
        Source::File => "file",
        Source::Kubernetes => "kubernetes",
        Source::Nomad => "nomad",
    }
}

fn pattern(text: &Text) -> Result<Pattern, Fault> {
    Pattern::new(text.value.as_str()).map_err(|_| wrong(text, "is no pattern", "write 1 to 255 bytes"))
}

fn who(text: &Text) -> Result<Who, Fault> {
    let hint = "write a name, a number, a range as 1000-1999, or \"*\" for all but root";
    Who::parse(&text.value).ok_or_else(|| wrong(text, "is no user or group", hint))
}

fn subject(text: &Text) -> Result<Who, Fault> {
    match who(text)? {
        Who::Preset => Err(wrong(text, "is nobody who could ask", "it is a word of allow.users; name an account here")),
        who => Ok(who),
    }
}

fn allow(from: &AllowFile) -> Result<Allow, Fault> {
    let volumes = [
        ("emptyDir", VolumeType::EmptyDir),
        ("persistentVolumeClaim", VolumeType::PersistentVolumeClaim),
        ("projected", VolumeType::Projected),
    ];
    each(&from.proc_mount, |text| word(text, "procMount that must be allowed", &[("Unmasked", ())]))?;
    let bidirectional = [("Bidirectional", ())];
    each(&from.mount_propagation, |text| word(text, "mountPropagation that must be allowed", &bidirectional))?;
    Ok(Allow {
        presets: each(&from.presets, preset)?,
        commands: each(&from.commands, command)?,
        users: each(&from.users, who)?,
        groups: each(&from.groups, who)?,
        volumes: each(&from.volumes, |text| volume(text, &volumes))?,
        host_paths: from.host_paths.iter().map(host_path).collect::<Result<_, _>>()?,
        devices: each(&from.devices, device)?,
        capabilities: capabilities(&from.capabilities)?,
        privilege_escalation: from.allow_privilege_escalation,
        privileged: from.privileged,
        host_pid: from.host_pid,
        host_ipc: from.host_ipc,
        unmasked_proc: !from.proc_mount.is_empty(),
        bidirectional: !from.mount_propagation.is_empty(),
        seccomp: profiles(&from.seccomp_profiles)?,
        app_armor: profiles(&from.app_armor_profiles)?,
        sysctls: each(&from.sysctls, pattern)?,
        probe_hosts: each(&from.probe_hosts, pattern)?,
        host_ports: each(&from.host_ports, ports)?,
        limits: limits(&from.limits)?,
    })
}

fn volume(text: &Text, words: &[(&'static str, VolumeType)]) -> Result<VolumeType, Fault> {
    match text.value.as_str() {
        "configMap" | "secret" | "downwardAPI" => Err(wrong(
            text,
            "is no word of its own here",
            "write projected, which stands for all that is made from objects",
        )),
        "hostPath" => Err(wrong(text, "is not allowed as a whole", "name the paths below allow.hostPaths")),
        _ => word(text, "type of volume", words),
    }
}

fn preset(text: &Text) -> Result<(Pattern, Option<Pattern>), Fault> {
    let bad = || wrong(text, "names no preset", "write a name as postgresql, or with a version: \"postgresql 15.*\"");
    let mut words = text.value.split(' ');
    let (name, version, rest) = (words.next(), words.next(), words.next());
    let name = name.and_then(|name| Pattern::new(name).ok()).filter(|_| rest.is_none()).ok_or_else(bad)?;
    let version = version.map(|version| Pattern::new(version).map_err(|_| bad())).transpose()?;
    Ok((name, version))
}

fn command(text: &Text) -> Result<Pattern, Fault> {
    let value = &text.value;
    let strange = value.split('/').any(|part| matches!(part, "." | ".."));
    if strange || (value.contains('/') && !value.starts_with('/') && !value.starts_with("**")) {
        let hint = "write an absolute path as /usr/bin/*, a name without '/' that is found on the PATH, or \"*\"";
        return Err(wrong(text, "names no program", hint));
    }
    pattern(text)
}

fn host_path(from: &HostPathFile) -> Result<HostPath, Fault> {
    let text = &from.path_prefix;
    let path = Path::new(&text.value);
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(wrong(text, "is no path prefix", "write an absolute path without '..'"));
    }
    if text.value.contains('*') {
        return Err(wrong(text, "has a '*'", "a prefix is a directory; all that lies in it is allowed"));
    }
    Ok(HostPath { prefix: PathBuf::from(&text.value), read_only: from.read_only })
}

fn device(text: &Text) -> Result<Pattern, Fault> {
    let value = &text.value;
    if !value.starts_with("/dev/") || value.split('/').any(|part| part == "..") {
        return Err(wrong(text, "names no device", "write a path as /dev/sdb or /dev/nvme*"));
    }
    pattern(text)
}

fn capabilities(from: &[Text]) -> Result<Capabilities, Fault> {
    let mut found = Capabilities::default();
    let words: Vec<(&str, u32)> = CAPABILITIES.into_iter().zip(0..).collect();
    for text in from {
        match text.value.strip_prefix("CAP_") {
            Some(name) => return Err(wrong(text, "begins with CAP_", format!("write {name}, as Kubernetes does"))),
            None if text.value == "*" => found.all = true,
            None => drop(found.numbers.insert(word(text, "capability", &words)?)),
        }
    }
    Ok(found)
}

fn profiles(from: &[Text]) -> Result<Vec<Profile>, Fault> {
    let hint = "write Unconfined, RuntimeDefault, or localhost/ and a profile's name";
    let read = |text: &Text| Profile::parse(&text.value).map_err(|()| wrong(text, "is no profile", hint));
    Ok(each(from, read)?.into_iter().flatten().collect())
}

fn ports(text: &Text) -> Result<RangeInclusive<u16>, Fault> {
    let (first, last) = text.value.split_once('-').unwrap_or((&text.value, &text.value));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(first..=last),
        _ => Err(wrong(text, "is no port", "write a number, or a range as 8000-8999")),
    }
}

fn limits(from: &LimitsFile) -> Result<Limits, Fault> {
    Ok(Limits {
        cpu: from.cpu.as_ref().map(quantity).transpose()?,
        memory: from.memory.as_ref().map(quantity).transpose()?,
        pids: from.pids,
        pods: from.pods,
    })
}

fn quantity<T: FromStr>(text: &Text) -> Result<T, Fault>
where
    T::Err: std::fmt::Display,
{
    text.value.parse().map_err(|_| wrong(text, "is no quantity", "write it as 2, 500m or 8Gi"))
}
