//! The protobuf interface of the daemon socket, client and server.
