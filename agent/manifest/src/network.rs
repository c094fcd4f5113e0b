//! What a pod is called and what it is told of the network: `hostname` and its kin, `hostAliases`, `dnsPolicy`, `dnsConfig`.

use std::net::IpAddr;

use barepod_model::{CLUSTER_DOMAIN, Dns, DnsBase, HostAlias, Namespace, NetworkFiles, PodName, Reason};
use k8s_openapi::api::core::v1;

use crate::error::{Finding, Findings};
use crate::names;
use crate::place::FieldPath;

/// The kernel's longest host name.
const MAX_HOST_NAME: usize = 64;
/// As far as kubelet lets a host name go by itself.
const CUT: usize = 63;
/// Limits of Kubernetes' validation, which are those of resolvers.
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_LINE: usize = 2048;

/// A pod's names, and its files of the network.
pub(crate) struct Named {
    /// Of its UTS namespace.
    pub(crate) hostname: String,
    pub(crate) files: NetworkFiles,
}

/// Reads all of it.
pub(crate) fn parse(
    spec: &v1::PodSpec,
    name: Option<&PodName>,
    namespace: Option<&Namespace>,
    path: &FieldPath,
    out: &mut Findings,
) -> Named {
    let aliases = aliases(spec, &path.key("hostAliases"), out);
    let dns = dns(spec, path, out);
    let (hostname, domain) = host_name(spec, name, namespace, path, out);
    let host_network = spec.host_network == Some(true);
    Named { hostname, files: NetworkFiles { aliases, domain, dns, host_network } }
}

/// Host name and domain.
fn host_name(
    spec: &v1::PodSpec,
    name: Option<&PodName>,
    namespace: Option<&Namespace>,
    path: &FieldPath,
    out: &mut Findings,
) -> (String, String) {
    if let Some(hostname) = &spec.hostname_override {
        return (overridden(spec, hostname, path, out), String::new());
    }
    let short = match spec.hostname.as_deref().filter(|h| !h.is_empty()) {
        Some(hostname) => out.take(names::label(hostname, &path.key("hostname"))).unwrap_or_default(),
        None => cut(name.map(PodName::as_str).unwrap_or_default()),
    };
    let Some(subdomain) = spec.subdomain.as_deref().filter(|s| !s.is_empty()) else { return (short, String::new()) };
    let subdomain = out.take(names::label(subdomain, &path.key("subdomain"))).unwrap_or_default();
    let namespace = namespace.map(Namespace::as_str).unwrap_or_default();
    let domain = format!("{subdomain}.{namespace}.svc.{CLUSTER_DOMAIN}");
    if spec.set_hostname_as_fqdn != Some(true) {
        return (short, domain);
    }
    let full = format!("{short}.{domain}");
    if full.len() > MAX_HOST_NAME {
        let message = format!("{full} has {} characters; a host name has at most {MAX_HOST_NAME}", full.len());
        let finding = Finding::new(Reason::InvalidValue, &path.key("setHostnameAsFQDN"), message);
        out.error(finding.hint("shorten hostname or subdomain, or remove it"));
    }
    (full, domain)
}

/// `hostnameOverride`, which stands alone.
fn overridden(spec: &v1::PodSpec, hostname: &str, path: &FieldPath, out: &mut Findings) -> String {
    let own = path.key("hostnameOverride");
    let mut refuse = |message: &str, hint: &str| {
        out.error(Finding::new(Reason::InvalidValue, &own, message).hint(hint));
    };
    if spec.set_hostname_as_fqdn == Some(true) {
        refuse("it cannot stand beside setHostnameAsFQDN", "remove one of them");
    } else if spec.host_network == Some(true) {
        refuse(
            "it cannot stand beside hostNetwork: true",
            "use hostname, or remove hostNetwork: pods are on the host's network anyhow",
        );
    } else if hostname.len() > MAX_HOST_NAME {
        refuse("a host name has at most 64 characters", "shorten it");
    }
    out.take(names::subdomain(hostname, &own)).map(|name| cut(&name)).unwrap_or_default()
}

