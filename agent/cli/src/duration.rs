//! Spans of time as people type them.

/// Seconds of `90`, `90s`, `5m`, `2h` or `3d`.
///
/// # Errors
/// What to write.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400), ("", 1)];
    let read = |(unit, length): (&str, u64)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(length);
    units.into_iter().find_map(read).ok_or_else(|| "write seconds, or a time like 90s, 5m, 2h or 3d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_kubectl_and_days() {
        let of = |text| seconds(text).ok();
        assert_eq!(
            [of("90"), of("90s"), of("5m"), of("2h"), of("3d")],
            [Some(90), Some(90), Some(300), Some(7_200), Some(259_200)]
        );
        for wrong in ["", "m", "-5m", "5 m", "1h30m", "99999999999999999999", "99999999999999999d"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
