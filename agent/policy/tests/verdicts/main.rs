//! Verdicts: for each power, who gets it and who does not.

mod asking;
mod bench;
mod defaults;
mod powers;
