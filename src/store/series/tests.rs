//! Series as their users see them.

use std::time::Duration;

use super::*;
use crate::core::clock::{Clock as _, ManualClock};

fn start() -> Timestamp {
    Timestamp::from_second(1_700_000_040).unwrap()
}

fn open(folder: &Path, options: &Options, clock: &ManualClock) -> Arc<Series> {
    Series::open(folder, options.clone(), Arc::new(clock.clone())).unwrap()
}

fn cpu(instance: &str) -> SeriesKey {
    SeriesKey::new("cpu_usage", [("instance", instance)])
}

/// A sample every five seconds for some time, values 0, 1, 2 …
fn feed(series: &Series, clock: &ManualClock, seconds: u64) {
    for count in 0..seconds / 5 {
        let sample = Sample { key: cpu("a"), at: clock.now(), value: count as f64 };
        assert_eq!(series.append(&[sample]).unwrap().kept, 1);
        clock.advance(Duration::from_secs(5));
    }
}

#[test]
fn what_was_appended_is_selected_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(start());
    let series = open(folder.path(), &Options::default(), &clock);
    feed(&series, &clock, 1800);
    let other = Sample { key: SeriesKey::new("load", []), at: clock.now(), value: 3.0 };
    series.append(&[other]).unwrap();
    let look = |series: &Series| {
        let recent = series.select(&[Matcher::name("cpu_usage")], clock.now() - Duration::from_secs(60), clock.now());
        let whole = series.select(&[Matcher::label("instance", "a")], start(), clock.now()).unwrap();
        assert_eq!(whole[0].1.len(), 360);
        assert!(whole[0].1.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(recent.unwrap()[0].1.len(), 12);
        assert_eq!(series.names(), ["cpu_usage", "load"]);
    };
    look(&series);
    drop(series);
    let series = open(folder.path(), &Options::default(), &clock);
    look(&series);
    clock.advance(Duration::from_secs(60));
    feed(&series, &clock, 60);
    assert_eq!(series.select(&[Matcher::name("cpu_usage")], start(), clock.now()).unwrap()[0].1.len(), 372);
}

#[test]
fn steps_fold_samples_into_mean_least_greatest_and_last() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(start());
    let series = open(folder.path(), &Options::default(), &clock);
    feed(&series, &clock, 120);
    let range = (start(), clock.now());
    let by = |fold| -> Vec<f64> {
        let found = series.select_steps(&[Matcher::name("cpu_usage")], range, Duration::from_secs(60), fold).unwrap();
        found[0].1.iter().map(|(_, value)| *value).collect()
    };
    assert_eq!(by(Fold::Mean), [5.5, 17.5]);
    assert_eq!(by(Fold::Least), [0.0, 12.0]);
    assert_eq!(by(Fold::Greatest), [11.0, 23.0]);
    assert_eq!(by(Fold::Last), [11.0, 23.0]);
    assert_eq!(by(Fold::Count), [12.0, 12.0]);
}

#[test]
fn old_samples_become_minutes_and_old_minutes_go() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(start());
    let options = Options {
        samples_for: Span::from_secs(600),
        minutes_for: Span::from_secs(3600),
        recent_for: Span::from_secs(60),
        ..Options::default()
    };
    let series = open(folder.path(), &options, &clock);
    feed(&series, &clock, 3000);
    let points = series.select(&[Matcher::name("cpu_usage")], start(), clock.now()).unwrap().remove(0).1;
    // 3000 s are 50 minutes; about the last ten are samples, the rest means of twelve.
    assert!((150..260).contains(&points.len()), "{}", points.len());
    assert!((points[0].1 - 5.5).abs() < 1e-9);
    assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
    drop(series);
    let series = open(folder.path(), &options, &clock);
    let again = series.select(&[Matcher::name("cpu_usage")], start(), clock.now()).unwrap().remove(0).1;
    // One more file of samples may have expired meanwhile; the minutes stand for it without a gap.
    assert_eq!((again[0], again.last()), (points[0], points.last()));
    assert!(again.windows(2).all(|pair| pair[1].0.duration_since(pair[0].0).as_secs() <= 60));
    clock.advance(Duration::from_secs(7200));
    let late = Sample { key: SeriesKey::new("load", []), at: clock.now(), value: 1.0 };
    series.append(&[late]).unwrap();
    assert!(series.select(&[Matcher::name("cpu_usage")], start(), clock.now()).unwrap().is_empty());
    assert_eq!(series.names(), ["load"]);
}

