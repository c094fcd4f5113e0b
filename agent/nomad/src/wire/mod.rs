//! The messages of Nomad's plugins, generated from `proto/*.proto` by `cargo xtask gen`.

/// What is asked of a plugin of any type.
pub mod base {
    #![expect(missing_docs, clippy::allow_attributes, reason = "generated; documented in the .proto file")]
    include!("base.rs");
}

/// What is asked of a task driver.
pub mod driver {
    #![expect(missing_docs, clippy::allow_attributes, reason = "generated; documented in the .proto file")]
    include!("driver.rs");
}

/// How a plugin says what HCL it understands.
pub mod hclspec {
    #![expect(missing_docs, reason = "generated; documented in the .proto file")]
    include!("hclspec.rs");
}

/// What several of them share.
pub mod structs {
    #![expect(missing_docs, reason = "generated; documented in the .proto file")]
    include!("structs.rs");
}