/// A pod's name cut down to what a host name may be, as kubelet cuts it.
fn cut(name: &str) -> String {
    // A pod's name is ASCII, so every cut is at a character.
    name.get(..CUT).unwrap_or(name).trim_end_matches(['-', '.']).to_owned()
}

fn aliases(spec: &v1::PodSpec, path: &FieldPath, out: &mut Findings) -> Vec<HostAlias> {
    let mut aliases = Vec::new();
    for (i, from) in spec.host_aliases.iter().flatten().enumerate() {
        let path = path.index(i);
        address(&from.ip, &path.key("ip"), out);
        let written = from.hostnames.iter().flatten().enumerate();
        let names = written.filter_map(|(j, name)| out.take(names::subdomain(name, &path.key("hostnames").index(j))));
        aliases.push(HostAlias { ip: from.ip.clone(), names: names.collect() });
    }
    aliases
}

fn address(text: &str, path: &FieldPath, out: &mut Findings) {
    if text.parse::<IpAddr>().is_err() {
        let finding = Finding::new(Reason::InvalidValue, path, format!("{text:?} is not an IP address"));
        out.error(finding.hint("write for example 10.0.0.7 or fd00::7"));
    }
}

fn dns(spec: &v1::PodSpec, path: &FieldPath, out: &mut Findings) -> Dns {
    let base = match spec.dns_policy.as_deref() {
        // As kubelet has it (`pkg/kubelet/network/dns`): who asks for the host's network gets the host's resolver with it.
        None | Some("" | "ClusterFirst") if spec.host_network == Some(true) => DnsBase::Host,
        None | Some("" | "ClusterFirst" | "ClusterFirstWithHostNet") => DnsBase::Cluster,
        Some("Default") => DnsBase::Host,
        Some("None") => DnsBase::Nothing,
        Some(other) => {
            let message = format!("there is no DNS policy {other:?}");
            let finding = Finding::new(Reason::InvalidValue, &path.key("dnsPolicy"), message);
            out.error(finding.hint("use ClusterFirst, ClusterFirstWithHostNet, Default or None"));
            DnsBase::Host
        }
    };
    let path = path.key("dnsConfig");
    let config = spec.dns_config.clone().unwrap_or_default();
    let nameservers = config.nameservers.unwrap_or_default();
    if base == DnsBase::Nothing && nameservers.is_empty() {
        let message = "dnsPolicy None needs at least one name server";
        out.error(Finding::new(Reason::MissingField, &path.key("nameservers"), message).hint("add one"));
    }
    at_most(nameservers.len(), MAX_NAMESERVERS, "name servers", &path.key("nameservers"), out);
    nameservers.iter().enumerate().for_each(|(i, one)| address(one, &path.key("nameservers").index(i), out));
    let searches = searches(config.searches.unwrap_or_default(), &path.key("searches"), out);
    let options = options(config.options.unwrap_or_default(), &path.key("options"), out);
    Dns { base, nameservers, searches, options }
}

fn at_most(found: usize, limit: usize, what: &str, path: &FieldPath, out: &mut Findings) {
    if found > limit {
        let message = format!("{found} are too many {what}; a resolver takes {limit}");
        out.error(Finding::new(Reason::InvalidValue, path, message).hint("keep the most important ones"));
    }
}

fn searches(from: Vec<String>, path: &FieldPath, out: &mut Findings) -> Vec<String> {
    at_most(from.len(), MAX_SEARCHES, "search domains", path, out);
    at_most(from.join(" ").len(), MAX_SEARCH_LINE, "characters of search domains", path, out);
    for (i, search) in from.iter().enumerate() {
        // Underscores are let through, as in Kubernetes.
        let plain = search.trim_end_matches('.').replace('_', "-").trim_matches('-').to_owned();
        if search != "." && PodName::new(plain).is_err() {
            let finding =
                Finding::new(Reason::InvalidValue, &path.index(i), format!("{search:?} is not a search domain"));
            out.error(finding.hint("write a DNS name, e.g. example.com"));
        }
    }
    from
}

