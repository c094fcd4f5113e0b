//! What an administrator has in the hand: verbs of the command line, against a real daemon or on a host laid out for them.

mod audit;
mod config;
mod copy;
mod doctor;
mod get;
mod halt;
mod manifests;
mod run;
mod shown;
mod terminal;
mod top;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;
