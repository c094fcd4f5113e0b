//! What is told of something as a whole: a name and a value on each line, and below them what is to be done.

/// A report that grows.
pub(crate) struct Report {
    pub(crate) text: String,
    /// There is nothing to be done.
    pub(crate) is_well: bool,
}

impl Default for Report {
    fn default() -> Self {
        Self { text: String::new(), is_well: true }
    }
}

impl Report {
    pub(crate) fn line(&mut self, name: &str, value: &str) {
        self.text += &format!("{:<21}{value}\n", format!("{name}:"));
    }

    /// More of the line before.
    pub(crate) fn more(&mut self, text: &str) {
        self.text += &format!("{:<21}{text}\n", "");
    }

    /// What somebody has to do about the line before.
    pub(crate) fn todo(&mut self, text: &str) {
        self.is_well = false;
        self.more(text);
    }

    /// There is nothing to tell of.
    pub(crate) fn nothing(&mut self, sentence: &str) {
        self.is_well = false;
        self.text += sentence;
        self.text.push('\n');
    }
}
