//! What the kernel is to keep a container from: the rest of `securityContext`.

use std::collections::BTreeMap;

use barepod_model::{AppArmor, Confinement, Reason, SeLinux, Seccomp};
use k8s_openapi::api::core::v1::{
    AppArmorProfile, PodSecurityContext, SELinuxOptions, SeccompProfile, SecurityContext, Sysctl,
};

use crate::container::{ParsedContainer, Surroundings};
use crate::context::HostFacts;
use crate::error::{Finding, Findings};
use crate::place::FieldPath;
use crate::{paths, security};

/// kubelet's list of safe ones, as far as they are not of the network, which pods share with the host
/// (`SafeSysctlAllowlist`).
const SAFE: [&str; 1] = ["kernel.shm_rmid_forced"];
/// What else belongs to an IPC namespace (kubelet's `IsNamespaced`).
const OF_IPC: [&str; 4] = ["kernel.sem", "kernel.shm", "kernel.msg", "fs.mqueue."];

/// Reads it. What the container says itself takes the place of what its pod says.
pub(crate) fn parse(
    own: Option<&SecurityContext>,
    pod: &Surroundings<'_>,
    path: &FieldPath,
    out: &mut Findings,
) -> Confinement {
    let shared = pod.spec.security_context.as_ref();
    let shared_path = pod.path.key("securityContext");
    let privileged = own.and_then(|s| s.privileged).unwrap_or_default();
    escalation(own, privileged, path, out);
    let seccomp = match (own.and_then(|s| s.seccomp_profile.as_ref()), shared.and_then(|s| s.seccomp_profile.as_ref()))
    {
        (Some(profile), _) => seccomp(profile, &path.key("seccompProfile"), out),
        (None, Some(profile)) => seccomp(profile, &shared_path.key("seccompProfile"), out),
        (None, None) => Seccomp::Unset,
    };
    let app_armor =
        match (own.and_then(|s| s.app_armor_profile.as_ref()), shared.and_then(|s| s.app_armor_profile.as_ref())) {
            (Some(profile), _) => app_armor(profile, &path.key("appArmorProfile"), out),
            (None, Some(profile)) => app_armor(profile, &shared_path.key("appArmorProfile"), out),
            (None, None) => AppArmor::Unset,
        };
    let se_linux = own.and_then(|s| s.se_linux_options.as_ref()).or(shared.and_then(|s| s.se_linux_options.as_ref()));
    Confinement {
        privileged,
        unmasked_proc: proc_mount(own, &path.key("procMount"), out),
        seccomp,
        app_armor,
        se_linux: se_linux.map(label),
        landlock: false,
        sysctls: sysctls(shared, pod.spec.host_ipc.unwrap_or_default(), &shared_path.key("sysctls"), out),
    }
}

/// Checks what depends on the host.
pub(crate) fn enforceable(container: &ParsedContainer, host: &HostFacts, out: &mut Findings) {
    let path = container.path.key("securityContext");
    let wanted = &container.request.confinement;
    if matches!(wanted.app_armor, AppArmor::RuntimeDefault | AppArmor::Localhost(_)) && !host.app_armor {
        let message = "AppArmor is not enabled on this host, so no profile can be enforced";
        let finding = Finding::new(Reason::AppArmor, &path.key("appArmorProfile"), message);
        out.error(finding.hint("remove it, or enable AppArmor"));
    }
    if wanted.se_linux.is_some() && !host.se_linux {
        let message = "it has no effect: this host has no SELinux policy";
        out.warn(Finding::new(Reason::UnsupportedField, &path.key("seLinuxOptions"), message));
    }
}

