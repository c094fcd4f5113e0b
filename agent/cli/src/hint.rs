//! What to type instead, for those whose fingers know other tools.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Words of kubectl, systemctl, docker and others, and what does it here.
const FOREIGN: [(&[&str], &str); 29] = [
    (&["create", "add", "new"], "barepod apply -f FILE"),
    (&["edit", "patch", "label", "annotate", "replace", "set"], "change the manifest, and barepod apply -f FILE"),
    (&["ps", "ls", "list", "list-units", "pods"], "barepod get pods"),
    (&["status", "show", "is-active"], "barepod describe NAME"),
    (&["inspect", "cat"], "barepod get pod NAME -o yaml"),
    (&["rm", "remove", "kill", "destroy", "purge"], "barepod delete NAME"),
    (&["up"], "barepod apply -f FILE, or barepod start NAME"),
    (&["down"], "barepod stop NAME, or barepod delete NAME"),
    (&["enable", "unmask"], "barepod start NAME: what is not stopped is begun at each boot"),
    (&["disable", "mask"], "barepod stop NAME: it stays stopped over a boot"),
    (&["reload", "rollout", "try-restart"], "barepod restart NAME"),
    (
        &["daemon-reload"],
        "nothing: barepodd sees manifests and policy change by itself; for barepod.yaml, systemctl reload barepod",
    ),
    (&["scale"], "a host runs one of each pod: apply another one under another name"),
    (
        &["port-forward", "proxy", "expose"],
        "nothing: services listen on the host's own addresses; see barepod port list",
    ),
    (&["drain", "cordon"], "barepod host shutdown ends all pods in order; on a node of a cluster, kubectl drain"),
    (&["stats", "usage", "metrics"], "barepod top"),
    (&["journal", "journalctl", "tail"], "barepod logs -f NAME"),
    (&["shell", "sh", "bash", "ssh", "enter", "console"], "barepod exec -it NAME -- sh"),
    (&["images", "image"], "barepod preset list --images"),
    (&["pull", "install"], "nothing is pulled here: barepod preset list says which software is installed"),
    (&["presets"], "barepod preset list"),
    (&["explain", "render"], "barepod preset explain NAME"),
    (&["node", "nodes", "cluster", "join"], "barepod kube status, or barepod kube join"),
    (&["benchmark", "fio", "iostat", "disk"], "barepod bench disk DIR; barepod top shows what pods read and write"),
    (&["settings", "configuration"], "barepod config view; its keys are explained in /etc/barepod/barepod.yaml"),
    (&["auth", "can-i"], "barepod policy check FILE"),
    (&["check", "lint", "test"], "barepod validate FILE"),
    (&["secret", "secrets", "configmap", "configmaps"], "barepod apply -f FILE; they lie in /etc/barepod/manifests"),
    (&["history", "logs-events", "log-events"], "barepod events NAME"),
];

/// An error of the command line with a tip of ours in the place of the grammar's guesses, where there is more to say than it knows:
/// by its letters alone `status` is near to `start`.
pub(crate) fn amend(mut error: clap::Error) -> clap::Error {
    let Some(tip) = tip(&error) else { return error };
    for guess in [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue] {
        error.remove(guess);
    }
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}

fn tip(error: &clap::Error) -> Option<String> {
    match (error.kind(), error.get(ContextKind::InvalidSubcommand), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(word)), _) if word.contains('/') => path(word, error),
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(word)), _) => {
            let known = FOREIGN.iter().find(|(words, _)| words.contains(&word.as_str()));
            known.map(|(_, instead)| (*instead).to_owned())
        }
        (ErrorKind::UnknownArgument, _, Some(ContextValue::String(word))) if word.starts_with('-') => argument(word),
        (ErrorKind::UnknownArgument, _, Some(ContextValue::String(word))) => plain_word(word, error),
        _ => None,
    }
}

/// A path where a verb belongs.
fn path(word: &str, error: &clap::Error) -> Option<String> {
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    usage.contains("barepod bench").then(|| format!("what is measured comes first: barepod bench disk {word}"))
}

/// A word where there is no place for one.
fn plain_word(word: &str, error: &clap::Error) -> Option<String> {
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    if [".yaml", ".yml", ".json"].iter().any(|end| word.ends_with(end)) {
        return Some(format!("a file comes after -f: -f {word}"));
    }
    usage.contains("<COMMAND>").then(|| format!("a command comes after --: -- {word}"))
}

