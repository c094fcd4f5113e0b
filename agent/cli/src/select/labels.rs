//! Label selectors, with the whole grammar of `labels.Parse` in k8s.io/apimachinery: `a=b`, `a==b`, `a!=b`, `a in (b, c)`,
//! `a notin (b, c)`, `a`, `!a`, `a>1`, `a<1`, with commas between them.

use serde_json::{Map, Value};

/// What must be true of labels: all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LabelSelector(Vec<Requirement>);

/// What must be true of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

impl LabelSelector {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, where, and what is right.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let mut all = Vec::new();
        reader.blanks();
        while !reader.rest().is_empty() {
            all.push(reader.requirement()?);
            reader.blanks();
            if reader.rest().is_empty() {
                break;
            }
            if !reader.takes(",") {
                return Err(reader.fault("a comma, or one of = == != in notin < >, is missing here"));
            }
            reader.blanks();
            if reader.rest().is_empty() {
                return Err(reader.fault("something is missing after this comma"));
            }
        }
        Ok(Self(all))
    }

    /// Whether an object with this `metadata` is meant.
    pub(crate) fn picks(&self, object: &Value) -> bool {
        let none = Map::new();
        let labels = object["metadata"]["labels"].as_object().unwrap_or(&none);
        self.0.iter().all(|requirement| requirement.holds(labels.get(&requirement.key).and_then(Value::as_str)))
    }
}

