//! The pages of this repository, read as a person reads them and done as a person does them.
//!
//! A page is a Markdown file. What its blocks are is told by their language:
//!
//! | block | what a test does with it |
//! |---|---|
//! | `console` | runs its commands, lines that begin with `# ` or `$ ` and go on behind `> `, and compares what they print: [`console`] |
//! | `yaml` after a paragraph that ends with a file's name and a colon | writes that file |
//! | `sh` | cannot be run on any machine; each line that calls a program of barepod is held against its grammar: [`grammar`] |
//!
//! Links have to lead somewhere: [`links`].

pub mod console;
pub mod grammar;
pub mod links;
mod page;
mod run;
mod session;

pub use page::{Block, Page, Placed, all};
pub use run::{PageError, run};
