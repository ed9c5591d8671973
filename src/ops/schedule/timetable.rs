//! When something is due: a cron pattern in a time zone.
//!
//! Five fields (minute, hour, day of month, month, day of week), searched on the wall clock of the zone. When clocks go
//! forward, a fixed time inside the gap is due right after it; when they go back, a fixed time that happens twice is due
//! the first time only, and something every few minutes goes on through both hours.

use std::cmp::Ordering;

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::time::{CivilDate, CivilDateTime, CivilTime, CronDateTime, Resolution, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Zoned};

use crate::core::Timestamp;
use crate::core::message::schedule as say;

/// The fields of a pattern and what they may say.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day of month", "1-31"),
    ("month", "1-12"),
    ("day of week", "0-7 or SUN-SAT"),
];

/// When something is due.
#[derive(Debug, Clone)]
pub struct Timetable {
    cron: Cron,
    zone: TimeZone,
}

impl Timetable {
    /// Reads the pattern.
    ///
    /// # Errors
    /// What is wrong with it, for the person who wrote it.
    pub fn cron(pattern: &str, zone: TimeZone) -> Result<Self, String> {
        if pattern.split_whitespace().count() != 5 && !pattern.trim_start().starts_with('@') {
            return Err(say::not_five_fields(pattern.split_whitespace().count()));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(pattern).map_err(|error| {
            let fields: Vec<&str> = pattern.split_whitespace().collect();
            // The library does not say which field: it is the one that can't be read among stars.
            let wrong = FIELDS.iter().enumerate().find_map(|(at, (name, range))| {
                let field = fields.get(at).filter(|_| fields.len() == FIELDS.len())?;
                let alone: Vec<&str> = (0..FIELDS.len()).map(|other| if other == at { *field } else { "*" }).collect();
                parser.parse(&alone.join(" ")).is_err().then(|| say::bad_field(name, field, range))
            });
            wrong.unwrap_or_else(|| say::bad_cron(&error.to_string()))
        })?;
        let table = Self { cron, zone };
        // Any moment does: what is due on no day of the next years is due never.
        match table.next(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(table),
            None => Err(say::never_due()),
        }
    }

    /// Finds the time zone.
    ///
    /// # Errors
    /// That there is none of this name.
    pub fn zone(name: &str) -> Result<TimeZone, String> {
        TimeZone::get(name).map_err(|_| say::no_zone(name))
    }

    /// As it is remembered: the pattern and the zone's name.
    #[must_use]
    pub fn text(pattern: &str, zone: &str) -> String {
        format!("{pattern} {zone}")
    }

    /// Reads what [`Timetable::text`] wrote; none where this machine does not know the zone.
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        let (pattern, zone) = text.rsplit_once(' ')?;
        Self::cron(pattern, Self::zone(zone).ok()?).ok()
    }

    /// The first moment after this one at which it is due.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let second = Timestamp::from_second(after.as_second()).ok()?;
        let from = Local(second.to_zoned(self.zone.clone()));
        self.cron.find_next_occurrence(&from, false).ok().map(|found| found.0.timestamp()).filter(|next| *next > after)
    }

    /// Whether this very moment is one at which it is due.
    #[must_use]
    pub fn has(&self, at: Timestamp) -> bool {
        // Searched from before: in an hour that comes twice, what came first decides.
        let Ok(before) = at.checked_sub(SignedDuration::from_hours(3)) else { return false };
        let ticks = std::iter::successors(self.next(before), |tick| self.next(*tick));
        ticks.take_while(|tick| *tick <= at).any(|tick| tick == at)
    }

    /// A moment as the zone's clocks show it: `2026-03-29 03:00 +02:00`.
    #[must_use]
    pub fn shown(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M %:z").to_string()
    }
}

/// A moment in a zone, as the search wants it.
#[derive(Debug, Clone)]
struct Local(Zoned);

