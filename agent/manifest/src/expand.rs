//! `$(VAR)` in commands, arguments and values, as Kubernetes expands it.

use std::collections::BTreeMap;

/// Replaces `$(NAME)` by the variable's value; an unknown name stays as it is written, and `$$` is a dollar sign.
pub(crate) fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (piece, used) = reference(after, env);
        out.push_str(&piece);
        rest = &after[used..];
    }
    out.push_str(rest);
    out
}

/// Names of which there is no variable.
pub(crate) fn unknown_names(text: &str, env: &BTreeMap<String, String>) -> Vec<String> {
    let plain = text.replace("$$", "");
    let names = plain.split("$(").skip(1).filter_map(|rest| rest.split_once(')').map(|(name, _)| name));
    names.filter(|name| !env.contains_key(*name)).map(str::to_owned).collect()
}

/// What stands for the text after a dollar sign, and how much of that text it uses up.
fn reference(after: &str, env: &BTreeMap<String, String>) -> (String, usize) {
    if after.starts_with('$') {
        return ("$".to_owned(), 1);
    }
    let Some((name, _)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) else {
        return ("$".to_owned(), 0);
    };
    let written = || format!("$({name})");
    (env.get(name).cloned().unwrap_or_else(written), name.len() + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_variable_is_found_unless_its_dollar_is_doubled() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        assert_eq!(unknown_names("$(A)/$(B)/$$(C)/$(D", &env), ["B"]);
    }

    #[test]
    fn expansion_does_what_kubernetes_documents() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "$(A)".to_owned())]);
        let cases = [
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$(C)", "$(C)"),
            ("$(A", "$(A"),
            ("$A", "$A"),
            ("$", "$"),
            ("$(B)", "$(A)"),
            ("ü$(A)ü", "ü1ü"),
            ("$()", "$()"),
        ];
        for (text, want) in cases {
            assert_eq!(expand(text, &env), want, "{text}");
        }
    }
}