/// A container that has it all cannot be kept from gaining more.
fn escalation(own: Option<&SecurityContext>, privileged: bool, path: &FieldPath, out: &mut Findings) {
    if own.and_then(|s| s.allow_privilege_escalation) != Some(false) {
        return;
    }
    let added = own.and_then(|s| s.capabilities.as_ref()).and_then(|c| c.add.as_deref()).unwrap_or_default();
    let admin = added.iter().any(|name| security::is_capability(name, "SYS_ADMIN"));
    let because = match (privileged, admin) {
        (true, _) => "the container is privileged",
        (false, true) => "the container has CAP_SYS_ADMIN",
        (false, false) => return,
    };
    let message = format!("it cannot be false, since {because}");
    let path = path.key("allowPrivilegeEscalation");
    out.error(Finding::new(Reason::InvalidValue, &path, message).hint("remove one of the two"));
}

fn proc_mount(own: Option<&SecurityContext>, path: &FieldPath, out: &mut Findings) -> bool {
    match own.and_then(|s| s.proc_mount.as_deref()) {
        None | Some("" | "Default") => false,
        Some("Unmasked") => true,
        Some(other) => {
            let finding = Finding::new(Reason::InvalidValue, path, format!("there is no such way as {other:?}"));
            out.error(finding.hint("use Default or Unmasked"));
            false
        }
    }
}

fn seccomp(profile: &SeccompProfile, path: &FieldPath, out: &mut Findings) -> Seccomp {
    let named = localhost(&profile.type_, profile.localhost_profile.as_deref(), path, out);
    match profile.type_.as_str() {
        "Unconfined" => Seccomp::Unconfined,
        "RuntimeDefault" => Seccomp::RuntimeDefault,
        "Localhost" => {
            let field = path.key("localhostProfile");
            let below = named.and_then(|name| out.take(paths::relative(name, &field)));
            below.map_or(Seccomp::Unset, Seccomp::Localhost)
        }
        other => {
            no_such_type(other, path, out);
            Seccomp::Unset
        }
    }
}

fn app_armor(profile: &AppArmorProfile, path: &FieldPath, out: &mut Findings) -> AppArmor {
    let named = localhost(&profile.type_, profile.localhost_profile.as_deref(), path, out);
    match profile.type_.as_str() {
        "Unconfined" => AppArmor::Unconfined,
        "RuntimeDefault" => AppArmor::RuntimeDefault,
        "Localhost" => match named {
            Some(name) if name.trim() != name || name.contains(['\n', '\0']) => {
                let field = path.key("localhostProfile");
                let finding = Finding::new(Reason::InvalidValue, &field, format!("{name:?} is no name of a profile"));
                out.error(finding.hint("write it as aa-status shows it"));
                AppArmor::Unset
            }
            Some(name) => AppArmor::Localhost(name.to_owned()),
            None => AppArmor::Unset,
        },
        other => {
            no_such_type(other, path, out);
            AppArmor::Unset
        }
    }
}

/// The profile's name, which type Localhost must have and no other may.
fn localhost<'a>(kind: &str, name: Option<&'a str>, path: &FieldPath, out: &mut Findings) -> Option<&'a str> {
    let field = path.key("localhostProfile");
    match (kind, name.filter(|name| !name.is_empty())) {
        ("Localhost", None) => {
            let finding = Finding::new(Reason::MissingField, &field, "type Localhost needs this field");
            out.error(finding.hint("name the profile"));
            None
        }
        ("Localhost", name) => name,
        (_, Some(_)) => {
            let message = "only type Localhost has this field";
            out.error(Finding::new(Reason::InvalidValue, &field, message).hint("remove it, or use type Localhost"));
            None
        }
        (_, None) => None,
    }
}

fn no_such_type(kind: &str, path: &FieldPath, out: &mut Findings) {
    let finding = Finding::new(Reason::InvalidValue, &path.key("type"), format!("there is no such type as {kind:?}"));
    out.error(finding.hint("use RuntimeDefault, Localhost or Unconfined"));
}

