//! Passwords that are made, and whether they were made before.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Letters and digits: nothing that a shell, a URL or a configuration file would take for something else.
const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// 142 bits.
const LENGTH: usize = 24;

/// A password of the kernel's randomness.
///
/// # Errors
/// `/dev/urandom` cannot be read.
pub(crate) fn password() -> io::Result<String> {
    let mut random = File::open("/dev/urandom")?;
    let mut text = String::new();
    let mut byte = [0];
    while text.len() < LENGTH {
        random.read_exact(&mut byte)?;
        // What lies beyond the last whole round of letters would make the first ones more likely.
        if let Some(letter) = LETTERS.get(usize::from(byte[0] & 63)) {
            text.push(char::from(*letter));
        }
    }
    Ok(text)
}

/// The manifest file of this host in which a Secret lies, if there is one.
///
/// # Errors
/// The manifests cannot be looked at.
pub(crate) fn file_of_secret(manifests: &Path, namespace: &str, name: &str) -> Result<Option<PathBuf>> {
    let why = || "it cannot be seen whether passwords were made before: be root, or write a manifest and apply that";
    let mut paths = Vec::new();
    match fs_err::read_dir(manifests) {
        Ok(entries) => {
            for entry in entries {
                paths.push(entry.with_context(why)?.path());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(why),
    }
    paths.retain(|path| path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known)));
    for path in paths {
        let text = fs_err::read_to_string(&path).with_context(why)?;
        // What is no manifest is the daemon's to complain about.
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap_or_default();
        if objects.iter().any(|object| is_secret(object, namespace, name)) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn is_secret(object: &Value, namespace: &str, name: &str) -> bool {
    let metadata = &object["metadata"];
    object["kind"] == "Secret"
        && metadata["name"] == name
        && metadata["namespace"].as_str().unwrap_or("default") == namespace
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_plain_and_never_the_same() {
        let (one, other) = (password().unwrap(), password().unwrap());
        assert_ne!(one, other);
        assert!(one.len() == 24 && one.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{one}");
    }

    #[test]
    fn a_secret_is_found_in_whichever_manifest_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let text = "kind: Pod\nmetadata: {name: db}\n---\nkind: Secret\nmetadata: {name: db, namespace: shop}\n";
        std::fs::write(dir.path().join("a.yaml"), text).unwrap();
        std::fs::write(dir.path().join("b.yaml"), "kind: [").unwrap();
        std::fs::write(dir.path().join("c.json"), r#"{"kind": "Secret", "metadata": {"name": "db"}}"#).unwrap();
        let of = |namespace, name| file_of_secret(dir.path(), namespace, name).unwrap();
        assert_eq!(of("shop", "db"), Some(dir.path().join("a.yaml")));
        assert_eq!(of("default", "db"), Some(dir.path().join("c.json")));
        assert_eq!(of("shop", "cache"), None);
        assert_eq!(file_of_secret(&dir.path().join("none"), "shop", "db").unwrap(), None);
    }
}
