//! barepod: the command line.
