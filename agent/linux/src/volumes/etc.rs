//! The three files of `/etc` that name a container and its network: the host's own, since its network is the host's, with
//! what the pod adds to them, put together as kubelet does it.

use std::fs;
use std::net::IpAddr;

use barepod_model::{CLUSTER_DOMAIN, Dns, DnsBase, HostAlias, Launch, Namespace, NetworkFiles, RenderedFile};

/// What resolvers take, as in Kubernetes' validation.
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_LINE: usize = 2048;
const MAX_SEARCH: usize = 253;

/// kubelet's first lines of `/etc/hosts`, by which programs know that what they change in it is lost.
const MANAGED: &str = "# Kubernetes-managed hosts file.\n";
const MANAGED_OF_HOST: &str = "# Kubernetes-managed hosts file (host network).\n";

/// kubelet's, by which names of a cluster are looked up as such before they are asked for as they stand.
const CLUSTER_OPTIONS: &str = "ndots:5";

/// The files with the names under which they are kept. `cluster_dns` are the cluster's name servers.
pub(super) fn files(
    launch: &Launch,
    namespace: &Namespace,
    cluster_dns: &[IpAddr],
) -> [(&'static str, RenderedFile); 3] {
    let file =
        |path: &str, contents| RenderedFile { path: path.into(), contents, mode: 0o644, follows_resources: false };
    let host = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let resolv_conf = resolv_conf(host("/etc/resolv.conf"), &launch.network.dns, namespace, cluster_dns);
    [
        ("hosts", file("/etc/hosts", hosts(&host("/etc/hosts"), &launch.hostname, &launch.network))),
        ("resolv.conf", file("/etc/resolv.conf", resolv_conf)),
        ("hostname", file("/etc/hostname", format!("{}\n", launch.hostname))),
    ]
}

/// The host's file with the container's own name, which must resolve: many services look themselves up. Then the pod's
/// `hostAliases`.
fn hosts(host: &str, hostname: &str, network: &NetworkFiles) -> String {
    let mut text = if network.host_network { MANAGED_OF_HOST } else { MANAGED }.to_owned();
    text.push_str(if host.is_empty() { "127.0.0.1\tlocalhost\n::1\tlocalhost\n" } else { host });
    let names = own_names(hostname, &network.domain);
    let unknown = names.iter().any(|name| !text.lines().any(|line| knows(line, name)));
    if !hostname.is_empty() && unknown {
        end_line(&mut text);
        text.push_str(&format!("127.0.1.1\t{}\n", names.join("\t")));
    }
    if !network.aliases.is_empty() {
        end_line(&mut text);
        text.push_str("\n# hostAliases of the pod\n");
        text.extend(network.aliases.iter().map(alias));
    }
    text
}

/// The full name first, as `hostname --fqdn` reads it.
fn own_names(hostname: &str, domain: &str) -> Vec<String> {
    match hostname.strip_suffix(domain).and_then(|short| short.strip_suffix('.')) {
        _ if domain.is_empty() => vec![hostname.to_owned()],
        Some(short) => vec![hostname.to_owned(), short.to_owned()],
        None => vec![format!("{hostname}.{domain}"), hostname.to_owned()],
    }
}

fn knows(line: &str, hostname: &str) -> bool {
    let names = line.split('#').next().unwrap_or_default();
    names.split_whitespace().skip(1).any(|name| name == hostname)
}

fn end_line(text: &mut String) {
    if !text.ends_with('\n') {
        text.push('\n');
    }
}

fn alias(alias: &HostAlias) -> String {
    format!("{}\t{}\n", alias.ip, alias.names.join("\t"))
}

/// The host's file as it is where the pod says nothing; else made anew from both.
fn resolv_conf(host: String, dns: &Dns, namespace: &Namespace, cluster_dns: &[IpAddr]) -> String {
    let base = if dns.base == DnsBase::Cluster && cluster_dns.is_empty() { DnsBase::Host } else { dns.base };
    if *dns == (Dns { base: dns.base, ..Dns::default() }) && base == DnsBase::Host {
        return host;
    }
    let mut resolver = match base {
        DnsBase::Host => Resolver::parse(&host),
        DnsBase::Cluster => Resolver::of_cluster(Resolver::parse(&host), namespace, cluster_dns),
        DnsBase::Nothing => Resolver::default(),
    };
    resolver.add(dns);
    resolver.cut();
    resolver.print()
}

/// What a `resolv.conf` says, as far as kubelet takes it over.
#[derive(Debug, Default)]
struct Resolver {
    nameservers: Vec<String>,
    searches: Vec<String>,
    /// `ndots:5`, or a word alone. One of each name, the last one.
    options: Vec<String>,
}

impl Resolver {
    /// The cluster's servers, which ask the host's where they know nothing, and its domains before the host's.
    fn of_cluster(host: Self, namespace: &Namespace, servers: &[IpAddr]) -> Self {
        let own = [format!("{namespace}.svc."), "svc.".to_owned(), String::new()];
        let own = own.map(|below| format!("{below}{CLUSTER_DOMAIN}"));
        let others = host.searches.into_iter().filter(|search| !own.contains(search)).collect::<Vec<_>>();
        Self {
            nameservers: servers.iter().map(ToString::to_string).collect(),
            searches: own.iter().cloned().chain(others).collect(),
            options: vec![CLUSTER_OPTIONS.to_owned()],
        }
    }

    /// Name servers add up, of several search lines the last counts, of options the last of each name.
    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => found.nameservers.extend(words.next().map(str::to_owned)),
                Some("search") => {
                    let domains = words.filter(|domain| *domain != ".");
                    found.searches = domains.map(|d| d.strip_suffix('.').unwrap_or(d).to_owned()).collect();
                }
                Some("options") => words.for_each(|option| found.set(option.to_owned())),
                Some(_) | None => {}
            }
        }
        found
    }

    fn add(&mut self, dns: &Dns) {
        let add = |list: &mut Vec<String>, more: &[String]| {
            let all = std::mem::take(list).into_iter().chain(more.iter().cloned());
            all.for_each(|one| {
                if !list.contains(&one) {
                    list.push(one)
                }
            });
        };
        add(&mut self.nameservers, &dns.nameservers);
        add(&mut self.searches, &dns.searches);
        for (name, value) in &dns.options {
            self.set(match value.as_deref() {
                None | Some("") => name.clone(),
                Some(value) => format!("{name}:{value}"),
            });
        }
    }

    fn set(&mut self, option: String) {
        fn name(option: &str) -> &str {
            option.split(':').next().unwrap_or_default()
        }
        match self.options.iter_mut().find(|one| name(one) == name(&option)) {
            Some(one) => *one = option,
            None => self.options.push(option),
        }
    }

    /// What a resolver would not read is left out, as kubelet leaves it out.
    fn cut(&mut self) {
        self.nameservers.truncate(MAX_NAMESERVERS);
        self.searches.truncate(MAX_SEARCHES);
        self.searches.retain(|search| search.len() <= MAX_SEARCH);
        while self.searches.join(" ").len() > MAX_SEARCH_LINE {
            self.searches.pop();
        }
    }

    fn print(&self) -> String {
        let mut text: String = self.nameservers.iter().map(|one| format!("nameserver {one}\n")).collect();
        for (word, list) in [("search", &self.searches), ("options", &self.options)] {
            if !list.is_empty() {
                text.push_str(&format!("{word} {}\n", list.join(" ")));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without its first line.
    fn below(host: &str, hostname: &str, network: &NetworkFiles) -> String {
        hosts(host, hostname, network).strip_prefix(MANAGED).expect("who manages it").to_owned()
    }

    fn plain(host: &str, hostname: &str) -> String {
        below(host, hostname, &NetworkFiles::default())
    }

    #[test]
    fn the_first_line_says_who_manages_it_and_whether_the_pod_asked_for_the_host_s_network() {
        let network = |host_network| NetworkFiles { host_network, ..NetworkFiles::default() };
        assert!(hosts("h", "h", &network(false)).starts_with("# Kubernetes-managed hosts file.\nh"));
        assert!(hosts("h", "h", &network(true)).starts_with("# Kubernetes-managed hosts file (host network).\nh"));
    }

    #[test]
    fn a_container_can_look_itself_up() {
        assert_eq!(plain("127.0.0.1 localhost", "db-0"), "127.0.0.1 localhost\n127.0.1.1\tdb-0\n");
        assert!(plain("", "db-0").contains("localhost"));
        for hostname in ["db-0", "db-0.db.shop"] {
            let network = NetworkFiles { domain: "db.shop".to_owned(), ..NetworkFiles::default() };
            assert_eq!(below("127.0.0.1 a\n", hostname, &network), "127.0.0.1 a\n127.0.1.1\tdb-0.db.shop\tdb-0\n");
        }
    }

    #[test]
    fn a_name_the_host_knows_is_not_given_a_second_address() {
        let host = "10.0.0.7\tdb-0.example db-0 # main\n";
        assert_eq!(plain(host, "db-0"), host);
        assert!(plain("10.0.0.7 x # db-0\n", "db-0").ends_with("127.0.1.1\tdb-0\n"));
    }

    #[test]
    fn aliases_come_last_one_line_an_address() {
        let aliases = vec![HostAlias { ip: "10.0.0.9".to_owned(), names: vec!["a".to_owned(), "b.c".to_owned()] }];
        let network = NetworkFiles { aliases, ..NetworkFiles::default() };
        assert!(hosts("127.0.0.1 h", "h", &network).ends_with("h\n\n# hostAliases of the pod\n10.0.0.9\ta\tb.c\n"));
    }

    fn dns(base: DnsBase) -> Dns {
        let words = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
        let option = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        let options = vec![option("ndots", Some("2")), option("edns0", None)];
        Dns { base, nameservers: words(&["1.1.1.1", "9.9.9.9"]), searches: words(&["b", "c"]), options }
    }

    const HOST: &str =
        "# by hand\nnameserver 10.0.0.1\nnameserver 1.1.1.1\nsearch old\nsearch a. b .\noptions ndots:5 rotate\n";

    fn resolved(dns: &Dns, cluster_dns: &[IpAddr]) -> String {
        resolv_conf(HOST.to_owned(), dns, &Namespace::new("shop").unwrap(), cluster_dns)
    }

    fn of_host(dns: &Dns) -> String {
        resolved(dns, &["10.96.0.10".parse().unwrap()])
    }

    #[test]
    fn the_cluster_s_servers_and_domains_come_first_where_the_host_knows_them() {
        let plain = Dns { base: DnsBase::Cluster, ..Dns::default() };
        assert_eq!(
            of_host(&plain),
            "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local a b\noptions ndots:5\n"
        );
        let more = Dns { base: DnsBase::Cluster, ..dns(DnsBase::Host) };
        assert_eq!(
            of_host(&more),
            "nameserver 10.96.0.10\nnameserver 1.1.1.1\nnameserver 9.9.9.9\n\
             search shop.svc.cluster.local svc.cluster.local cluster.local a b c\noptions ndots:2 edns0\n"
        );
        assert_eq!(resolved(&plain, &[]), HOST, "without them the host's own");
    }

    #[test]
    fn what_the_pod_says_of_dns_is_added_to_what_the_host_says() {
        assert_eq!(of_host(&Dns::default()), HOST, "the host's own file, to the letter");
        assert_eq!(
            of_host(&dns(DnsBase::Host)),
            "nameserver 10.0.0.1\nnameserver 1.1.1.1\nnameserver 9.9.9.9\nsearch a b c\noptions ndots:2 rotate edns0\n"
        );
        assert_eq!(
            of_host(&dns(DnsBase::Nothing)),
            "nameserver 1.1.1.1\nnameserver 9.9.9.9\nsearch b c\noptions ndots:2 edns0\n"
        );
    }

    #[test]
    fn what_no_resolver_reads_is_left_out() {
        let mut much = dns(DnsBase::Host);
        much.searches = (0..40).map(|n| format!("{n:0>80}")).collect();
        let host = "nameserver 10.0.0.1\nnameserver 10.0.0.2\n".to_owned();
        let text = resolv_conf(host, &much, &Namespace::new("shop").unwrap(), &[]);
        assert_eq!(text.matches("nameserver").count(), 3);
        let line = text.lines().find(|line| line.starts_with("search")).unwrap();
        assert!(line.len() <= "search ".len() + MAX_SEARCH_LINE && line.len() > 1900, "{}", line.len());
    }
}
