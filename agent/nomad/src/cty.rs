//! Values as Nomad sends them: what an HCL block said, by its schema, as MessagePack of cty. Every key of the schema is there,
//! those that are not given as nil; numbers are of the smallest kind that holds them.

use serde::de::DeserializeOwned;

/// A value that is not what its schema says.
#[derive(Debug, thiserror::Error)]
#[error("what Nomad sent of the configuration cannot be read: {0}")]
pub(crate) struct Malformed(#[from] rmp_serde::decode::Error);

/// A block's value; of none, that of an empty one.
pub(crate) fn decode<T: DeserializeOwned + Default>(value: &[u8]) -> Result<T, Malformed> {
    if value.is_empty() {
        return Ok(T::default());
    }
    Ok(rmp_serde::from_slice::<Option<T>>(value)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    struct Block {
        enabled: Option<bool>,
        socket: Option<String>,
    }

    #[test]
    fn what_is_not_given_is_nil() {
        // Taken from a Nomad 1.11.3 agent.
        let sent = b"\x82\xa7enabled\xc3\xa6socket\xc0";
        assert_eq!(decode::<Block>(sent).unwrap(), Block { enabled: Some(true), socket: None });
        assert_eq!(decode::<Block>(b"").unwrap(), Block::default());
        assert_eq!(decode::<Block>(b"\xc0").unwrap(), Block::default());
    }

    #[test]
    fn a_value_of_another_kind_is_no_block() {
        assert!(decode::<Block>(b"\x81\xa7enabled\xa1x").is_err());
        assert!(decode::<Block>(b"\x82\xa7").is_err());
    }
}
