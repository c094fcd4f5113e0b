//! What is answered by the path it is asked at.

pub(crate) mod about;
pub(crate) mod health;
pub(crate) mod logs;
pub(crate) mod pods;
