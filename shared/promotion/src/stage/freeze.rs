//! When a stage is frozen: windows of local time, as people write them into a calendar.
//!
//! A window is never shorter than it is written. Where clocks go back and show a time twice, it begins at the first
//! and ends at the second; where they go forward and leave its time out, it begins before the gap and ends behind it.

use std::fmt;

use jiff::{
    SignedDuration, Timestamp, ToSpan as _,
    civil::{DateTime, Time, Weekday},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};

/// One window in which nothing new is promoted to a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "Fields", into = "Fields")]
pub struct FreezeWindow {
    /// From when to when; the end is no longer in it.
    pub span: FreezeSpan,
    /// The zone that its times are local to.
    pub time_zone: TimeZone,
    /// Why nothing is promoted then; a refusal tells it.
    pub reason: String,
}

/// From when to when a window lasts, in local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreezeSpan {
    /// A window that happens once.
    Once {
        /// Its first minute.
        from: DateTime,
        /// The first minute behind it.
        to: DateTime,
    },
    /// A window that happens each week.
    Weekly {
        /// Its first minute.
        from: WeekTime,
        /// The first minute behind it.
        to: WeekTime,
    },
}

/// A minute of the week, such as `fri 16:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeekTime {
    day: Weekday,
    time: Time,
}

/// A window as it is written down.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("oneOf" = [
    {"required": ["from", "to"], "properties": {"weekly": false}},
    {"required": ["weekly"], "properties": {"from": false, "to": false}},
])))]
#[serde(deny_unknown_fields)]
struct Fields {
    /// The first minute of a window that happens once, such as `2026-12-18T18:00`.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}$")))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// The first minute after that window.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}$")))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// Instead of `from` and `to`: a window of each week, `{"from": "fri 16:00", "to": "mon 07:00"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weekly: Option<Weekly>,
    /// The time zone that the times are local to, such as `Australia/Sydney`.
    time_zone: String,
    /// Why nothing is promoted then; a refusal tells it.
    reason: String,
}

/// A window of each week as it is written down.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Weekly {
    /// Its first minute, such as `fri 16:00`.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = r"^(mon|tue|wed|thu|fri|sat|sun) [0-9]{2}:[0-9]{2}$")))]
    from: String,
    /// The first minute after it, such as `mon 07:00`.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = r"^(mon|tue|wed|thu|fri|sat|sun) [0-9]{2}:[0-9]{2}$")))]
    to: String,
}

const DATE_TIME: &str = "%Y-%m-%dT%H:%M";
const TIME: &str = "%H:%M";
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

fn date_time(text: &str) -> Result<DateTime, String> {
    let parsed = DateTime::strptime(DATE_TIME, text).ok().filter(|it| it.strftime(DATE_TIME).to_string() == text);
    parsed.ok_or_else(|| format!("`{text}` is not a local time such as `2026-12-18T18:00`"))
}

fn week_time(text: &str) -> Result<WeekTime, String> {
    let parse = || {
        let (day, time) = text.split_once(' ')?;
        let (_, day) = DAYS.into_iter().find(|(name, _)| *name == day)?;
        let parsed = Time::strptime(TIME, time).ok()?;
        (parsed.strftime(TIME).to_string() == time).then_some(WeekTime { day, time: parsed })
    };
    parse().ok_or_else(|| format!("`{text}` is not a time of the week such as `fri 16:00`"))
}

impl fmt::Display for WeekTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = DAYS.into_iter().find(|(_, day)| *day == self.day).map_or("", |(name, _)| name);
        write!(f, "{name} {}", self.time.strftime(TIME))
    }
}

impl TryFrom<Fields> for FreezeWindow {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let time_zone = TimeZone::get(&fields.time_zone)
            .ok()
            .filter(|zone| zone.iana_name() == Some(&fields.time_zone))
            .ok_or_else(|| format!("`{}` is not a time zone such as `Europe/London`", fields.time_zone))?;
        let reason = fields.reason.trim().to_owned();
        if reason.is_empty() {
            return Err("`reason` of a freeze window is empty".to_owned());
        }
        let span = match (fields.from, fields.to, fields.weekly) {
            (Some(from), Some(to), None) => FreezeSpan::Once { from: date_time(&from)?, to: date_time(&to)? },
            (None, None, Some(Weekly { from, to })) => {
                FreezeSpan::Weekly { from: week_time(&from)?, to: week_time(&to)? }
            }
            _ => return Err("a freeze window has either `from` and `to`, or `weekly`".to_owned()),
        };
        match span {
            FreezeSpan::Once { from, to } if from >= to => {
                Err(format!("a freeze window ends at `{}`, which is not after its beginning", to.strftime(DATE_TIME)))
            }
            FreezeSpan::Weekly { from, to } if from == to => {
                Err(format!("a weekly freeze window begins and ends at `{from}`, so it would never end"))
            }
            _ => Ok(Self { span, time_zone, reason }),
        }
    }
}

