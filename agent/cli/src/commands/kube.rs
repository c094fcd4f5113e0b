//! `barepod kube`: this host as a node of a Kubernetes cluster. Works without the daemon and without the bridge.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use barepod_credentials::{
    Answer, Identity, Introduction, Layout, Membership, NodeName, SigningRequest, Status, Trust, join, status,
};
use jiff::Timestamp;

use crate::args::{Kube, KubeJoin, KubeVerb};
use crate::output::print;
use crate::report::Report;

/// What makes a cluster give out a new token.
const REJOIN: &str =
    "`kubeadm token create --print-join-command` in the cluster prints a token; then `barepod kube join --force ...`";

pub(super) async fn run(args: Kube) -> Result<ExitCode> {
    let layout = Layout::below(&args.root);
    match args.verb {
        KubeVerb::Join(args) => join_cluster(&layout, args).await,
        KubeVerb::Status => show(&layout).await,
        KubeVerb::Reset => reset(&layout),
    }
}

async fn join_cluster(layout: &Layout, args: KubeJoin) -> Result<ExitCode> {
    let node = match args.node_name.clone() {
        Some(name) => name,
        None => NodeName::of_host().context("this host's own name will not do")?,
    };
    let force = args.force;
    let joined = join(layout, &introduction(args)?, node, force).await?;
    let mut said = String::new();
    for path in joined.removed.iter().filter(|path| **path != joined.file) {
        said += &format!("removed {}\n", path.display());
    }
    said += &format!(
        "found the cluster at {}; it knows the token\n\
         wrote {}: by it barepod-bridge asks for the certificate of node {}\n\
         \n\
         What comes next:\n  \
           systemctl enable --now barepod-bridge   (restart it, if it is of another cluster)\n  \
           barepod kube status                     shows how far it is\n  \
           kubectl get node {}                     in the cluster\n",
        joined.server,
        joined.file.display(),
        joined.node,
        joined.node,
    );
    print(&said)?;
    Ok(ExitCode::SUCCESS)
}

fn introduction(args: KubeJoin) -> Result<Introduction> {
    if let Some(file) = args.kubeconfig {
        return Ok(Introduction::File(file));
    }
    // The grammar has seen to it.
    let (Some(server), Some(token)) = (args.server, args.token) else {
        bail!("give SERVER and --token, or --kubeconfig")
    };
    let trust = match args.discovery_token_unsafe_skip_ca_verification {
        true => Trust::Unsafe,
        false => Trust::Hashes(args.discovery_token_ca_cert_hash),
    };
    Ok(Introduction::Token { server, token, trust })
}

