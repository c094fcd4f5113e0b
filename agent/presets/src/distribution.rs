//! Which distribution this is, by `/etc/os-release` (os-release(5)).

use std::path::Path;

use crate::host::Host;

/// A distribution.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Distribution {
    /// `ID`, then those of `ID_LIKE`, from near to far.
    ids: Vec<String>,
    /// `VERSION_ID`.
    version: String,
}

impl Distribution {
    /// Asks the host.
    pub(crate) fn of(host: &dyn Host) -> Self {
        let files = ["/etc/os-release", "/usr/lib/os-release"];
        files.iter().find_map(|file| host.read(Path::new(file))).map(|text| Self::parse(&text)).unwrap_or_default()
    }

    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.map(|value| value.trim().trim_matches(['"', '\'']).to_owned()).unwrap_or_default()
        };
        let (id, like) = (value("ID"), value("ID_LIKE"));
        let ids = std::iter::once(id.as_str()).chain(like.split_whitespace()).filter(|id| !id.is_empty());
        Self { ids: ids.map(str::to_owned).collect(), version: value("VERSION_ID") }
    }

    /// Whether one of `wanted` names it: `debian`, `debian:12`. `VERSION_ID` counts for the distribution itself alone, and
    /// `9` means every `9.x` too. An empty list names all.
    pub(crate) fn is_one_of(&self, wanted: &[String]) -> bool {
        wanted.is_empty() || wanted.iter().any(|one| self.is(one))
    }

    fn is(&self, wanted: &str) -> bool {
        match wanted.split_once(':') {
            None => self.ids.iter().any(|id| id == wanted),
            Some((id, version)) => {
                let of_series = self.version.strip_prefix(version).is_some_and(|rest| rest.starts_with('.'));
                self.ids.first().is_some_and(|own| own == id) && (self.version == version || of_series)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_what_it_is_and_what_it_is_like() {
        let is = |text: &str, wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|w| (*w).to_owned()).collect();
            Distribution::parse(text).is_one_of(&wanted)
        };
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n";
        let ubuntu = "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n";
        let rocky = "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n";
        let leap = "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\nVERSION_ID=\"15.6\"\n";
        assert!(is(debian, &["debian"]) && is(debian, &["debian:12"]) && !is(debian, &["debian:13"]));
        assert!(is(ubuntu, &["debian"]) && !is(ubuntu, &["debian:24.04"]) && is(ubuntu, &["ubuntu:24.04"]));
        assert!(is(rocky, &["rhel"]) && is(rocky, &["fedora"]) && is(rocky, &["rocky:9"]) && !is(rocky, &["suse"]));
        assert!(is(leap, &["suse"]));
        assert!(is("", &[]) && !is("", &["debian"]));
    }
}
