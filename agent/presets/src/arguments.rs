//! Arguments as programs read them: what a manifest gives by itself is found in them.

/// The value of `--name=VALUE` or `--name VALUE`, the last one; empty for a flag alone. `name` is written with its dashes.
pub(crate) fn flag(args: &[String], name: &str) -> Option<String> {
    let mut found = None;
    for (index, word) in args.iter().enumerate() {
        if word == name {
            let next = args.get(index + 1).filter(|next| !next.starts_with('-'));
            found = Some(next.cloned().unwrap_or_default());
        } else if let Some(value) = word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
            found = Some(value.to_owned());
        }
    }
    found
}

/// The value of a setting as PostgreSQL and MariaDB read it: `-c NAME=VALUE`, `-cNAME=VALUE`, `--NAME=VALUE`, the last
/// one. Dashes and underscores in names are the same.
pub(crate) fn setting(args: &[String], name: &str) -> Option<String> {
    let name = plain(name);
    let pair = |text: &str| {
        let (key, value) = text.split_once('=')?;
        (plain(key) == name).then(|| value.to_owned())
    };
    let mut found = None;
    for (index, word) in args.iter().enumerate() {
        let text = match word.as_str() {
            "-c" => args.get(index + 1).map(String::as_str),
            _ => word.strip_prefix("--").or_else(|| word.strip_prefix("-c")),
        };
        found = text.and_then(pair).or(found);
    }
    found
}

/// Whether arguments have a flag, with a value or without.
pub(crate) fn has(args: &[String], name: &str) -> bool {
    // A short flag may have its value right behind it.
    let short = name.len() == 2 && name.starts_with('-') && !name.starts_with("--");
    args.iter().any(|word| word == name || word.starts_with(&format!("{name}=")) || (short && word.starts_with(name)))
}

/// A word that a shell reads as it is.
pub(crate) fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn plain(name: &str) -> String {
    name.trim().replace('-', "_").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_flag_is_found_however_it_is_written() {
        let args = words("--web.port=1 --path /data --web.port 2 --debug");
        assert_eq!(flag(&args, "--web.port").as_deref(), Some("2"));
        assert_eq!(flag(&args, "--path").as_deref(), Some("/data"));
        assert_eq!(flag(&args, "--debug").as_deref(), Some(""));
        assert_eq!(flag(&args, "--web"), None);
    }

    #[test]
    fn a_setting_is_found_however_it_is_written() {
        for args in ["-c shared_buffers=1GB", "-cshared_buffers=1GB", "--shared-buffers=1GB", "--Shared_Buffers=1GB"] {
            assert_eq!(setting(&words(args), "shared_buffers").as_deref(), Some("1GB"), "{args}");
        }
        assert_eq!(setting(&words("-c a=1 -c a=2"), "a").as_deref(), Some("2"), "the last one counts");
        assert_eq!(setting(&words("-D /data"), "data"), None);
    }

    #[test]
    fn a_short_flag_may_have_its_value_behind_it() {
        assert!(has(&words("-D/x"), "-D") && has(&words("-D /x"), "-D"));
        assert!(has(&words("--data-directory=/x"), "--data-directory"));
        assert!(!has(&words("--data"), "--data-directory") && !has(&words("--data-directory"), "--data"));
    }

    #[test]
    fn a_quoted_word_is_one_word_to_a_shell() {
        assert_eq!(shell_quoted("it's"), r"'it'\''s'");
    }
}
