//! Times of the calendar, in UTC, without a library: only what log lines and file names need.

const NS: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// A moment of the calendar in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// Year.
    pub year: i64,
    /// Month, from 1.
    pub month: u32,
    /// Day of the month, from 1.
    pub day: u32,
    /// Hour.
    pub hour: u32,
    /// Minute.
    pub minute: u32,
    /// Second.
    pub second: u32,
    /// Nanosecond of the second.
    pub nanosecond: u32,
}

impl Civil {
    /// From nanoseconds since 1970.
    #[must_use]
    pub fn from_unix_ns(time: i64) -> Self {
        let (seconds, nanosecond) = (time.div_euclid(NS), time.rem_euclid(NS) as u32);
        let (days, second_of_day) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY) as u32);
        let (year, month, day) = date_of(days);
        let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
        Self { year, month, day, hour, minute, second, nanosecond }
    }

    /// Nanoseconds since 1970; `None` if that is beyond 64 bits or the date does not exist.
    #[must_use]
    pub fn unix_ns(&self) -> Option<i64> {
        let in_range = (1..=12).contains(&self.month)
            && (1..=31).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second <= 60;
        if !in_range || !(1600..=2400).contains(&self.year) {
            return None;
        }
        let days = days_of(self.year, self.month, self.day);
        let of_day = i64::from(self.hour * 3600 + self.minute * 60 + self.second);
        (days * DAY + of_day).checked_mul(NS)?.checked_add(self.nanosecond.into())
    }
}

/// Days are counted from 1 March of the year 0, so that the leap day is a year's last (Howard Hinnant's method).
fn date_of(days_since_1970: i64) -> (i64, u32, u32) {
    let days = days_since_1970 + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_of(year: i64, month: u32, day: u32) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn civil(year: i64, month: u32, day: u32, hour: u32, minute: u32, second: u32) -> Civil {
        Civil { year, month, day, hour, minute, second, nanosecond: 0 }
    }

    #[test]
    fn known_moments_are_where_date_1_says() {
        for (seconds, expected) in [
            (0, civil(1970, 1, 1, 0, 0, 0)),
            (951_782_400, civil(2000, 2, 29, 0, 0, 0)),
            (1_709_251_199, civil(2024, 2, 29, 23, 59, 59)),
            (4_107_542_400, civil(2100, 3, 1, 0, 0, 0)),
        ] {
            assert_eq!(Civil::from_unix_ns(seconds * NS), expected);
            assert_eq!(expected.unix_ns(), Some(seconds * NS));
        }
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for days in -100_000..100_000 {
            let time = days * DAY * NS / 2 + 123;
            assert_eq!(Civil::from_unix_ns(time).unix_ns(), Some(time));
        }
    }
}
