//! How large a file system in memory may become, which is kubelet's arithmetic (`calculateEmptyDirMemorySize` in
//! `pkg/volume/emptydir/empty_dir.go`): no more than the pod may have of memory, whatever else is said.

use barepod_model::{Amounts, Bytes, Container, ContainerKind, Pod, total};

/// The size of a volume in memory with this `sizeLimit`; `None` if nothing limits it but the host.
pub(super) fn size(pod: &Pod, size_limit: Option<Bytes>) -> Option<Bytes> {
    size_limit.into_iter().chain(most(pod)).filter(|limit| limit.0 > 0).min()
}

/// Memory that the pod may have: as it says itself, or all of its containers if each has a limit.
fn most(pod: &Pod) -> Option<Bytes> {
    if let Some(limit) = pod.resources.level.as_ref().and_then(|level| level.memory_limit) {
        return Some(limit);
    }
    // An ephemeral container has none of its own.
    let counted = || pod.containers.iter().filter(|container| container.kind != ContainerKind::Ephemeral);
    let limit = |container: &Container| Some((container.kind, container.resources.memory_limit?));
    let limits: Option<Vec<_>> = counted().map(limit).collect();
    let amounts = limits?.into_iter().map(|(kind, memory)| (kind, Amounts { memory, ..Amounts::default() }));
    Some(total(amounts).memory)
}

#[cfg(test)]
mod tests {
    use barepod_model::Resources;

    use super::*;
    use crate::testing::{container, pod};

    fn with(limits: &[Option<u64>], level: Option<u64>) -> Pod {
        let limited = |limit: Option<u64>| Resources { memory_limit: limit.map(Bytes), ..Resources::default() };
        let containers = limits
            .iter()
            .enumerate()
            .map(|(i, limit)| Container { resources: limited(*limit), ..container(&format!("c{i}")) });
        let mut pod = pod("u", containers.collect());
        pod.resources.level = level.map(|level| limited(Some(level)));
        pod
    }

    #[test]
    fn the_least_of_what_the_volume_and_its_pod_say_counts() {
        for (limits, level, size_limit, expected) in [
            (&[Some(10), Some(20)][..], None, None, Some(30)),
            (&[Some(10), Some(20)], None, Some(5), Some(5)),
            (&[Some(10), Some(20)], None, Some(50), Some(30)),
            (&[Some(10), None], None, Some(50), Some(50)),
            (&[Some(10), None], None, None, None),
            (&[Some(10), None], Some(40), Some(50), Some(40)),
            (&[Some(10)], None, Some(0), Some(10)),
        ] {
            let pod = with(limits, level);
            assert_eq!(size(&pod, size_limit.map(Bytes)), expected.map(Bytes), "{limits:?} {level:?} {size_limit:?}");
        }
    }

    #[test]
    fn an_ephemeral_container_takes_no_limit_away() {
        let mut pod = with(&[Some(10), None], None);
        pod.containers[1].kind = ContainerKind::Ephemeral;
        assert_eq!(size(&pod, None), Some(Bytes(10)));
    }
}