fn reset(layout: &Layout) -> Result<ExitCode> {
    let removed = layout.reset().context("cannot take it back; this takes the rights of root")?;
    if removed.is_empty() {
        print("this host has not joined a cluster: there is nothing to take back\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut said: String = removed.iter().map(|path| format!("removed {}\n", path.display())).collect();
    said += "\n\
             Pods run on. What comes next:\n  \
               systemctl disable --now barepod-bridge   if it runs: it holds its certificate in memory\n  \
               kubectl delete node NAME                 in the cluster\n";
    print(&said)?;
    Ok(ExitCode::SUCCESS)
}

async fn show(layout: &Layout) -> Result<ExitCode> {
    let status = status(layout).await?;
    let shown = render(&status, Timestamp::now());
    print(&shown.text)?;
    Ok(if shown.is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn render(status: &Status, now: Timestamp) -> Report {
    let mut shown = Report::default();
    match status {
        Status::NotJoined => {
            shown.nothing("this host has not joined a cluster; `barepod kube join` does that");
        }
        Status::Joining { server, node, file, answer, pending } => {
            shown.line("Cluster", &server.to_string());
            shown.line("Node", node.as_ref().map_or("named after the host", NodeName::as_str));
            tell_answer(&mut shown, answer, "the bootstrap token");
            tell_joining(&mut shown, file, pending.as_ref());
        }
        Status::Joined(membership) => tell_membership(&mut shown, membership, now),
    }
    shown
}

fn tell_membership(shown: &mut Report, membership: &Membership, now: Timestamp) {
    let Membership { server, client, client_pending, serving, serving_pending, answer } = membership;
    let certificate = client.certificate();
    shown.line("Cluster", &server.to_string());
    shown.line("Node", certificate.node().as_ref().map_or(certificate.common_name.as_str(), NodeName::as_str));
    tell_answer(shown, answer, "the node's certificate");
    tell_certificate(shown, "Client certificate", Some(client), client_pending.as_ref(), now);
    if certificate.is_expired(now) && *answer != Answer::Refused {
        shown.todo(REJOIN);
    }
    if serving.is_some() || serving_pending.is_some() {
        tell_certificate(shown, "Serving certificate", serving.as_ref(), serving_pending.as_ref(), now);
    }
}

fn tell_answer(shown: &mut Report, answer: &Answer, what: &str) {
    match answer {
        Answer::Accepted => shown.line("API server", &format!("knows {what}")),
        Answer::Refused => {
            shown.line("API server", &format!("refuses {what}: it has expired, or is another cluster's"));
            shown.todo(REJOIN);
        }
        Answer::Silent(why) => {
            shown.line("API server", "is not heard");
            shown.todo(why);
        }
    }
}

fn tell_joining(shown: &mut Report, file: &Path, pending: Option<&SigningRequest>) {
    match pending {
        Some(request) => {
            shown.line(
                "Client certificate",
                &format!("asked for as {}; it is issued once somebody does", request.name()),
            );
            shown.todo(&request.approval());
        }
        None => {
            shown.line("Client certificate", &format!("not asked for yet; barepod-bridge does, by {}", file.display()));
            shown.todo("systemctl enable --now barepod-bridge");
        }
    }
}

fn tell_certificate(
    shown: &mut Report,
    name: &str,
    identity: Option<&Identity>,
    pending: Option<&SigningRequest>,
    now: Timestamp,
) {
    match identity {
        Some(identity) => shown.line(name, &life(identity, now)),
        None => shown.line(name, "none yet"),
    }
    if let Some(request) = pending {
        let another = if identity.is_some() { "the next one is" } else { "it is" };
        shown.todo(&format!("{another} asked for as {}, and waits for: {}", request.name(), request.approval()));
    }
}

/// `db.example.com, 10.1.2.3; until 2027-01-01 00:00:00 UTC (in 30d)`.
fn life(identity: &Identity, now: Timestamp) -> String {
    let certificate = identity.certificate();
    let addresses = certificate.addresses.iter().map(ToString::to_string);
    let names: Vec<String> = certificate.names.iter().cloned().chain(addresses).collect();
    let whose = if names.is_empty() { certificate.common_name.clone() } else { names.join(", ") };
    let until = certificate.not_after.strftime("%Y-%m-%d %H:%M:%S UTC");
    let span = |from: Timestamp, to: Timestamp| {
        let then = barepod_api::v1::Timestamp { seconds: from.as_second(), nanos: 0 };
        crate::output::age(Some(&then), to.as_second())
    };
    if certificate.is_expired(now) {
        return format!("{whose}; EXPIRED at {until} ({} ago)", span(certificate.not_after, now));
    }
    if now < certificate.not_before {
        return format!("{whose}; not valid yet: it begins at {}; is this host's clock right?", certificate.not_before);
    }
    format!("{whose}; until {until} (in {})", span(now, certificate.not_after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joining(answer: Answer) -> Status {
        Status::Joining {
            server: "https://10.0.0.1:6443".parse().unwrap(),
            node: Some("host-1".parse().unwrap()),
            file: "/etc/barepod/kubernetes/bootstrap-kubeconfig".into(),
            answer,
            pending: None,
        }
    }

    #[test]
    fn what_is_to_be_done_is_said() {
        let shown = render(&joining(Answer::Accepted), Timestamp::UNIX_EPOCH);
        assert!(!shown.is_well);
        insta::assert_snapshot!(shown.text, @r"
        Cluster:             https://10.0.0.1:6443
        Node:                host-1
        API server:          knows the bootstrap token
        Client certificate:  not asked for yet; barepod-bridge does, by /etc/barepod/kubernetes/bootstrap-kubeconfig
                             systemctl enable --now barepod-bridge
        ");
        let refused = render(&joining(Answer::Refused), Timestamp::UNIX_EPOCH).text;
        assert!(
            refused.contains("refuses the bootstrap token") && refused.contains("kubeadm token create"),
            "{refused}"
        );
        assert!(!render(&Status::NotJoined, Timestamp::UNIX_EPOCH).is_well);
    }
}
