//! Who asks, and for what: which rules are about it, and how rules stand beside each other.

#![expect(clippy::unwrap_used, reason = "the names of tests are fixed")]

use barepod_model::{Namespace, Permit, Source};
use barepod_policy::{Policy, Subject, User, Verb, judge, may, parse};

use crate::bench::{Made, container, pod, policy, root, verdict};

fn rules(text: &str) -> Policy {
    parse("policy.yaml", &format!("apiVersion: barepod.dev/v1alpha1\nkind: Policy\nrules:\n{text}")).unwrap()
}

/// A rule that allows what the pod of these tests needs.
fn rule(name: &str, subjects: &str, more: &str) -> String {
    format!(
        "  - name: {name}\n    subjects: {subjects}\n    verbs: [apply]\n    allow: {{presets: [service], users: [preset], \
         seccompProfiles: [RuntimeDefault]{more}}}\n"
    )
}

fn user(uid: u32, groups: &[u32]) -> Subject {
    Subject { source: Source::File, user: Some(User { uid, groups: groups.to_vec() }) }
}

fn of(source: Source) -> Subject {
    Subject { source, user: None }
}

#[test]
fn a_rule_is_about_its_sources_users_groups_and_namespaces() {
    let subjects =
        "{sources: [file, nomad], namespaces: [shop-*, default], users: [alice, 5000-5999], groups: [developers]}";
    let policy = rules(&rule("r", subjects, ""));
    for (subject, namespace, is_about) in [
        (user(1000, &[]), "default", true),
        (user(1000, &[]), "shop-eu", true),
        (user(1000, &[]), "prod", false),
        (user(5500, &[]), "default", true),
        (user(6000, &[]), "default", false),
        (user(6000, &[100, 2000]), "default", true),
        (user(0, &[0]), "default", false),
        (of(Source::Nomad), "default", true),
        (of(Source::Kubernetes), "default", false),
    ] {
        let mut pod = pod();
        pod.namespace = Namespace::new(namespace).unwrap();
        let verdict = judge(&policy, &subject, &pod, &Made);
        assert_eq!(verdict.is_allowed(), is_about, "{subject} {namespace}: {}", verdict.explain());
        assert_eq!(verdict.rules[0].not_about.is_none(), is_about);
    }
}

#[test]
fn everybody_is_a_subject_of_a_star_and_root_too() {
    let policy = rules(&rule("r", "{sources: [file], namespaces: [\"*\"], users: [\"*\"]}", ""));
    assert!(judge(&policy, &user(0, &[]), &pod(), &Made).is_allowed());
    assert!(judge(&policy, &user(4711, &[]), &pod(), &Made).is_allowed());
}

#[test]
fn the_powers_of_two_rules_do_not_add_up() {
    let subjects = "{sources: [file], namespaces: [\"*\"], users: [root]}";
    let mut pod = pod();
    pod.containers[0].launch.capabilities.push(12);
    pod.containers[0].launch.namespaces.host_pid = true;
    let (net, pid) = (", capabilities: [NET_ADMIN]", ", hostPID: true");
    let two = rules(&(rule("net", subjects, net) + &rule("pid", subjects, pid)));
    assert!(!verdict(&two, &pod).is_allowed());
    let one = rules(&(rule("other", subjects, "") + &rule("both", subjects, &format!("{net}{pid}"))));
    assert_eq!(verdict(&one, &pod).allowed_by.as_deref(), Some("both"));
}

#[test]
fn the_order_of_rules_does_not_matter() {
    let subjects = "{sources: [file], namespaces: [\"*\"], users: [root]}";
    let (narrow, wide) = (rule("narrow", "{sources: [nomad], namespaces: [x]}", ""), rule("wide", subjects, ""));
    for text in [narrow.clone() + &wide, wide.clone() + &narrow] {
        assert!(verdict(&rules(&text), &pod()).is_allowed());
    }
}

#[test]
fn a_policy_without_rules_denies_and_says_so() {
    let verdict = verdict(&rules("  []\n"), &pod());
    assert!(verdict.denial().unwrap().contains("it has no rules"));
}

