//! Image references, and the names a preset answers to.

use barepod_model::{Reason, RequestError};

use crate::error::refuse;

/// A parsed image reference, `name[:tag][@digest]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// Registry and repository as written, without a scheme.
    pub(crate) name: String,
    /// The tag.
    pub(crate) tag: Option<String>,
    /// The digest.
    pub(crate) digest: Option<String>,
}

/// Where an image without a registry comes from.
const HUB: &str = "docker.io";
/// Other names of the same registry.
const HUB_ALIASES: [&str; 3] = ["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];
/// The name of images that are commands of this host; the tag says which.
pub(crate) const COMMAND: &str = "command";

impl Image {
    /// Registry and repository in full, as `distribution/reference` completes them.
    pub(crate) fn full_name(&self) -> String {
        let (registry, repository) = self.parts();
        format!("{registry}/{repository}")
    }

    fn parts(&self) -> (String, String) {
        let (first, rest) = self.name.split_once('/').unwrap_or(("", &self.name));
        let is_registry = first.contains(['.', ':']) || first == "localhost";
        let (registry, repository) = if is_registry { (first, rest) } else { (HUB, self.name.as_str()) };
        let registry = if HUB_ALIASES.contains(&registry) { HUB } else { registry };
        let official = registry == HUB && !repository.contains('/');
        let repository = if official { format!("library/{repository}") } else { repository.to_owned() };
        (registry.to_owned(), repository)
    }

    /// A path with `{name}` and the like replaced. What comes out has no `..`: neither names nor tags can be that.
    pub(crate) fn fill(&self, pattern: &str) -> String {
        let (registry, repository) = self.parts();
        let name = repository.rsplit('/').next().unwrap_or(&repository);
        let tag = self.tag.as_deref().unwrap_or("latest");
        let values = [("{name}", name), ("{repository}", &repository), ("{registry}", &registry), ("{tag}", tag)];
        values.iter().fold(pattern.to_owned(), |path, (placeholder, value)| path.replace(placeholder, value))
    }
}

/// What `fill` would leave as it is.
pub(crate) fn unknown_placeholder(pattern: &str) -> Option<&str> {
    let mut rest = pattern;
    while let Some((_, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        if !["name", "repository", "registry", "tag"].contains(&name) {
            return Some(name);
        }
        rest = after;
    }
    None
}

/// Names that a preset answers to: one, or with `*` all that fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    name: String,
    tag: Option<String>,
}

impl Pattern {
    /// Reads a name as a preset lists it. Fails with what is wrong, and the likely fix.
    pub(crate) fn parse(text: &str) -> Result<Self, (String, String)> {
        let image = parse_text(&text.replace('*', "x"))
            .map_err(|(message, hint)| (format!("{text:?} is not an image name: {message}"), hint.to_owned()))?;
        let (name, tag) = split_tag(text);
        if tag.is_some() && name == COMMAND {
            return Ok(Self { name: full(name), tag: tag.map(str::to_owned) });
        }
        if image.tag.is_some() || image.digest.is_some() {
            return Err((format!("{text:?} has a tag"), "a preset answers to every tag".to_owned()));
        }
        // Everything there is has no registry that could be completed.
        let name = if text.starts_with("**") { text.to_owned() } else { full(text) };
        Ok(Self { name, tag: None })
    }

    /// How well an image fits; `None` if it does not. More letters that are no `*` are more precise.
    pub(crate) fn fits(&self, image: &Image) -> Option<(bool, usize)> {
        let tag_fits = self.tag.is_none() || self.tag == image.tag;
        let precision = (!self.name.contains('*'), self.name.chars().filter(|c| *c != '*').count());
        (tag_fits && glob(self.name.as_bytes(), image.full_name().as_bytes())).then_some(precision)
    }
}

fn full(name: &str) -> String {
    Image { name: name.to_owned(), tag: None, digest: None }.full_name()
}

/// `*` is anything but `/`, `**` is anything.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|n| glob(rest, &text[n..])),
        [b'*', rest @ ..] => {
            let end = text.iter().position(|b| *b == b'/').unwrap_or(text.len());
            (0..=end).any(|n| glob(rest, &text[n..]))
        }
        [first, rest @ ..] => text.first() == Some(first) && glob(rest, &text[1..]),
    }
}

/// Parses a reference, by the grammar of `distribution/reference`.
pub(crate) fn parse(text: &str) -> Result<Image, RequestError> {
    parse_text(text).map_err(|(message, hint)| {
        refuse(Reason::InvalidImageName, "image", format!("{text:?} is not an image reference: {message}"), hint)
    })
}