/// An option of another tool.
fn argument(word: &str) -> Option<String> {
    let instead = match word.split('=').next().unwrap_or(word) {
        "--force" | "--now" => "--grace-period 0 ends a pod at once",
        "--replicas" => "a host runs one of each pod",
        "--image" => "name the image as PRESET: barepod run postgres:15",
        "--env" | "-e" => "--set NAME=VALUE sets a variable",
        "--port" | "-p" => "services listen on the host's own ports; arguments of the service come after --",
        "--volume" | "-v" => {
            "what is to be kept has a claim already; write other volumes into a manifest (--dry-run prints one)"
        }
        "--template" | "--go-template" => "-o jsonpath=TEMPLATE",
        "--kubeconfig" | "--context" | "--server" => "barepod speaks with the daemon of this host alone (--socket)",
        "--user" => "whom a container runs as is its manifest's word (securityContext.runAsUser)",
        "--lines" => "--tail LINES",
        _ => return None,
    };
    Some(instead.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use clap::CommandFactory as _;

    use super::*;
    use crate::args::{self, Args};

    /// What is printed for a line that is wrong.
    fn said(line: &str) -> String {
        let error = amend(args::parse(line.split_whitespace()).expect_err(line));
        assert_eq!(error.exit_code(), 2, "{line}");
        error.render().to_string()
    }

    /// Wrong lines, and a part of what has to be said to each.
    const WRONG: [(&str, &str); 63] = [
        ("barepod create -f pod.yaml", "barepod apply -f FILE"),
        ("barepod edit db", "barepod apply -f FILE"),
        ("barepod ps", "barepod get pods"),
        ("barepod status db", "barepod describe NAME"),
        ("barepod inspect db", "barepod get pod NAME -o yaml"),
        ("barepod rm db", "barepod delete NAME"),
        ("barepod up", "barepod start NAME"),
        ("barepod down", "barepod stop NAME"),
        ("barepod enable db", "barepod start NAME"),
        ("barepod disable db", "barepod stop NAME"),
        ("barepod reload db", "barepod restart NAME"),
        ("barepod daemon-reload", "by itself"),
        ("barepod scale db --replicas=3", "another name"),
        ("barepod port-forward db 5432", "barepod port list"),
        ("barepod drain", "barepod host shutdown"),
        ("barepod stats", "barepod top"),
        ("barepod journalctl", "barepod logs -f NAME"),
        ("barepod shell db", "barepod exec -it NAME -- sh"),
        ("barepod images", "barepod preset list --images"),
        ("barepod pull postgres", "barepod preset list"),
        ("barepod explain postgresql", "barepod preset explain NAME"),
        ("barepod nodes", "barepod kube status"),
        ("barepod settings", "barepod config view"),
        ("barepod check pod.yaml", "barepod validate FILE"),
        ("barepod log db", "'logs'"),
        ("barepod aply -f x", "'apply'"),
        ("barepod decribe db", "'describe'"),
        ("barepod apply pod.yaml", "-f pod.yaml"),
        ("barepod apply", "--filename <FILE>"),
        ("barepod get pods --all-namespace", "'--all-namespaces'"),
        ("barepod get pods -o table", "write json, yaml, wide, name, jsonpath=TEMPLATE"),
        ("barepod get pods -o jsonpath=.items", "write {.items}"),
        ("barepod get pods -o jsonpath={.items[*}", "character 10"),
        ("barepod get pods -o custom-columns=.metadata.name", "write HEADING:PATH"),
        ("barepod get pods --sort-by .items[", "character 8"),
        ("barepod get pods --sort-by=.metadata.name -w", "cannot be used with"),
        ("barepod get pods -l app=db,", "missing after this comma"),
        ("barepod get pods --field-selector spec.image=x", "there are metadata.name"),
        ("barepod get pod db -l app", "names and selectors exclude each other"),
        ("barepod get svc", "barepod port list"),
        ("barepod get pods,events", "one type at a time"),
        ("barepod delete db -l app", "names and selectors exclude each other"),
        ("barepod describe", "<POD"),
        ("barepod logs db -c main --all-containers", "cannot be used with"),
        ("barepod exec db sh", "-- sh"),
        ("barepod exec db", "<COMMAND>"),
        ("barepod logs", "<POD>"),
        ("barepod logs db --follows", "'--follow'"),
        ("barepod logs db --tail all", "invalid digit"),
        ("barepod logs db --since yesterday", "90s, 5m, 2h or 3d"),
        ("barepod logs db --lines 5", "--tail LINES"),
        ("barepod delete", "<POD>"),
        ("barepod delete db --force", "--grace-period 0"),
        ("barepod delete db --all", "names and --all exclude each other"),
        ("barepod delete -A", "--all"),
        ("barepod run", "<PRESET>"),
        ("barepod run postgresql --env A=b", "--set NAME=VALUE"),
        ("barepod run postgresql -o yaml", "--dry-run"),
        ("barepod top --interval 0", "from 0.1 to 3600"),
        ("barepod cp db:/tmp/dump.sql", "<TO>"),
        ("barepod benchmark /srv", "barepod bench disk DIR"),
        ("barepod bench /srv", "barepod bench disk /srv"),
        ("barepod bench disk /srv --size 1GB", "1GB"),
    ];

    #[test]
    fn every_wrong_line_is_answered_with_what_to_type_instead() {
        let mut all = String::new();
        for (line, expected) in WRONG {
            let said = said(line);
            assert!(said.contains(expected), "{line}: {expected}: {said}");
            writeln!(all, "$ {line}\n{said}").unwrap();
        }
        insta::assert_snapshot!(all);
    }

    #[test]
    fn no_word_of_others_is_a_verb_here() {
        let command = Args::command();
        let verbs: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
        for word in FOREIGN.iter().flat_map(|(words, _)| *words) {
            assert!(!verbs.contains(word), "{word}");
        }
    }

    /// Its help, and that of all below it.
    fn help(command: &mut clap::Command, all: &mut String) {
        let (text, name) = (command.render_long_help(), command.get_bin_name().unwrap_or("barepod"));
        writeln!(all, "==== {name}\n\n{text}").unwrap();
        command.get_subcommands_mut().filter(|below| below.get_name() != "help").for_each(|below| help(below, all));
    }

    #[test]
    fn every_verb_says_what_it_does() {
        let mut command = Args::command().disable_help_subcommand(true).term_width(100);
        command.build();
        let mut all = String::new();
        help(&mut command, &mut all);
        insta::assert_snapshot!(all);
    }
}
