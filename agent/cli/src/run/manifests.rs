//! From a preset's plan to manifests.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use barepod_presets::{Password, RunPlan};
use serde_json::{Value, json};

/// Where passwords lie in the container, each in a file named by its variable.
const CREDENTIALS: &str = "/run/secrets/credentials";

/// What the command line asks for.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) memory: Option<String>,
    pub(crate) cpu: Option<String>,
    /// Size of each claim.
    pub(crate) storage: Option<String>,
    /// Variables of the container.
    pub(crate) set: BTreeMap<String, String>,
    /// Arguments after those of the plan.
    pub(crate) args: Vec<String>,
}

impl Wish {
    /// The name of the Secret with the passwords.
    pub(crate) fn secret(&self) -> String {
        format!("{}-credentials", self.name)
    }
}

/// The passwords that have to be made: those that nobody keeps in a file of his own.
///
/// # Errors
/// One is given on the command line, where everybody on the host can read it.
pub(crate) fn to_be_made<'a>(plan: &'a RunPlan, wish: &Wish) -> Result<Vec<&'a Password>> {
    for Password { variable, in_file } in &plan.passwords {
        if wish.set.contains_key(variable) {
            let way = if *in_file { format!(", or give --set {variable}_FILE=PATH") } else { String::new() };
            bail!(
                "--set {variable}: everybody on this host can read a command line; leave it out, and a password is made \
                 and kept in a Secret{way}"
            );
        }
    }
    let is_made = |password: &&Password| !wish.set.contains_key(&format!("{}_FILE", password.variable));
    Ok(plan.passwords.iter().filter(is_made).collect())
}

/// The objects: claims where their size is wanted, the Secret if its passwords are new, and the pod.
pub(crate) fn manifests(
    plan: &RunPlan,
    wish: &Wish,
    passwords: &[&Password],
    made: Option<&BTreeMap<String, String>>,
) -> Vec<Value> {
    let mut objects = Vec::new();
    if let Some(size) = &wish.storage {
        objects.extend(plan.volumes.iter().map(|(volume, _)| claim(wish, volume, size)));
    }
    objects.extend(made.map(|made| secret(wish, made)));
    objects.push(pod(plan, wish, passwords));
    objects
}

fn metadata(wish: &Wish, name: &str) -> Value {
    json!({"name": name, "namespace": wish.namespace})
}

fn claim_of(wish: &Wish, volume: &str) -> String {
    format!("{}-{volume}", wish.name)
}

fn claim(wish: &Wish, volume: &str, size: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(wish, &claim_of(wish, volume)),
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    })
}

fn secret(wish: &Wish, made: &BTreeMap<String, String>) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata(wish, &wish.secret()), "stringData": made})
}

fn pod(plan: &RunPlan, wish: &Wish, passwords: &[&Password]) -> Value {
    let mut container = json!({"name": plan.preset, "image": plan.image});
    let args: Vec<_> = plan.args.iter().chain(&wish.args).collect();
    let mut env: Vec<Value> = passwords.iter().map(|password| variable_of(password, &wish.secret())).collect();
    let plain: BTreeMap<_, _> = plan.env.iter().chain(&wish.set).collect();
    env.extend(plain.into_iter().map(|(name, value)| json!({"name": name, "value": value})));
    let limits: BTreeMap<_, _> = [("cpu", &wish.cpu), ("memory", &wish.memory)].into_iter().collect();
    let limits: BTreeMap<_, _> =
        limits.into_iter().filter_map(|(name, amount)| Some((name, amount.as_ref()?))).collect();
    let mut volumes = Vec::new();
    let mut mounts = Vec::new();
    for (name, path) in &plan.volumes {
        volumes.push(json!({"name": name, "persistentVolumeClaim": {"claimName": claim_of(wish, name)}}));
        mounts.push(json!({"name": name, "mountPath": path}));
    }
    if passwords.iter().any(|password| password.in_file) {
        volumes.push(json!({"name": "credentials", "secret": {"secretName": wish.secret()}}));
        mounts.push(json!({"name": "credentials", "mountPath": CREDENTIALS, "readOnly": true}));
    }
    put(&mut container, "args", json!(args));
    put(&mut container, "env", json!(env));
    if !limits.is_empty() {
        container["resources"] = json!({"limits": limits});
    }
    put(&mut container, "volumeMounts", json!(mounts));
    let mut spec = json!({"runtimeClassName": "barepod", "containers": [container]});
    put(&mut spec, "volumes", json!(volumes));
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata(wish, &wish.name), "spec": spec})
}

/// By a file where the image reads one: then it is in no environment.
fn variable_of(Password { variable, in_file }: &Password, secret: &str) -> Value {
    if *in_file {
        return json!({"name": format!("{variable}_FILE"), "value": format!("{CREDENTIALS}/{variable}")});
    }
    json!({"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": variable}}})
}

/// A list that is not empty.
fn put(object: &mut Value, key: &str, list: Value) {
    if list.as_array().is_some_and(|list| !list.is_empty()) {
        object[key] = list;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> RunPlan {
        let password = |variable: &str, in_file| Password { variable: variable.to_owned(), in_file };
        RunPlan {
            preset: "db".to_owned(),
            image: "db:15".to_owned(),
            args: vec!["serve".to_owned()],
            env: [("USER".to_owned(), "admin".to_owned())].into(),
            volumes: vec![("data".to_owned(), "/data".to_owned())],
            passwords: vec![password("DB_PASSWORD", true), password("DB_TOKEN", false)],
        }
    }

    fn wish() -> Wish {
        Wish { namespace: "shop".to_owned(), name: "main".to_owned(), ..Wish::default() }
    }

    fn yaml(objects: &[Value]) -> String {
        objects.iter().map(|object| serde_saphyr::to_string(object).unwrap()).collect::<Vec<_>>().join("---\n")
    }

    #[test]
    fn the_manifests_are_those_that_a_person_would_write() {
        let wish = Wish {
            memory: Some("1Gi".to_owned()),
            storage: Some("10Gi".to_owned()),
            set: [("USER".to_owned(), "boss".to_owned())].into(),
            args: vec!["--fast".to_owned()],
            ..wish()
        };
        let plan = plan();
        let passwords = to_be_made(&plan, &wish).unwrap();
        let made = [("DB_PASSWORD".to_owned(), "p".to_owned()), ("DB_TOKEN".to_owned(), "t".to_owned())].into();
        insta::assert_snapshot!(yaml(&manifests(&plan, &wish, &passwords, Some(&made))));
    }

    #[test]
    fn what_is_not_asked_for_is_not_written() {
        let plan =
            RunPlan { args: Vec::new(), env: BTreeMap::new(), volumes: Vec::new(), passwords: Vec::new(), ..plan() };
        insta::assert_snapshot!(yaml(&manifests(&plan, &wish(), &[], None)));
    }

    #[test]
    fn a_password_is_not_taken_from_the_command_line_but_its_file_is() {
        let with = |name: &str| Wish { set: [(name.to_owned(), "x".to_owned())].into(), ..wish() };
        let plan = plan();
        let refused = to_be_made(&plan, &with("DB_PASSWORD")).unwrap_err().to_string();
        assert!(refused.contains("--set DB_PASSWORD_FILE=PATH"), "{refused}");
        assert!(!to_be_made(&plan, &with("DB_TOKEN")).unwrap_err().to_string().contains("_FILE"));
        let left = to_be_made(&plan, &with("DB_PASSWORD_FILE")).unwrap();
        assert_eq!(left.iter().map(|password| password.variable.as_str()).collect::<Vec<_>>(), ["DB_TOKEN"]);
    }
}
