//! Kubernetes objects to validated pods, with errors that name line and field.
