//! Image references: what a preset answers to.

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

/// Parses a reference, by the grammar of `distribution/reference`.
pub(crate) fn parse(text: &str) -> Result<Image, RequestError> {
    let bad = |message: &str, hint: &str| {
        Err(refuse(Reason::InvalidImageName, "image", format!("{text:?} is not an image reference: {message}"), hint))
    };
    if text.contains("://") {
        return bad("it has a scheme", "write it without the scheme");
    }
    let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    let (name, tag) = split_tag(rest);
    if !name
        .split('/')
        .enumerate()
        .all(|(i, part)| is_component(part) || (i == 0 && name.contains('/') && is_registry(part)))
    {
        return bad("its name is malformed", "write it as postgres:15 or docker.io/library/postgres:15, in lower case");
    }
    if tag.is_some_and(|t| !is_tag(t)) {
        return bad("its tag is malformed", "use letters, digits, '_', '.' and '-' after the ':'");
    }
    if digest.is_some_and(|d| !is_digest(d)) {
        return bad("its digest is malformed", "a digest is sha256: and 64 hexadecimal digits");
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
}
