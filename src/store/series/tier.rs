//! One tier's files: a new one every so often or so many bytes, the oldest dropped whole.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::{self, Frame, Frames, files};
use super::{Error, Rollup, SeriesKey};

/// The files of one tier, oldest first.
#[derive(Debug)]
pub(super) struct Tier {
    folder: PathBuf,
    name: &'static str,
    /// A file covers at most so much time …
    span_ms: i64,
    /// … and about so many bytes.
    max_bytes: u64,
    segments: Vec<Segment>,
    /// The newest file, open for appending, and the ids it defines.
    open: Option<(File, HashSet<u32>)>,
}

/// One file: enough to know whether a query needs it.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    path: PathBuf,
    first_at: i64,
    last_at: i64,
    bytes: u64,
    keys: HashSet<Arc<SeriesKey>>,
}

impl Tier {
    /// Opens the tier's files in a folder; cuts a torn end off.
    pub fn open(folder: &Path, name: &'static str, span_ms: i64, max_bytes: u64) -> Result<Self, Error> {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
            .map_err(|error| files(folder, &error))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
                file.strip_prefix(name).is_some_and(|rest| rest.starts_with('-') && rest.ends_with(".seg"))
            })
            .collect();
        paths.sort();
        let mut segments = Vec::with_capacity(paths.len());
        let mut known: HashSet<Arc<SeriesKey>> = HashSet::new();
        for path in paths {
            match Segment::scan(&path, &mut known).map_err(|error| files(&path, &error))? {
                Some(segment) => segments.push(segment),
                None => std::fs::remove_file(&path).map_err(|error| files(&path, &error))?,
            }
        }
        Ok(Self { folder: folder.to_owned(), name, span_ms: span_ms.max(1), max_bytes, segments, open: None })
    }

    /// Every key that some file has.
    pub fn keys(&self) -> impl Iterator<Item = (Arc<SeriesKey>, i64)> {
        self.segments.iter().flat_map(|segment| segment.keys.iter().map(|key| (key.clone(), segment.last_at)))
    }

    /// The first time of the oldest file.
    pub fn first_at(&self) -> Option<i64> {
        self.segments.first().map(|segment| segment.first_at)
    }

    /// The latest time of all.
    pub fn last_at(&self) -> Option<i64> {
        self.segments.iter().map(|segment| segment.last_at).max()
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Appends the samples of one moment.
    pub fn append_samples(
        &mut self,
        at: i64,
        values: &[(u32, f64)],
        key: impl Fn(u32) -> Option<Arc<SeriesKey>>,
    ) -> Result<(), Error> {
        self.append(at, values.iter().map(|(id, _)| *id), key, |out| frame::samples(out, at, values))
    }

    /// Appends the roll-ups of one minute.
    pub fn append_minutes(
        &mut self,
        at: i64,
        rollups: &[(u32, Rollup)],
        key: impl Fn(u32) -> Option<Arc<SeriesKey>>,
    ) -> Result<(), Error> {
        self.append(at, rollups.iter().map(|(id, _)| *id), key, |out| frame::minute(out, at, rollups))
    }

    fn append(
        &mut self,
        at: i64,
        ids: impl Iterator<Item = u32>,
        key: impl Fn(u32) -> Option<Arc<SeriesKey>>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Error> {
        let fits = self
            .segments
            .last()
            .is_some_and(|newest| at - newest.first_at < self.span_ms && newest.bytes < self.max_bytes);
        if !fits || self.open.is_none() {
            self.start(at, fits)?;
        }
        let (Some((file, defined)), Some(segment)) = (&mut self.open, self.segments.last_mut()) else { return Ok(()) };
        let mut out = Vec::new();
        for id in ids {
            if defined.insert(id)
                && let Some(key) = key(id)
            {
                frame::define(&mut out, id, &key);
                segment.keys.insert(key);
            }
        }
        write(&mut out);
        if let Err(error) = file.write_all(&out) {
            // Half a frame may stand there; opening the file again cuts it off.
            self.open = None;
            return Err(files(&segment.path, &error));
        }
        segment.bytes += out.len() as u64;
        segment.first_at = segment.first_at.min(at);
        segment.last_at = segment.last_at.max(at);
        Ok(())
    }

    /// Opens the newest file again, or a new one.
    fn start(&mut self, at: i64, again: bool) -> Result<(), Error> {
        let path = match self.segments.last() {
            Some(newest) if again => newest.path.clone(),
            _ => self.fresh(at),
        };
        let file = OpenOptions::new().append(true).create(true).open(&path).map_err(|error| files(&path, &error))?;
        if again {
            // What a failed write left behind.
            let whole = self.segments.last().map_or(0, |newest| newest.bytes);
            file.set_len(whole).map_err(|error| files(&path, &error))?;
        } else {
            self.sync()?;
            self.segments.push(Segment { path, first_at: at, last_at: at, bytes: 0, keys: HashSet::new() });
        }
        self.open = Some((file, HashSet::new()));
        Ok(())
    }

    fn fresh(&self, at: i64) -> PathBuf {
        // Names sort by time; a second file of the same moment, or one after the clock went back, sorts after the newest.
        let newest = self
            .segments
            .last()
            .and_then(|newest| newest.path.file_stem()?.to_str()?.rsplit('-').next()?.parse::<i64>().ok());
        let number = newest.map_or(at, |newest| at.max(newest + 1)).max(0);
        self.folder.join(format!("{}-{number:015}.seg", self.name))
    }

    /// Brings the newest file to the disk.
    pub fn sync(&mut self) -> Result<(), Error> {
        match &self.open {
            Some((file, _)) => file.sync_data().map_err(|error| files(&self.folder, &error)),
            None => Ok(()),
        }
    }

    /// Drops files whose last sample is older than `before`.
    pub fn expire(&mut self, before: i64) -> Result<(), Error> {
        while self.segments.first().is_some_and(|oldest| oldest.last_at < before) {
            self.remove_first()?;
        }
        Ok(())
    }

    /// Drops the oldest file, unless it is the one that is written; says whether.
    pub fn drop_oldest(&mut self) -> Result<bool, Error> {
        if self.segments.len() < 2 {
            return Ok(false);
        }
        let oldest = &self.segments[0];
        tracing::info!(file = %oldest.path.display(), freed_bytes = oldest.bytes, "metrics take too much room; oldest dropped");
        self.remove_first()?;
        Ok(true)
    }

    fn remove_first(&mut self) -> Result<(), Error> {
        let oldest = self.segments.remove(0);
        if self.segments.is_empty() {
            self.open = None;
        }
        match std::fs::remove_file(&oldest.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(files(&oldest.path, &error)),
            _ => Ok(()),
        }
    }

    /// The files that may have samples of that time, to be read without the lock.
    pub fn segments_between(&self, from: i64, to: i64) -> Vec<Segment> {
        self.segments.iter().filter(|segment| segment.last_at >= from && segment.first_at <= to).cloned().collect()
    }

    /// Reads these files; see [`read`].
    pub fn read(
        &self,
        segments: Vec<Segment>,
        range: (i64, i64),
        sink: &mut dyn FnMut(&Arc<SeriesKey>, i64, Rollup) -> bool,
    ) -> Result<(), Error> {
        read(&segments, range, sink)
    }
}

/// Gives every roll-up in the range (both ends included) to the sink, file by file; the sink says whether to go on.
pub(super) fn read(
    segments: &[Segment],
    (from, to): (i64, i64),
    sink: &mut dyn FnMut(&Arc<SeriesKey>, i64, Rollup) -> bool,
) -> Result<(), Error> {
    for segment in segments {
        let mut frames = match Frames::open(&segment.path, segment.bytes) {
            Ok(frames) => frames,
            // Expired since the list was made.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(files(&segment.path, &error)),
        };
        let mut keys: HashMap<u32, Arc<SeriesKey>> = HashMap::new();
        while let Some(frame) =
            frames.next(|at| (from..=to).contains(&at)).map_err(|error| files(&segment.path, &error))?
        {
            match frame {
                Frame::Define(id, key) => {
                    keys.insert(id, segment.keys.get(&key).cloned().unwrap_or_else(|| Arc::new(key)));
                }
                Frame::Data(at, rollups) => {
                    for (id, rollup) in rollups {
                        if let Some(key) = keys.get(&id)
                            && !sink(key, at, rollup)
                        {
                            return Ok(());
                        }
                    }
                }
                Frame::Skipped(_) => {}
                Frame::Rotten => metrics::counter!("mayday_store_series_rotten_frames_total").increment(1),
            }
        }
    }
    Ok(())
}

impl Segment {
    /// Looks over a file that an earlier process wrote: which series, from when to when; cuts a torn end. None if empty.
    fn scan(path: &Path, known: &mut HashSet<Arc<SeriesKey>>) -> std::io::Result<Option<Self>> {
        let length = std::fs::metadata(path)?.len();
        let mut frames = Frames::open(path, length)?;
        let mut keys = HashSet::new();
        let (mut first_at, mut last_at) = (i64::MAX, i64::MIN);
        // Where the whole frames end; a last frame with a wrong checksum is torn as well.
        let mut whole = 0;
        while let Some(frame) = frames.next(|_| length - whole < 64 * 1024)? {
            match frame {
                Frame::Define(_, key) => {
                    let key = known.get(&key).cloned().unwrap_or_else(|| Arc::new(key));
                    known.insert(key.clone());
                    keys.insert(key);
                }
                Frame::Data(at, _) | Frame::Skipped(at) => {
                    first_at = first_at.min(at);
                    last_at = last_at.max(at);
                }
                Frame::Rotten if frames.at == length => break,
                Frame::Rotten => metrics::counter!("mayday_store_series_rotten_frames_total").increment(1),
            }
            whole = frames.at;
        }
        if whole < length {
            tracing::warn!(file = %path.display(), cut_bytes = length - whole, "a torn end was cut off");
            let file = OpenOptions::new().write(true).open(path)?;
            file.set_len(whole)?;
            file.sync_data()?;
        }
        let some = first_at <= last_at;
        Ok(some.then(|| Self { path: path.to_owned(), first_at, last_at, bytes: whole, keys }))
    }
}
