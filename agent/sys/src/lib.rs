//! Raw system calls: clone3, pidfd, mounts, prctl, terminals.
