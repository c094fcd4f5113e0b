//! Cgroups, users, the view of the host, and the client of the shim.