impl CronDateTime for Local {
    fn to_civil(&self) -> CivilDateTime {
        let at = self.0.datetime();
        let of = |part: i8| u32::from(part.unsigned_abs());
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(i32::from(at.year()), of(at.month()), of(at.day())),
            CivilTime::from_parts_unchecked(of(at.hour()), of(at.minute()), of(at.second())),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(u32::from(self.0.weekday().to_sunday_zero_offset().unsigned_abs()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let part = |number: u32| i8::try_from(number).map_err(|_| CronError::InvalidTime);
        let year = i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?;
        let (month, day) = (part(civil.month())?, part(civil.day())?);
        let (hour, minute, second) = (part(civil.hour())?, part(civil.minute())?, part(civil.second())?);
        let wall = jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0);
        let wall = wall.map_err(|_| CronError::InvalidDate)?;
        let found = self.0.time_zone().to_ambiguous_zoned(wall);
        let one = |zoned: Result<Zoned, jiff::Error>| zoned.map(Self).map_err(|_| CronError::InvalidTime);
        Ok(match found.offset() {
            AmbiguousOffset::Unambiguous { .. } => Resolution::Single(one(found.compatible())?),
            AmbiguousOffset::Fold { .. } => Resolution::Ambiguous(one(found.clone().earlier())?, one(found.later())?),
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next moments after one, as the zone's clocks show them.
    fn next(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let table = Timetable::cron(cron, Timetable::zone(zone).unwrap()).unwrap();
        let mut at: Timestamp = after.parse().unwrap();
        let mut found = Vec::new();
        for _ in 0..count {
            at = table.next(at).unwrap();
            found.push(table.shown(at));
        }
        found
    }

    #[test]
    fn a_fixed_time_in_the_hour_that_is_left_out_is_due_right_after_it() {
        let berlin = next("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 4);
        let wanted = [
            "2026-03-28 02:30 +01:00",
            "2026-03-29 03:00 +02:00",
            "2026-03-30 02:30 +02:00",
            "2026-03-31 02:30 +02:00",
        ];
        assert_eq!(berlin, wanted);
        let new_york = next("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2);
        assert_eq!(new_york, ["2026-03-08 03:00 -04:00", "2026-03-09 02:30 -04:00"]);
    }

    #[test]
    fn a_fixed_time_in_the_hour_that_comes_twice_is_due_once() {
        let berlin = next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 3);
        assert_eq!(berlin, ["2026-10-25 02:30 +02:00", "2026-10-26 02:30 +01:00", "2026-10-27 02:30 +01:00"]);
        let new_york = next("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2);
        assert_eq!(new_york, ["2026-11-01 01:30 -04:00", "2026-11-02 01:30 -05:00"]);
    }

    #[test]
    fn a_moment_is_one_of_its_own_only_where_the_search_comes_by_it() {
        let table = |cron: &str| Timetable::of_text(&Timetable::text(cron, "Europe/Berlin")).unwrap();
        let (first, second) = ("2026-10-25T00:30:00Z".parse().unwrap(), "2026-10-25T01:30:00Z".parse().unwrap());
        assert!(table("30 2 * * *").has(first) && !table("30 2 * * *").has(second), "a fixed time is due once");
        assert!(table("*/30 * * * *").has(first) && table("*/30 * * * *").has(second));
        let (gap, odd) = ("2026-03-29T01:00:00Z".parse().unwrap(), "2026-03-29T01:00:01Z".parse().unwrap());
        assert!(table("30 2 * * *").has(gap) && !table("30 2 * * *").has(odd));
        assert!(Timetable::of_text("30 2 * * * Europe/Berlim").is_none());
    }

    #[test]
    fn something_every_half_hour_goes_on_through_both_changes() {
        let forward = next("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:29:00Z", 4);
        assert_eq!(
            forward,
            [
                "2026-03-29 01:30 +01:00",
                "2026-03-29 03:00 +02:00",
                "2026-03-29 03:30 +02:00",
                "2026-03-29 04:00 +02:00"
            ]
        );
        let back = next("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:59:00Z", 6);
        assert_eq!(
            back,
            [
                "2026-10-25 02:00 +02:00",
                "2026-10-25 02:30 +02:00",
                "2026-10-25 02:00 +01:00",
                "2026-10-25 02:30 +01:00",
                "2026-10-25 03:00 +01:00",
                "2026-10-25 03:30 +01:00"
            ]
        );
    }

    #[test]
    fn a_mistake_in_a_pattern_or_a_zone_is_said() {
        let wrong = |cron: &str| Timetable::cron(cron, TimeZone::UTC).unwrap_err();
        assert!(wrong("0 30 2 * * *").contains("6 fields"), "{}", wrong("0 30 2 * * *"));
        assert_eq!(wrong("30 25 * * *"), "has the hour `25`; write 0-23, a list, a range or a step");
        let day = wrong("*/5 * * * mondayish");
        assert_eq!(day, "has the day of week `mondayish`; write 0-7 or SUN-SAT, a list, a range or a step");
        assert!(wrong("0 0 30 2 *").contains("never"), "{}", wrong("0 0 30 2 *"));
        assert!(Timetable::zone("Europe/Berlim").unwrap_err().contains("Europe/Berlim"));
        assert!(Timetable::cron("@daily", TimeZone::UTC).is_ok());
    }
}
