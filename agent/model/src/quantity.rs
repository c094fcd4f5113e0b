//! Kubernetes quantities, as far as resources need them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A quantity that Kubernetes' `resource.Quantity` would refuse, or that makes no sense for what it measures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("quantity {value:?} is not valid: {rule}")]
pub struct InvalidQuantity {
    /// The refused text.
    pub value: String,
    /// What is wrong with it.
    pub rule: &'static str,
}

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Bytes(pub u64);

/// CPU in thousandths of a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct MilliCpu(pub u64);

/// Parses the quantity into thousandths, rounding up as `Quantity.ScaledValue` does.
fn parse_milli(value: &str) -> Result<u128, InvalidQuantity> {
    let bad = |rule| InvalidQuantity { value: value.to_owned(), rule };
    let digits_end = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, suffix) = value.split_at(digits_end);
    if number.is_empty() {
        return Err(bad("it must begin with a digit and must not be negative"));
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return Err(bad("it has more than one decimal point or no digits"));
    }
    if whole.len() > 18 || fraction.len() > 18 {
        return Err(bad("it has too many digits"));
    }
    let scale: u128 = match suffix {
        "n" => return scale_down(whole, fraction, 1_000_000).ok_or_else(|| bad("it is out of range")),
        "u" => return scale_down(whole, fraction, 1_000).ok_or_else(|| bad("it is out of range")),
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "P" => 1_000_000_000_000_000_000,
        "E" => 1_000_000_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        "Pi" => 1_000 << 50,
        "Ei" => 1_000 << 60,
        exponent => power_of_ten(exponent).ok_or_else(|| bad("use a suffix such as m, k, M, G, Ki, Mi, Gi"))?,
    };
    combine(whole, fraction, scale).ok_or_else(|| bad("it is out of range"))
}

/// `e3`, `E3`, `e-3`: the scale in thousandths. Only exponents that stay whole thousandths are taken.
fn power_of_ten(exponent: &str) -> Option<u128> {
    let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
    (-3..=18).contains(&power).then(|| 10_u128.pow((power + 3).unsigned_abs()))
}

fn combine(whole: &str, fraction: &str, scale: u128) -> Option<u128> {
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(scale)?;
    if !fraction.is_empty() {
        let digits: u128 = fraction.parse().ok()?;
        let unit = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        total = total.checked_add(digits.checked_mul(scale)?.div_ceil(unit))?;
    }
    Some(total)
}

fn scale_down(whole: &str, fraction: &str, by: u128) -> Option<u128> {
    Some(combine(whole, fraction, 1)?.div_ceil(by))
}

impl FromStr for Bytes {
    type Err = InvalidQuantity;
    fn from_str(value: &str) -> Result<Self, InvalidQuantity> {
        let bytes = parse_milli(value)?.div_ceil(1_000);
        u64::try_from(bytes)
            .map(Bytes)
            .map_err(|_| InvalidQuantity { value: value.to_owned(), rule: "it is out of range" })
    }
}

impl FromStr for MilliCpu {
    type Err = InvalidQuantity;
    fn from_str(value: &str) -> Result<Self, InvalidQuantity> {
        u64::try_from(parse_milli(value)?)
            .map(MilliCpu)
            .map_err(|_| InvalidQuantity { value: value.to_owned(), rule: "it is out of range" })
    }
}

impl fmt::Display for Bytes {
    /// The shortest exact form with a binary suffix: `512Mi`, `1Gi`, `1000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
        let exact = units.iter().find(|(_, shift)| self.0 != 0 && self.0.trailing_zeros() >= *shift);
        match exact {
            Some((unit, shift)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for MilliCpu {
    /// `2` for whole cores, else `1500m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1_000) { write!(f, "{}", self.0 / 1_000) } else { write!(f, "{}m", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        let bytes = |s: &str| s.parse::<Bytes>().map(|b| b.0).ok();
        assert_eq!(bytes("512Mi"), Some(512 << 20));
        assert_eq!(bytes("1.5Gi"), Some(3 << 29));
        assert_eq!(bytes("1e3"), Some(1_000));
        assert_eq!(bytes("100m"), Some(1), "rounded up");
        assert_eq!(bytes("128974848"), Some(128_974_848));
        assert_eq!(bytes("-1"), None);
        assert_eq!(bytes("1 Gi"), None);
        assert_eq!(bytes("1GB"), None);
        let cpu = |s: &str| s.parse::<MilliCpu>().map(|c| c.0).ok();
        assert_eq!(cpu("1"), Some(1_000));
        assert_eq!(cpu("0.1"), Some(100));
        assert_eq!(cpu("250m"), Some(250));
        assert_eq!(cpu("1u"), Some(1), "rounded up");
    }

    #[test]
    fn quantities_print_in_their_shortest_exact_form() {
        assert_eq!(Bytes(1 << 30).to_string(), "1Gi");
        assert_eq!(Bytes(1_000).to_string(), "1000");
        assert_eq!(MilliCpu(2_000).to_string(), "2");
        assert_eq!(MilliCpu(2_500).to_string(), "2500m");
    }
}