impl Requirement {
    /// What is missing has no value, and so none of those that it must not have.
    fn holds(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        let among = |values: &[String]| value.is_some_and(|value| values.iter().any(|one| one == value));
        match &self.test {
            Test::Exists => value.is_some(),
            Test::Missing => value.is_none(),
            Test::In(values) => among(values),
            Test::NotIn(values) => !among(values),
            Test::Above(bound) => number().is_some_and(|number| number > *bound),
            Test::Below(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

/// A text, and how far it is read.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn requirement(&mut self) -> Result<Requirement, String> {
        if self.takes("!") {
            self.blanks();
            return Ok(Requirement { key: self.key()?, test: Test::Missing });
        }
        let key = self.key()?;
        self.blanks();
        Ok(Requirement { key, test: self.test()? })
    }

    fn test(&mut self) -> Result<Test, String> {
        if self.takes("!=") {
            return self.value().map(|value| Test::NotIn(vec![value]));
        }
        if self.takes("==") || self.takes("=") {
            return self.value().map(|value| Test::In(vec![value]));
        }
        if self.takes(">") {
            return self.number().map(Test::Above);
        }
        if self.takes("<") {
            return self.number().map(Test::Below);
        }
        if self.takes_word("notin") {
            return self.values().map(Test::NotIn);
        }
        if self.takes_word("in") {
            return self.values().map(Test::In);
        }
        Ok(Test::Exists)
    }

    fn key(&mut self) -> Result<String, String> {
        let at = self.at;
        let key = self.word();
        if key.is_empty() {
            return Err(self.fault("the key of a label is missing here"));
        }
        let (prefix, name) = key.rsplit_once('/').map_or((None, key.as_str()), |(prefix, name)| (Some(prefix), name));
        let is_domain = |prefix: &str| {
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
            !prefix.is_empty() && prefix.len() <= 253 && prefix.chars().all(allowed)
        };
        if name.is_empty() || !is_value(name) || !prefix.is_none_or(is_domain) {
            return Err(fault(
                self.text,
                at,
                &format!("{key:?} is no key of a label; write for example app or example.com/app"),
            ));
        }
        Ok(key)
    }

    /// A value; one that is empty is one.
    fn value(&mut self) -> Result<String, String> {
        self.blanks();
        let at = self.at;
        let value = self.word();
        if is_value(&value) {
            return Ok(value);
        }
        let rule = "at most 63 letters, digits, -, _ and ., a letter or digit first and last";
        Err(fault(self.text, at, &format!("{value:?} is no value of a label: {rule}")))
    }

    fn number(&mut self) -> Result<i64, String> {
        self.blanks();
        let at = self.at;
        let word = self.word();
        word.parse().map_err(|_| fault(self.text, at, "a whole number is missing here"))
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        self.blanks();
        let open = self.at;
        if !self.takes("(") {
            return Err(self.fault("values in parentheses are missing here: in (a, b)"));
        }
        let mut values = Vec::new();
        loop {
            values.push(self.value()?);
            self.blanks();
            if self.takes(")") {
                return Ok(values);
            }
            if !self.takes(",") {
                return Err(match self.rest().is_empty() {
                    true => fault(self.text, open, "this parenthesis is not closed"),
                    false => self.fault("a comma or a closing parenthesis is missing here"),
                });
            }
        }
    }

    /// Up to what has a meaning of its own.
    fn word(&mut self) -> String {
        let rest = self.rest();
        let length = rest.find(|c: char| c.is_whitespace() || "=!(),<>".contains(c)).unwrap_or(rest.len());
        let word = rest[..length].to_owned();
        self.at += length;
        word
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let before = self.at;
        let is = self.word() == word;
        self.at = if is { self.at } else { before };
        is
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn takes(&mut self, mark: &str) -> bool {
        let is = self.rest().starts_with(mark);
        self.at += if is { mark.len() } else { 0 };
        is
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn fault(&self, message: &str) -> String {
        fault(self.text, self.at, message)
    }
}

fn fault(text: &str, at: usize, message: &str) -> String {
    format!("character {}: {message}", text[..at].chars().count() + 1)
}

/// `validation.IsValidLabelValue`.
fn is_value(value: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    value.len() <= 63
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && (value.is_empty() || (value.starts_with(ends) && value.ends_with(ends)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Those of the labels below that are meant.
    fn picked(selector: &str) -> String {
        let selector = LabelSelector::parse(selector).unwrap();
        let all = [
            ("a", json!({"app": "db", "tier": "gold", "rank": "3"})),
            ("b", json!({"app": "web", "rank": "10"})),
            ("c", json!({"app": "", "in": "x", "example.com/app": "db"})),
            ("d", json!(null)),
        ];
        let picks = |labels: &Value| selector.picks(&json!({"metadata": {"labels": labels}}));
        all.iter().filter(|(_, labels)| picks(labels)).map(|(name, _)| *name).collect()
    }

    #[test]
    fn selectors_mean_what_they_mean_to_kubectl() {
        for (selector, meant) in [
            ("", "abcd"),
            ("app", "abc"),
            ("!app", "d"),
            ("! tier", "bcd"),
            ("app=db", "a"),
            ("app==db", "a"),
            (" app = db ", "a"),
            ("app!=db", "bcd"),
            ("app=", "c"),
            ("app in (db, web)", "ab"),
            ("app in(db,)", "ac"),
            ("app in ()", "c"),
            ("app notin (db,web)", "cd"),
            ("app,tier!=gold", "bc"),
            ("app in (db,web),!tier", "b"),
            ("rank>3", "b"),
            ("rank < 10", "a"),
            ("in", "c"),
            ("in in (x)", "c"),
            ("example.com/app=db", "c"),
        ] {
            assert_eq!(picked(selector), meant, "{selector}");
        }
    }

    #[test]
    fn a_wrong_selector_is_answered_with_the_place_and_what_is_right() {
        for (selector, said) in [
            ("app=db,", "character 8: something is missing after this comma"),
            (",app", "character 1: the key of a label is missing"),
            ("app db", "character 5: a comma, or one of = =="),
            ("app in db", "character 8: values in parentheses"),
            ("app in (db", "character 8: this parenthesis is not closed"),
            ("app in (db web)", "character 12: a comma or a closing parenthesis"),
            ("app=a/b", "character 5: \"a/b\" is no value"),
            ("-app", "character 1: \"-app\" is no key"),
            ("Example/app", "character 1: \"Example/app\" is no key"),
            ("rank>x", "character 6: a whole number"),
            ("!app=db", "character 5: a comma"),
            ("ä=ö", "character 1: \"ä\" is no key"),
        ] {
            let fault = LabelSelector::parse(selector).unwrap_err();
            assert!(fault.starts_with(said), "{selector}: {fault}");
        }
    }
}