#[test]
fn a_denial_names_the_nearest_rule_its_line_what_it_lacks_and_the_addition() {
    let mut pod = pod();
    pod.containers[0].launch.capabilities.push(12);
    insta::assert_snapshot!(verdict(&policy(&[]), &pod).denial().unwrap(), @r#"policy.yaml does not allow to apply pod default/db, source file, user root: rule "r" (line 4) comes nearest and does not allow capability NET_ADMIN (spec.containers[0].securityContext.capabilities.add); the smallest addition to it: allow.capabilities: [NET_ADMIN]"#);
    let foreign = judge(&policy(&[]), &user(1000, &[]), &pod, &Made);
    insta::assert_snapshot!(foreign.denial().unwrap(), @r#"policy.yaml does not allow to apply pod default/db, source file, user 1000: no rule is about it (rule "r": its users and groups have no "1000")"#);
}

#[test]
fn a_verdict_is_explained_rule_by_rule() {
    let subjects = "{sources: [file], namespaces: [\"*\"], users: [root]}";
    let (near, far) =
        (rule("near", subjects, ", limits: {pods: 3}"), rule("far", "{sources: [nomad], namespaces: [x]}", ""));
    let mut pod = pod();
    pod.containers[0].launch.capabilities.push(12);
    pod.containers[0].launch.user.groups.push(6);
    insta::assert_snapshot!(verdict(&rules(&(near + &far)), &pod).explain(), @r#"
    apply pod default/db, source file, user root: denied
      policy.yaml:4: rule "near" does not allow it
        + spec.containers[0].image: preset service 15.2
        + spec.containers[0].securityContext.runAsUser: user 113, the preset's own
        - spec.containers[0].securityContext.supplementalGroups: group 6; to allow it: allow.groups: [6]
        - spec.containers[0].securityContext.capabilities.add: capability NET_ADMIN; to allow it: allow.capabilities: [NET_ADMIN]
        at most 3 pods at once
      policy.yaml:8: rule "far" is not about this: its sources have no "file"
    "#);
}

#[test]
fn a_rule_may_bound_the_number_of_pods_unless_another_does_not() {
    let subjects = "{sources: [file], namespaces: [\"*\"], users: [root]}";
    let few = rules(&rule("few", subjects, ", limits: {pods: 3}"));
    let Permit::Granted(quotas) = verdict(&few, &pod()).permit(&few) else { panic!("denied") };
    assert_eq!((quotas.len(), quotas[0].most, quotas[0].rule.as_str()), (1, 3, "few"));
    let many = rules(&(rule("few", subjects, ", limits: {pods: 3}") + &rule("many", subjects, "")));
    assert_eq!(verdict(&many, &pod()).permit(&many), Permit::Granted(Vec::new()));
}

#[test]
fn an_exec_needs_its_verb_and_its_program() {
    let text = "  - name: look\n    subjects: {sources: [file], namespaces: [shop], groups: [developers]}\n    verbs: [get, logs, exec]\n    allow: {commands: [psql]}\n";
    let policy = rules(text);
    let (alice, container) = (user(1000, &[2000]), container());
    let ask = |subject: &Subject, verb, namespace, program: Option<&str>| {
        let exec = program.map(|program| (program, &container));
        may(&policy, subject, verb, (Some(namespace), "pod shop/db"), exec, &Made).is_allowed()
    };
    assert!(ask(&alice, Verb::Exec, "shop", Some("psql")));
    assert!(!ask(&alice, Verb::Exec, "shop", Some("sh")));
    assert!(!ask(&alice, Verb::Exec, "default", Some("psql")));
    assert!(!ask(&user(1001, &[]), Verb::Exec, "shop", Some("psql")));
    assert!(ask(&alice, Verb::Logs, "shop", None) && ask(&alice, Verb::Get, "shop", None));
    for verb in [Verb::Apply, Verb::Delete, Verb::Restart, Verb::Stop, Verb::Attach] {
        assert!(!ask(&alice, verb, "shop", None), "{verb:?}");
    }
}

#[test]
fn what_belongs_to_no_namespace_needs_a_rule_about_all() {
    let one = rules(&rule("r", "{sources: [file], namespaces: [\"**\"], users: [root]}", ""));
    let all = rules(&rule("r", "{sources: [file], namespaces: [\"*\"], users: [root]}", ""));
    let ask = |policy| may(policy, &root(), Verb::Apply, (None, "persistentvolume/v"), None, &Made).is_allowed();
    assert!(!ask(&one) && ask(&all));
}
