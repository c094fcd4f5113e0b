//! The policy at the socket: what a user who may use it may do there.
//!
//! Root, and the user that the daemon runs as, need no rule but for pods: they could do all the rest by hand. The bridge
//! sees all pods, and does to a cluster's what a kubelet does: who may ask for that is the cluster's to say. Nomad's driver runs as
//! root and does what whoever submits jobs wants: to pods that are not Nomad's, what a rule for the source `nomad` allows.

use barepod_api::{ActsFor, refusal};
use barepod_core::PodView;
use barepod_model::{Container, Reason, Source};
use barepod_policy::{Subject, User, Verb};
use nix::unistd::geteuid;
use tonic::{Code, Status};

use crate::policy::Rules;

/// One user at the socket.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    rules: Rules,
    user: User,
    is_bridge: bool,
    acts_for: Option<ActsFor>,
}

impl Gate {
    pub(super) fn new(rules: &Rules, user: User, is_bridge: bool, acts_for: Option<ActsFor>) -> Self {
        Self { rules: rules.clone(), user, is_bridge, acts_for }
    }

    /// Whether the user may do this to a pod.
    ///
    /// # Errors
    /// `Forbidden`, with what would allow it.
    pub(super) fn may(&self, verb: Verb, view: &PodView) -> Result<(), Status> {
        self.word(verb, view, None).map_err(forbidden)
    }

    /// Whether the user may run this program in this container of a pod.
    ///
    /// # Errors
    /// As for [`may`](Self::may).
    pub(super) fn may_exec(&self, view: &PodView, program: &str, container: &Container) -> Result<(), Status> {
        self.word(Verb::Exec, view, Some((program, container))).map_err(forbidden)
    }

    /// Whether the user may see a pod.
    pub(super) fn sees(&self, view: &PodView) -> bool {
        self.word(Verb::Get, view, None).is_ok()
    }

    /// Whether the user may see what belongs to this namespace.
    pub(super) fn sees_namespace(&self, namespace: &str) -> bool {
        self.ask(Source::File, Verb::Get, (namespace, "events"), None).is_ok()
    }

    fn word(&self, verb: Verb, view: &PodView, exec: Option<(&str, &Container)>) -> Result<(), String> {
        let source = view.pod.as_ref().map_or(Source::File, |pod| pod.source);
        match &view.name {
            Some((namespace, name)) => {
                let what = format!("pod {namespace}/{name}");
                self.ask(source, verb, (namespace.as_str(), &what), exec)
            }
            None => self.ask(source, verb, ("", &format!("pod {}", view.uid)), exec),
        }
    }

    fn ask(
        &self,
        source: Source,
        verb: Verb,
        place: (&str, &str),
        exec: Option<(&str, &Container)>,
    ) -> Result<(), String> {
        let held = self.rules.held();
        let is_exempt = self.user.uid == 0 || self.user.uid == geteuid().as_raw();
        // Every pod may be counted, and so seen. Of who has no such exemption it is nothing: to act for somebody else gives no rights.
        if is_exempt && self.acts_for == Some(ActsFor::Nomad) && source != Source::Nomad && verb != Verb::Get {
            return held.may(&Subject { source: Source::Nomad, user: None }, verb, place, exec);
        }
        let is_bridges = match verb {
            Verb::Get => true,
            Verb::Logs | Verb::Exec | Verb::Attach | Verb::Condition => source == Source::Kubernetes,
            Verb::Apply | Verb::Delete | Verb::Restart | Verb::Stop => false,
        };
        if is_exempt || (self.is_bridge && is_bridges) {
            return Ok(());
        }
        held.may(&Subject { source, user: Some(self.user.clone()) }, verb, place, exec)
    }
}

fn forbidden(message: String) -> Status {
    refusal(Code::PermissionDenied, Reason::Forbidden.as_str(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOMADS: &str = r#"apiVersion: barepod.dev/v1alpha1
kind: Policy
rules:
  - name: jobs
    subjects: {sources: [nomad], namespaces: ["*"]}
    verbs: [logs]
    allow: {}
"#;

    #[test]
    fn to_act_for_nomad_takes_rights_from_root_and_gives_none_to_anybody() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("policy.yaml");
        std::fs::write(&file, NOMADS).unwrap();
        let rules = Rules::load(file);
        let may = |uid: u32, acts_for, verb| {
            let gate = Gate::new(&rules, User { uid, groups: vec![uid] }, false, acts_for);
            gate.ask(Source::File, verb, ("default", "pod default/db"), None).is_ok()
        };
        let nomad = Some(ActsFor::Nomad);
        assert!(may(0, None, Verb::Delete) && may(0, nomad, Verb::Get));
        assert!(may(0, nomad, Verb::Logs), "the rule for Nomad");
        assert!(!may(0, nomad, Verb::Delete));
        assert!(!may(65_533, nomad, Verb::Logs), "the rule is not for a user who says that he is Nomad");
    }
}