fn label(from: &SELinuxOptions) -> SeLinux {
    let part = |from: &Option<String>| from.clone().filter(|text| !text.is_empty());
    SeLinux { user: part(&from.user), role: part(&from.role), kind: part(&from.type_), level: part(&from.level) }
}

fn sysctls(
    pod: Option<&PodSecurityContext>,
    host_ipc: bool,
    path: &FieldPath,
    out: &mut Findings,
) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (i, sysctl) in pod.and_then(|s| s.sysctls.as_deref()).unwrap_or_default().iter().enumerate() {
        let path = path.index(i);
        match out.take(allowed(sysctl, host_ipc, &path.key("name"))) {
            Some(name) if found.contains_key(&name) => {
                let finding = Finding::new(Reason::Duplicate, &path.key("name"), format!("{name} is set twice"));
                out.error(finding.hint("remove one of the two"));
            }
            Some(name) => drop(found.insert(name, sysctl.value.clone())),
            None => {}
        }
    }
    found
}

/// Its name with dots, if a pod may set it.
fn allowed(sysctl: &Sysctl, host_ipc: bool, path: &FieldPath) -> Result<String, Finding> {
    let name = dotted(&sysctl.name);
    let forbidden = |message: String| Finding::new(Reason::SysctlForbidden, path, message);
    if !is_sysctl(&name) {
        let finding = Finding::new(Reason::InvalidValue, path, format!("{:?} is no name of a sysctl", sysctl.name));
        return Err(finding.hint("write for example kernel.shm_rmid_forced"));
    }
    if name.starts_with("net.") {
        let message = format!("{name} would hold for the whole host: pods share its network");
        return Err(forbidden(message).hint("set it on the host, in /etc/sysctl.d"));
    }
    let of_ipc = SAFE.contains(&name.as_str()) || OF_IPC.iter().any(|prefix| name.starts_with(prefix));
    if !of_ipc {
        let message = format!("{name} belongs to no namespace: it would hold for the whole host");
        return Err(forbidden(message).hint("set it on the host, in /etc/sysctl.d"));
    }
    if host_ipc {
        let message =
            format!("{name} would hold for the whole host: with hostIPC the pod has no IPC namespace of its own");
        return Err(forbidden(message).hint("remove it, or hostIPC"));
    }
    if !SAFE.contains(&name.as_str()) {
        let message = format!("{name} is not among the safe ones: it would let a pod take memory that no limit counts");
        return Err(forbidden(message).hint(format!("remove it; {} can be set", SAFE.join(", "))));
    }
    Ok(name)
}

/// Written with slashes, dots are part of names; written with dots, slashes are (sysctl.d(5)).
fn dotted(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(first) if name[first..].starts_with('/') => name.replace('.', "\0").replace('/', ".").replace('\0', "/"),
        Some(_) | None => name.to_owned(),
    }
}

/// As apimachinery's `IsValidSysctlName`, of a name with dots.
fn is_sysctl(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let word = |part: &str| {
        !part.is_empty()
            && part.starts_with(letter)
            && part.ends_with(letter)
            && part.chars().all(|c| letter(c) || matches!(c, '-' | '_' | '/'))
    };
    name.len() <= 253 && name.split('.').all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_slashes_is_the_same_as_one_with_dots() {
        assert_eq!(dotted("kernel/shm_rmid_forced"), "kernel.shm_rmid_forced");
        assert_eq!(dotted("kernel.shm_rmid_forced"), "kernel.shm_rmid_forced");
        assert_eq!(dotted("net/ipv4/conf/eth0.100/rp_filter"), "net.ipv4.conf.eth0/100.rp_filter");
    }

    #[test]
    fn what_is_no_name_of_a_sysctl_is_told_apart() {
        assert!(is_sysctl("kernel.shm_rmid_forced"));
        for bad in ["", ".", "kernel..sem", "../core_pattern", "kernel.sem ", "Kernel.sem"] {
            assert!(!is_sysctl(bad), "{bad:?}");
        }
    }
}
