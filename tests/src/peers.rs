//! The real servers that barepod is tested with: Go modules of `tests/peers`, built by `cargo xtask setup` into the cache.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::cache;

/// The version of Kubernetes that all is of.
pub const KUBERNETES_VERSION: &str = "v1.36.3";

/// What `k8s.io/component-base/version` is told at link time. Clients compare it with their own.
const KUBERNETES_FLAGS: &str = "-s -w \
    -X k8s.io/component-base/version.gitVersion=v1.36.3 \
    -X k8s.io/component-base/version.gitMajor=1 \
    -X k8s.io/component-base/version.gitMinor=36";

/// Kubernetes' control plane and its command line.
pub const KUBERNETES: Peer = Peer {
    name: "kubernetes",
    module: include_str!("../peers/kubernetes/go.mod"),
    sums: include_str!("../peers/kubernetes/go.sum"),
    programs: &[
        ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
        ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ],
    linker_flags: KUBERNETES_FLAGS,
    sources: &[],
    environment: &[],
};

/// Kubelet's own code on a simulated runtime, of the same pins.
pub const KUBEMARK: Peer = Peer {
    name: "kubemark",
    sums: include_str!("../peers/kubemark/go.sum"),
    programs: &[("kubemark", "k8s.io/kubernetes/cmd/kubemark")],
    ..KUBERNETES
};

/// The API server's store.
pub const ETCD: Peer = Peer {
    name: "etcd",
    module: include_str!("../peers/etcd/go.mod"),
    sums: include_str!("../peers/etcd/go.sum"),
    programs: &[("etcd", "go.etcd.io/etcd/server/v3")],
    linker_flags: "-s -w",
    sources: &[],
    environment: &[],
};

/// The proxy that makes Services answer on a host.
pub const KUBE_PROXY: Peer = Peer {
    name: "kube-proxy",
    module: include_str!("../peers/kube-proxy/go.mod"),
    sums: include_str!("../peers/kube-proxy/go.sum"),
    programs: &[("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy")],
    linker_flags: KUBERNETES_FLAGS,
    sources: &[],
    environment: &[],
};

/// The cluster's name server.
pub const COREDNS: Peer = Peer {
    name: "coredns",
    module: include_str!("../peers/coredns/go.mod"),
    sums: include_str!("../peers/coredns/go.sum"),
    programs: &[("coredns", "github.com/coredns/coredns")],
    linker_flags: "-s -w",
    sources: &[],
    environment: &[],
};

/// What `kubectl top` and the autoscaler ask.
pub const METRICS_SERVER: Peer = Peer {
    name: "metrics-server",
    module: include_str!("../peers/metrics-server/go.mod"),
    sums: include_str!("../peers/metrics-server/go.sum"),
    programs: &[("metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server")],
    linker_flags: "-s -w",
    sources: &[],
    environment: &[],
};

/// Another scheduler: agent and command line.
pub const NOMAD: Peer = Peer {
    name: "nomad",
    module: include_str!("../peers/nomad/go.mod"),
    sums: include_str!("../peers/nomad/go.sum"),
    programs: &[("nomad", "github.com/hashicorp/nomad")],
    linker_flags: "-s -w",
    sources: &[],
    environment: &[],
};

/// Its own harness for task drivers, as a program.
pub const NOMAD_HARNESS: Peer = Peer {
    name: "nomad-harness",
    module: include_str!("../peers/nomad-harness/go.mod"),
    sums: include_str!("../peers/nomad-harness/go.sum"),
    programs: &[("nomad-harness.test", ".")],
    linker_flags: "-s -w",
    sources: &[("harness_test.go", include_str!("../peers/nomad-harness/harness_test.go"))],
    environment: &[],
};