fn parse_text(text: &str) -> Result<Image, (&'static str, &'static str)> {
    if text.contains("://") {
        return Err(("it has a scheme", "write it without the scheme"));
    }
    let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    let (name, tag) = split_tag(rest);
    let mut parts = name.split('/').enumerate();
    if !parts.all(|(i, part)| is_component(part) || (i == 0 && name.contains('/') && is_registry(part))) {
        return Err((
            "its name is malformed",
            "write it as postgres:15 or docker.io/library/postgres:15, in lower case",
        ));
    }
    if tag.is_some_and(|t| !is_tag(t)) {
        return Err(("its tag is malformed", "use letters, digits, '_', '.' and '-' after the ':'"));
    }
    if digest.is_some_and(|d| !is_digest(d)) {
        return Err(("its digest is malformed", "a digest is sha256: and 64 hexadecimal digits"));
    }
    Ok(Image { name: name.to_owned(), tag: tag.map(str::to_owned), digest: digest.map(str::to_owned) })
}

/// A colon after the last slash begins a tag; one before it belongs to a registry's port.
fn split_tag(rest: &str) -> (&str, Option<&str>) {
    match rest.rfind(':') {
        Some(at) if !rest[at..].contains('/') => (&rest[..at], Some(&rest[at + 1..])),
        _ => (rest, None),
    }
}

fn is_component(part: &str) -> bool {
    let separator = |c: char| matches!(c, '.' | '_' | '-');
    !part.is_empty()
        && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || separator(c))
        && !part.starts_with(separator)
        && !part.ends_with(separator)
}

fn is_registry(part: &str) -> bool {
    let (host, port) = part.split_once(':').map_or((part, None), |(host, port)| (host, Some(port)));
    !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
        && port.is_none_or(|p| p.parse::<u16>().is_ok())
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
        && !tag.starts_with(['.', '-'])
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty() && hex.len() >= 32 && hex.chars().all(|c| c.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart_as_registries_do_it() {
        let parts = |text| parse(text).map(|i| (i.name, i.tag, i.digest.is_some())).map_err(|e| e.reason);
        let ok = |name: &str, tag: Option<&str>, digest| Ok((name.to_owned(), tag.map(str::to_owned), digest));
        assert_eq!(parts("postgres"), ok("postgres", None, false));
        assert_eq!(parts("docker.io/library/postgres:15"), ok("docker.io/library/postgres", Some("15"), false));
        assert_eq!(parts("localhost:5000/postgres"), ok("localhost:5000/postgres", None, false));
        let digest = format!("postgres:15@sha256:{}", "a".repeat(64));
        assert_eq!(parts(&digest), ok("postgres", Some("15"), true));
        for bad in ["", "Postgres", "postgres:", "postgres:15 ", "https://x/postgres", "/postgres", "postgres@sha256:1"]
        {
            assert_eq!(parts(bad), Err(Reason::InvalidImageName), "{bad}");
        }
    }

    #[test]
    fn the_short_names_of_docker_hub_are_its_full_names() {
        let name = |text| parse(text).expect("a reference").full_name();
        for same in ["postgres:15", "library/postgres", "docker.io/postgres", "index.docker.io/library/postgres"] {
            assert_eq!(name(same), "docker.io/library/postgres", "{same}");
        }
        assert_eq!(name("bitnami/postgresql"), "docker.io/bitnami/postgresql");
        assert_eq!(name("localhost/postgres"), "localhost/postgres");
        assert_eq!(name("registry.k8s.io/e2e-test-images/agnhost"), "registry.k8s.io/e2e-test-images/agnhost");
    }

    #[test]
    fn a_star_stands_for_a_part_of_a_name_and_the_more_precise_pattern_wins() {
        let fits = |pattern, image| Pattern::parse(pattern).expect("a pattern").fits(&parse(image).expect("an image"));
        assert!(fits("*", "busybox:1.36").is_some());
        assert!(fits("*", "bitnami/redis").is_none());
        assert!(fits("**", "registry.k8s.io/e2e-test-images/agnhost").is_some());
        assert!(fits("registry.k8s.io/*", "registry.k8s.io/e2e-test-images/agnhost").is_none());
        assert!(fits("busy*", "busybox") > fits("*", "busybox"));
        assert!(fits("busybox", "busybox") > fits("busybox*", "busybox"));
        assert!(fits("command:backup", "command:backup").is_some());
        assert!(fits("command:backup", "command:restore").is_none());
    }

    #[test]
    fn a_pattern_is_filled_from_the_reference() {
        let image = parse("registry.k8s.io/e2e-test-images/agnhost:2.53").expect("an image");
        assert_eq!(image.fill("/srv/{registry}/{name}/{tag}"), "/srv/registry.k8s.io/agnhost/2.53");
        assert_eq!(image.fill("/srv/{repository}"), "/srv/e2e-test-images/agnhost");
        assert_eq!(parse("busybox").expect("an image").fill("/srv/{name}/{tag}"), "/srv/busybox/latest");
        assert_eq!(unknown_placeholder("/srv/{name}/{version}"), Some("version"));
        assert_eq!(unknown_placeholder("/srv/{name}/{tag}"), None);
    }
}