fn options(from: Vec<v1::PodDNSConfigOption>, path: &FieldPath, out: &mut Findings) -> Vec<(String, Option<String>)> {
    let mut options = Vec::new();
    for (i, option) in from.into_iter().enumerate() {
        let path = path.index(i);
        let name = option.name.unwrap_or_default();
        if name.is_empty() {
            out.error(Finding::new(Reason::MissingField, &path.key("name"), "an option has a name").hint("e.g. ndots"));
        }
        let broken = |text: &str| text.contains(|c: char| c.is_whitespace() || c.is_control());
        if broken(&name) || option.value.as_deref().is_some_and(broken) {
            let finding = Finding::new(Reason::InvalidValue, &path, "an option is one word");
            out.error(finding.hint("write name and value without spaces"));
        }
        options.push((name, option.value));
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(spec: serde_json::Value) -> Result<Named, Vec<String>> {
        let mut spec = spec;
        spec["containers"] = serde_json::json!([]);
        let spec: v1::PodSpec = serde_json::from_value(spec).expect("a spec");
        let (name, namespace) = (PodName::new("db-0").expect("valid"), Namespace::new("shop").expect("valid"));
        let mut out = Findings::default();
        let named = parse(&spec, Some(&name), Some(&namespace), &FieldPath::default().key("spec"), &mut out);
        if out.errors.is_empty() { Ok(named) } else { Err(out.errors.iter().map(|e| e.field.to_string()).collect()) }
    }

    #[test]
    fn a_subdomain_makes_a_domain_and_the_host_name_is_all_of_it_only_when_asked() {
        let plain = named(serde_json::json!({"subdomain": "db"})).unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!((plain.hostname.as_str(), plain.files.domain.as_str()), ("db-0", "db.shop.svc.cluster.local"));
        let full = named(serde_json::json!({"subdomain": "db", "setHostnameAsFQDN": true}));
        assert_eq!(full.unwrap_or_else(|e| panic!("{e:?}")).hostname, "db-0.db.shop.svc.cluster.local");
        let alone = named(serde_json::json!({"setHostnameAsFQDN": true})).unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!(alone.hostname, "db-0", "without a subdomain there is nothing more to it");
        let other = named(serde_json::json!({"subdomain": "db", "hostnameOverride": "a.b"}));
        let other = other.unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!((other.hostname.as_str(), other.files.domain.as_str()), ("a.b", ""));
    }

    #[test]
    fn what_kubernetes_refuses_is_refused() {
        let refused = |spec: serde_json::Value| named(spec).err().unwrap_or_default();
        assert_eq!(refused(serde_json::json!({"dnsPolicy": "None"})), ["spec.dnsConfig.nameservers"]);
        assert_eq!(refused(serde_json::json!({"dnsPolicy": "Cluster"})), ["spec.dnsPolicy"]);
        assert_eq!(
            refused(serde_json::json!({"hostAliases": [{"ip": "1.2.3", "hostnames": ["a", "B"]}]})),
            ["spec.hostAliases[0].ip", "spec.hostAliases[0].hostnames[1]"]
        );
        let config = serde_json::json!({"nameservers": ["1.1.1.1", "x", "::1", "2.2.2.2"], "searches": ["a b"],
            "options": [{"value": "1"}, {"name": "a b"}]});
        assert_eq!(
            refused(serde_json::json!({"dnsConfig": config})),
            [
                "spec.dnsConfig.nameservers",
                "spec.dnsConfig.nameservers[1]",
                "spec.dnsConfig.searches[0]",
                "spec.dnsConfig.options[0].name",
                "spec.dnsConfig.options[1]"
            ]
        );
        let long = serde_json::json!({"hostname": "h".repeat(40), "subdomain": "db", "setHostnameAsFQDN": true});
        assert_eq!(refused(long), ["spec.setHostnameAsFQDN"]);
        let both = serde_json::json!({"hostnameOverride": "a", "hostNetwork": true});
        assert_eq!(refused(both), ["spec.hostnameOverride"]);
    }
}
