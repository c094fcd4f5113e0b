//! barepodd: decides and supervises.