impl From<FreezeWindow> for Fields {
    fn from(window: FreezeWindow) -> Self {
        let (from, to, weekly) = match window.span {
            FreezeSpan::Once { from, to } => {
                (Some(from.strftime(DATE_TIME).to_string()), Some(to.strftime(DATE_TIME).to_string()), None)
            }
            FreezeSpan::Weekly { from, to } => {
                (None, None, Some(Weekly { from: from.to_string(), to: to.to_string() }))
            }
        };
        let time_zone = window.time_zone.iana_name().unwrap_or_default().to_owned();
        Self { from, to, weekly, time_zone, reason: window.reason }
    }
}

/// The window in words, with its zone and its reason.
impl fmt::Display for FreezeWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fields { from, to, weekly, time_zone, reason } = self.clone().into();
        match (from, to, weekly) {
            (_, _, Some(Weekly { from, to })) => write!(f, "each week from {from} to {to} ({time_zone}): {reason}"),
            (from, to, None) => {
                let told = |at: Option<String>| at.unwrap_or_else(|| "an unknown time".to_owned());
                write!(f, "from {} to {} ({time_zone}): {reason}", told(from), told(to))
            }
        }
    }
}

impl FreezeWindow {
    /// When the window that `now` lies in ends; `None` where `now` lies outside of it.
    #[must_use]
    pub fn frozen_until(&self, now: Timestamp) -> Option<Timestamp> {
        let ends_after = |(from, to): (Timestamp, Timestamp)| (from <= now && now < to).then_some(to);
        match self.span {
            FreezeSpan::Once { from, to } => self.instants(from, to).and_then(ends_after),
            FreezeSpan::Weekly { from, to } => {
                let today = now.to_zoned_datetime(self.time_zone.clone()).date();
                // A week back, because a window may last that long, and a day on, because of a gap at midnight.
                let days = (-8..=1).filter_map(|days: i64| today.checked_add(days.days()).ok());
                let begins = days.filter(|date| date.weekday() == from.day).map(|date| date.to_datetime(from.time));
                let windows = begins.filter_map(|begin| self.instants(begin, next(begin, to)?));
                windows.filter_map(ends_after).max()
            }
        }
    }

    /// An instant as people in the window's zone read it.
    #[must_use]
    pub fn local(&self, at: Timestamp) -> String {
        let zone = self.time_zone.iana_name().unwrap_or_default();
        format!("{} ({zone})", at.to_zoned_datetime(self.time_zone.clone()).strftime("%a %Y-%m-%d %H:%M %:z"))
    }

    fn instants(&self, from: DateTime, to: DateTime) -> Option<(Timestamp, Timestamp)> {
        let from = self.time_zone.to_ambiguous_timestamp(from).earlier().ok()?;
        let to = self.time_zone.to_ambiguous_timestamp(to).later().ok()?;
        Some((from, to))
    }
}