#[test]
fn a_minute_that_was_running_at_a_crash_is_rolled_up_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(start());
    let options = Options { samples_for: Span::from_secs(120), recent_for: Span::from_secs(30), ..Options::default() };
    let series = open(folder.path(), &options, &clock);
    feed(&series, &clock, 90);
    std::mem::forget(series);
    let series = open(folder.path(), &options, &clock);
    feed(&series, &clock, 30);
    clock.advance(Duration::from_secs(600));
    series.append(&[Sample { key: SeriesKey::new("load", []), at: clock.now(), value: 1.0 }]).unwrap();
    let range = (start(), clock.now());
    let minutes =
        series.select_steps(&[Matcher::name("cpu_usage")], range, Duration::from_secs(60), Fold::Count).unwrap();
    assert_eq!(minutes[0].1.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [12.0, 12.0]);
}

#[test]
fn a_torn_tail_is_cut_and_the_rest_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(start());
    let series = open(folder.path(), &Options::default(), &clock);
    feed(&series, &clock, 300);
    drop(series);
    let newest = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().contains("samples-"))
        .max()
        .unwrap();
    let bytes = std::fs::read(&newest).unwrap();
    for cut in 1..40 {
        std::fs::write(&newest, &bytes[..bytes.len() - cut]).unwrap();
        let series = open(folder.path(), &Options::default(), &clock);
        let points = series.select(&[Matcher::name("cpu_usage")], start(), clock.now()).unwrap().remove(0).1;
        assert_eq!(points.len(), if cut <= 29 { 59 } else { 58 }, "{cut} bytes cut off");
    }
    // A last frame that was allotted but not filled.
    let mut torn = bytes.clone();
    let end = torn.len();
    torn[end - 4..].fill(0xff);
    std::fs::write(&newest, &torn).unwrap();
    let series = open(folder.path(), &Options::default(), &clock);
    assert_eq!(series.select(&[Matcher::name("cpu_usage")], start(), clock.now()).unwrap()[0].1.len(), 59);
    feed(&series, &clock, 10);
    assert_eq!(series.select(&[Matcher::name("cpu_usage")], start(), clock.now()).unwrap()[0].1.len(), 61);
}

#[test]
fn series_bytes_and_points_are_bounded_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(start());
    let options = Options { max_series: 10, max_points: 50, max_bytes: 300_000, ..Options::default() };
    let series = open(folder.path(), &options, &clock);
    let sample = |n: usize, at| Sample { key: cpu(&n.to_string()), at, value: 1.0 };
    let samples: Vec<_> = (0..12).map(|n| sample(n, clock.now())).collect();
    assert_eq!(series.append(&samples).unwrap(), Appended { kept: 10, too_many: 2, ..Appended::default() });
    let again = series.append(&samples).unwrap();
    assert_eq!((again.out_of_order, again.too_many), (10, 2));
    let nan = Sample { value: f64::NAN, ..sample(1, clock.now()) };
    assert_eq!(series.append(&[nan]).unwrap().not_finite, 1);
    let ahead = sample(1, clock.now() + Duration::from_secs(3600));
    assert_eq!(series.append(&[ahead]).unwrap().out_of_order, 1);
    for _ in 0..4000 {
        clock.advance(Duration::from_secs(1));
        series.append(&(0..10).map(|n| sample(n, clock.now())).collect::<Vec<_>>()).unwrap();
    }
    assert!(series.bytes() <= 300_000 + 70_000, "{}", series.bytes());
    assert!(matches!(series.select(&[], start(), clock.now()), Err(Error::TooMany(50))));
}