/// A Nomad server with simulated clients, whose parts are its own.
pub const NOMAD_FLEET: Peer = Peer {
    name: "nomad-fleet",
    module: include_str!("../peers/nomad-fleet/go.mod"),
    sums: include_str!("../peers/nomad-fleet/go.sum"),
    programs: &[("nomad-fleet", ".")],
    linker_flags: "-s -w",
    sources: &[("main.go", include_str!("../peers/nomad-fleet/main.go"))],
    environment: &[],
};

/// Kubernetes' own end to end suite, of the same pins: Go calls a package's tests, built into a program, so.
pub const CONFORMANCE: Peer =
    Peer { name: "conformance", programs: &[("e2e.test", "k8s.io/kubernetes/test/e2e")], ..KUBERNETES };

/// What that suite runs in its pods: static, for in their directory trees there is no C library.
pub const CONFORMANCE_IMAGES: Peer = Peer {
    name: "conformance-images",
    programs: &[
        ("agnhost", "k8s.io/kubernetes/test/images/agnhost"),
        ("nnp", "k8s.io/kubernetes/test/images/nonewprivs"),
    ],
    linker_flags: "-s -w",
    environment: &[("CGO_ENABLED", "0")],
    ..KUBERNETES
};

/// Those that everyday tests need, in the order in which they are built.
pub const ALL: [Peer; 7] = [ETCD, KUBERNETES, KUBE_PROXY, COREDNS, METRICS_SERVER, NOMAD, NOMAD_HARNESS];

/// One Go module and what is built of it.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its folder's name.
    pub name: &'static str,
    /// Its go.mod.
    pub module: &'static str,
    /// Its go.sum.
    pub sums: &'static str,
    /// Programs, each with the package it is built of.
    pub programs: &'static [(&'static str, &'static str)],
    /// Flags for the linker.
    pub linker_flags: &'static str,
    /// Files of the module's own, by name.
    pub sources: &'static [(&'static str, &'static str)],
    /// Variables that Go is given.
    pub environment: &'static [(&'static str, &'static str)],
}

/// A program that is not there.
#[derive(Debug, thiserror::Error)]
#[error("{} is not built: run `cargo xtask setup`", path.display())]
pub struct NotBuilt {
    /// Where it was looked for.
    pub path: PathBuf,
}

impl Peer {
    /// Where its programs are once they are built: another place for other pins, packages or flags.
    pub fn directory(&self) -> PathBuf {
        cache::directory().join("peers").join(format!("{}-{}", self.name, self.digest()))
    }

    /// Whether all its programs are there.
    pub fn is_built(&self) -> bool {
        self.programs.iter().all(|(program, _)| self.program(program).is_ok())
    }

    /// One of its programs.
    ///
    /// # Errors
    /// It is not built.
    pub fn program(&self, name: &str) -> Result<PathBuf, NotBuilt> {
        let path = self.directory().join(name);
        if path.is_file() { Ok(path) } else { Err(NotBuilt { path }) }
    }

    fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let pairs = self.programs.iter().chain(self.sources).chain(self.environment);
        let parts = pairs.flat_map(|(one, other)| [*one, *other]);
        for part in [self.module, self.sums, self.linker_flags].into_iter().chain(parts) {
            hash.update(part);
            // Between any two, so that no two lists read the same.
            hash.update([0]);
        }
        hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_pins_packages_flags_or_sources_are_built_elsewhere() {
        let others = [
            Peer { sums: "", ..ETCD },
            Peer { module: "", ..ETCD },
            Peer { linker_flags: "", ..ETCD },
            Peer { programs: &[], ..ETCD },
            Peer { sources: &[("a", "b")], ..ETCD },
            Peer { environment: &[("CGO_ENABLED", "0")], ..ETCD },
        ];

        assert_eq!(ETCD.directory(), ETCD.directory());
        assert!(others.iter().all(|other| other.directory() != ETCD.directory()));
    }

    #[test]
    fn a_missing_program_names_the_command_that_builds_it() {
        let error = ETCD.program("no-such-program").unwrap_err();

        assert!(error.to_string().contains("cargo xtask setup"), "{error}");
    }
}
