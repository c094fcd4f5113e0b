//! What is shown, and in which form.

use std::path::PathBuf;

use clap_complete::engine::ArgValueCandidates;

use super::Selectors;
use crate::complete;
use crate::get::{Form, Order, Wanted};

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// What to show: `pods`, `events`, `volumes` (what claims are) or `presets` (which need no daemon), with names after it;
    /// or `pod/NAME...`.
    #[arg(default_value = "pods", value_name = "TYPE", add = ArgValueCandidates::new(complete::kinds))]
    pub(crate) kind: String,
    /// Some of them.
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::pods))]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) selectors: Selectors,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// How to show it: json, yaml, wide (more columns), name (pod/NAME), jsonpath=TEMPLATE, jsonpath-file=FILE or
    /// custom-columns=HEADING:PATH,... in kubectl's dialect of JSONPath.
    #[arg(short, long, value_name = "FORM", value_parser = Form::parse, add = ArgValueCandidates::new(complete::forms))]
    pub(crate) output: Option<Form>,
    /// In the order of what this path finds: .metadata.creationTimestamp.
    #[arg(long, value_name = "PATH", value_parser = Order::parse, conflicts_with = "watch")]
    pub(crate) sort_by: Option<Order>,
    /// Without the line of headings.
    #[arg(long)]
    pub(crate) no_headers: bool,
    /// With a column of all labels.
    #[arg(long)]
    pub(crate) show_labels: bool,
    /// Go on and show each change.
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// For presets: the administrator's configuration.
    #[arg(long, default_value = "/etc/barepod", value_name = "DIRECTORY")]
    pub(crate) config: PathBuf,
}

impl Get {
    /// What is named.
    ///
    /// # Errors
    /// What to write.
    pub(crate) fn wanted(&self) -> Result<Wanted, String> {
        Wanted::read(&self.kind, &self.names)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let wanted = self.wanted()?;
        if self.watch && !wanted.kind.can_be_watched() {
            return Err(format!("{} cannot be watched", wanted.kind.plural()));
        }
        wanted.check(self.selectors.selector.as_ref(), self.selectors.field_selector.as_ref())
    }
}