/// The first time of the week `to` behind `from`.
fn next(from: DateTime, to: WeekTime) -> Option<DateTime> {
    let days = i64::from(from.date().weekday().until(to.day));
    let end = from.date().checked_add(days.days()).ok()?.to_datetime(to.time);
    if end > from { Some(end) } else { end.checked_add(SignedDuration::from_hours(7 * 24)).ok() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn window(fields: Value) -> FreezeWindow {
        serde_json::from_value(fields).unwrap()
    }

    fn once(from: &str, to: &str, zone: &str) -> FreezeWindow {
        window(json!({"from": from, "to": to, "time_zone": zone, "reason": "year end"}))
    }

    fn weekly(from: &str, to: &str, zone: &str) -> FreezeWindow {
        window(json!({"weekly": {"from": from, "to": to}, "time_zone": zone, "reason": "weekend"}))
    }

    /// Whether it is frozen from `begins` up to a second before `ends`.
    #[track_caller]
    fn assert_edges(window: &FreezeWindow, begins: &str, ends: &str) {
        let (begins, ends): (Timestamp, Timestamp) = (begins.parse().unwrap(), ends.parse().unwrap());
        let second = SignedDuration::from_secs(1);
        assert_eq!(window.frozen_until(begins - second), None, "one second before it begins");
        assert_eq!(window.frozen_until(begins), Some(ends), "when it begins");
        assert_eq!(window.frozen_until(ends - second), Some(ends), "one second before it ends");
        assert_eq!(window.frozen_until(ends), None, "when it ends");
    }

    #[test]
    fn a_window_lasts_from_local_time_to_local_time() {
        let winter = once("2026-12-18T18:00", "2027-01-04T08:00", "Europe/London");
        assert_edges(&winter, "2026-12-18T18:00:00Z", "2027-01-04T08:00:00Z");
        let summer = once("2026-06-18T18:00", "2026-06-19T08:00", "Europe/London");
        assert_edges(&summer, "2026-06-18T17:00:00Z", "2026-06-19T07:00:00Z");
        let sydney = once("2026-12-18T18:00", "2027-01-04T08:00", "Australia/Sydney");
        assert_edges(&sydney, "2026-12-18T07:00:00Z", "2027-01-03T21:00:00Z");
    }

    #[test]
    fn a_window_over_a_change_of_the_clocks_is_an_hour_longer_or_shorter() {
        // London goes back to winter time on 2026-10-25 and forward to summer time on 2026-03-29.
        let weekend = weekly("fri 16:00", "mon 07:00", "Europe/London");
        assert_edges(&weekend, "2026-10-23T15:00:00Z", "2026-10-26T07:00:00Z");
        assert_edges(&weekend, "2026-03-27T16:00:00Z", "2026-03-30T06:00:00Z");
    }

    #[test]
    fn a_time_that_the_clock_shows_twice_begins_at_the_first_and_ends_at_the_second() {
        // 01:30 is at 00:30Z and at 01:30Z.
        let begins = once("2026-10-25T01:30", "2026-10-25T06:00", "Europe/London");
        assert_edges(&begins, "2026-10-25T00:30:00Z", "2026-10-25T06:00:00Z");
        let ends = once("2026-10-24T22:00", "2026-10-25T01:30", "Europe/London");
        assert_edges(&ends, "2026-10-24T21:00:00Z", "2026-10-25T01:30:00Z");
        let ends = weekly("sat 22:00", "sun 01:30", "Europe/London");
        assert_edges(&ends, "2026-10-24T21:00:00Z", "2026-10-25T01:30:00Z");
    }

    #[test]
    fn a_time_that_the_clock_leaves_out_begins_before_the_gap_and_ends_behind_it() {
        // At 01:00Z the clock goes from 01:00 to 02:00: there is no 01:30.
        let begins = once("2026-03-29T01:30", "2026-03-29T06:00", "Europe/London");
        assert_edges(&begins, "2026-03-29T00:30:00Z", "2026-03-29T05:00:00Z");
        let ends = once("2026-03-28T22:00", "2026-03-29T01:30", "Europe/London");
        assert_edges(&ends, "2026-03-28T22:00:00Z", "2026-03-29T01:30:00Z");
        // In Beirut the gap is at midnight, so the window begins on the day before.
        let begins = weekly("sun 00:30", "sun 06:00", "Asia/Beirut");
        assert_edges(&begins, "2026-03-28T21:30:00Z", "2026-03-29T03:00:00Z");
    }

    #[test]
    fn weekly_windows_go_round_the_week() {
        // 2026-05-01 is a Friday.
        assert_edges(&weekly("fri 16:00", "fri 18:00", "UTC"), "2026-05-01T16:00:00Z", "2026-05-01T18:00:00Z");
        assert_edges(&weekly("sun 23:00", "mon 01:00", "UTC"), "2026-05-03T23:00:00Z", "2026-05-04T01:00:00Z");
        assert_edges(&weekly("fri 18:00", "fri 16:00", "UTC"), "2026-05-01T18:00:00Z", "2026-05-08T16:00:00Z");
    }

    #[test]
    fn a_window_reads_back_as_it_was_written() {
        for fields in [
            json!({"from": "2026-12-18T18:00", "to": "2027-01-04T08:00", "time_zone": "Europe/London", "reason": "x"}),
            json!({"weekly": {"from": "fri 16:00", "to": "mon 07:00"}, "time_zone": "Asia/Kolkata", "reason": "x"}),
        ] {
            assert_eq!(serde_json::to_value(window(fields.clone())).unwrap(), fields);
        }
    }

    #[test]
    fn local_times_name_their_zone() {
        let window = once("2026-12-18T18:00", "2027-01-04T08:00", "Australia/Sydney");
        let until = window.frozen_until("2026-12-31T23:00:00Z".parse().unwrap()).unwrap();
        insta::assert_snapshot!(window.local(until), @"Mon 2027-01-04 08:00 +11:00 (Australia/Sydney)");
    }

    #[test]
    fn what_is_not_a_window_is_refused_by_name() {
        let refuse = |fields: Value| serde_json::from_value::<FreezeWindow>(fields).unwrap_err().to_string();
        let span = |from: &str, to: &str, zone: &str| {
            refuse(json!({"from": from, "to": to, "time_zone": zone, "reason": "x"}))
        };
        let week = |from: &str, to: &str| {
            refuse(json!({"weekly": {"from": from, "to": to}, "time_zone": "UTC", "reason": "x"}))
        };
        let (from, to) = ("2026-12-18T18:00", "2027-01-04T08:00");
        let refusals = [
            span(from, to, "Europe/Londn"),
            span(from, to, "europe/london"),
            span("2026-12-18", to, "UTC"),
            span("2026-12-18T18:00Z", to, "UTC"),
            span("2026-12-18T24:00", to, "UTC"),
            span("2026-02-30T18:00", to, "UTC"),
            span(to, from, "UTC"),
            week("friday 16:00", "mon 07:00"),
            week("fri 16", "mon 07:00"),
            week("fri 16:00", "fri 16:00"),
            refuse(json!({"from": from, "time_zone": "UTC", "reason": "x"})),
            refuse(json!({"from": from, "to": to, "time_zone": "UTC", "reason": " "})),
            refuse(json!({"from": from, "to": to, "time_zone": "UTC"})),
            refuse(json!({"from": from, "to": to, "time_zone": "UTC", "reason": "x", "days": 2})),
        ];
        insta::assert_snapshot!(refusals.join("\n"));
    }
}
