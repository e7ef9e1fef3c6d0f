//! Settings of upgrades: on request only, or automatic within a window of the week.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};

/// The time at which models are upgraded to what this version of the operator renders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Upgrades {
    /// On request.
    #[default]
    Manual,
    /// On request, and one model at a time within a window.
    Automatic(AutomaticUpgrades),
}

/// Settings of automatic upgrades.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutomaticUpgrades {
    /// The window in which an upgrade may begin.
    pub window: UpgradeWindow,
    /// Time after which a model that does not serve counts as a failed upgrade.
    pub timeout: SignedDuration,
}

/// A window that opens on some days of each week, in UTC. It may last past midnight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpgradeWindow {
    days: WindowDays,
    start: WindowStart,
    length: SignedDuration,
}

impl UpgradeWindow {
    /// Lengths that a window may have. A longer one would overlap itself.
    pub const LENGTHS: RangeInclusive<SignedDuration> =
        SignedDuration::from_mins(1)..=SignedDuration::from_hours(24);

    /// Returns the window, with the nearest length that one may have.
    #[must_use]
    pub fn new(days: WindowDays, start: WindowStart, length: SignedDuration) -> Self {
        let length = length.clamp(*Self::LENGTHS.start(), *Self::LENGTHS.end());
        Self { days, start, length }
    }

    /// Returns the time at which the window closes; `None` while it is closed.
    #[must_use]
    pub fn closes(&self, now: Timestamp) -> Option<Timestamp> {
        // A window of today or of yesterday.
        let openings = [0, -1].into_iter().filter_map(|days| self.opening(now, days));
        let ends = openings.filter(|opened| *opened <= now);
        ends.filter_map(|opened| opened.checked_add(self.length).ok())
            .filter(|end| now < *end)
            .max()
    }

    /// Returns true while the window is open.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.closes(now).is_some()
    }

    /// Returns the next time at which the window opens, after this time.
    #[must_use]
    pub fn opens_after(&self, now: Timestamp) -> Option<Timestamp> {
        let openings = (0..=7).filter_map(|days| self.opening(now, days));
        openings.filter(|opening| *opening > now).min()
    }

    /// The opening on the day this many days from now, if there is one.
    fn opening(&self, now: Timestamp, days: i64) -> Option<Timestamp> {
        let today = now.to_zoned(TimeZone::UTC).date();
        let day = today.checked_add(Span::new().days(days)).ok()?;
        let opens = self.days.0.contains(&day.weekday().to_monday_zero_offset());
        let opening = day.to_datetime(self.start.0).to_zoned(TimeZone::UTC).ok()?;
        opens.then(|| opening.timestamp())
    }
}

impl fmt::Display for UpgradeWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute) = (self.start.0.hour(), self.start.0.minute());
        let minutes = self.length.as_mins();
        write!(f, "{} {hour:02}:{minute:02} UTC for {minutes} minutes", self.days)
    }
}

const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Days of the week, each by its number from Monday.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowDays(BTreeSet<i8>);

impl FromStr for WindowDays {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let day = |word: &str| {
            let position = NAMES
                .iter()
                .position(|name| name.eq_ignore_ascii_case(word.trim()))?;
            let day = Weekday::from_monday_zero_offset(i8::try_from(position).ok()?).ok()?;
            Some(day.to_monday_zero_offset())
        };
        let days: Option<BTreeSet<i8>> = text.split(',').map(day).collect();
        days.map(Self)
            .ok_or_else(|| format!("must be days such as Sat,Sun, of {}", NAMES.join(", ")))
    }
}

impl fmt::Display for WindowDays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |day: &i8| usize::try_from(*day).ok().and_then(|day| NAMES.get(day).copied());
        let names: Vec<&str> = self.0.iter().filter_map(name).collect();
        f.write_str(&names.join(","))
    }
}

/// Time of the day, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowStart(Time);

impl FromStr for WindowStart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<i8>().ok().filter(|_| is_number)
        };
        let time = text
            .split_once(':')
            .and_then(|(hour, minute)| Time::new(number(hour)?, number(minute)?, 0, 0).ok());
        time.map(Self)
            .ok_or_else(|| "must be a time such as 02:00".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &str, start: &str, hours: i64) -> UpgradeWindow {
        let (days, start) = (days.parse().unwrap(), start.parse().unwrap());
        UpgradeWindow::new(days, start, SignedDuration::from_hours(hours))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_lasts_past_midnight() {
        // The 3rd of January 2026 is a Saturday.
        let window = window("Sat", "22:00", 4);
        for (time, is_open) in [
            ("2026-01-03T21:59:59Z", false),
            ("2026-01-03T22:00:00Z", true),
            ("2026-01-04T01:59:59Z", true),
            ("2026-01-04T02:00:00Z", false),
            ("2026-01-04T22:30:00Z", false),
        ] {
            assert_eq!(window.is_open(at(time)), is_open, "{time}");
        }
        assert_eq!(window.to_string(), "Sat 22:00 UTC for 240 minutes");
    }

    #[test]
    fn the_next_opening_is_never_now() {
        let window = window("Sun,sat", "02:00", 1);
        for (now, next) in [
            ("2026-01-01T00:00:00Z", "2026-01-03T02:00:00Z"),
            ("2026-01-03T02:00:00Z", "2026-01-04T02:00:00Z"),
            ("2026-01-04T02:00:01Z", "2026-01-10T02:00:00Z"),
        ] {
            assert_eq!(window.opens_after(at(now)), Some(at(next)), "{now}");
        }
    }

    #[test]
    fn wrong_settings_are_refused() {
        for days in ["", "Saturday", "Sat,", "Sat Sun"] {
            assert!(days.parse::<WindowDays>().is_err(), "{days}");
        }
        for start in ["", "2:00", "24:00", "02:60", "02:00:00", "+2:00"] {
            assert!(start.parse::<WindowStart>().is_err(), "{start}");
        }
    }
}
