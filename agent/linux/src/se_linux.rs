//! SELinux: whether this host has it, and the label that a container's processes change to.

use std::path::Path;

use barepod_model::SeLinux;

/// What distributions' policies have for containers, where a manifest leaves a part out.
const DEFAULT: [&str; 4] = ["system_u", "system_r", "container_t", "s0"];

/// Whether the kernel enforces a policy, or watches how it would.
#[must_use]
pub fn is_enabled() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

/// `user:role:type:level`.
#[must_use]
pub fn label(wanted: &SeLinux) -> String {
    let parts = [&wanted.user, &wanted.role, &wanted.kind, &wanted.level];
    let chosen = parts.into_iter().zip(DEFAULT).map(|(part, default)| part.as_deref().unwrap_or(default));
    chosen.collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_left_out_are_those_of_containers() {
        let wanted =
            SeLinux { kind: Some("db_t".to_owned()), level: Some("s0:c1,c2".to_owned()), ..SeLinux::default() };
        assert_eq!(label(&wanted), "system_u:system_r:db_t:s0:c1,c2");
    }
}
