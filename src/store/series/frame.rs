//! The form of the files: frames `[length u32][crc32 u32][payload]`, little endian, appended and never changed.
//!
//! A payload starts with its kind: a definition `1, id u32, key as JSON`; samples `2, at i64, (id u32, value f64)…`;
//! a minute `3, at i64, (id u32, count u32, sum, least, greatest, last f64)…`. An id means a key from its definition on,
//! until it is defined anew, within one file. Times are Unix milliseconds.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::{Error, Rollup, SeriesKey};

/// No frame is longer; a longer length is a torn or rotten one.
const MAX_FRAME: usize = 16 * 1024 * 1024;
const DEFINE: u8 = 1;
const SAMPLES: u8 = 2;
const MINUTE: u8 = 3;
/// Length and checksum.
const HEADER: usize = 8;
/// Kind and time (of a definition: kind, id and the first bytes of the key).
const PEEK: usize = 9;

/// Turns an I/O error into one that names the place.
pub(super) fn files(place: &Path, error: &std::io::Error) -> Error {
    Error::Files { place: place.display().to_string(), why: error.to_string() }
}

fn framed(out: &mut Vec<u8>, payload: &[u8]) {
    let mut crc = flate2::Crc::new();
    crc.update(payload);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(payload);
}

/// Appends a definition.
pub(super) fn define(out: &mut Vec<u8>, id: u32, key: &SeriesKey) {
    let mut payload = vec![DEFINE];
    payload.extend_from_slice(&id.to_le_bytes());
    // Strings in a map of strings: JSON can't fail on them.
    payload.extend_from_slice(&serde_json::to_vec(key).unwrap_or_default());
    framed(out, &payload);
}

/// Appends samples of one moment.
pub(super) fn samples(out: &mut Vec<u8>, at: i64, values: &[(u32, f64)]) {
    let mut payload = Vec::with_capacity(PEEK + values.len() * 12);
    payload.push(SAMPLES);
    payload.extend_from_slice(&at.to_le_bytes());
    for (id, value) in values {
        payload.extend_from_slice(&id.to_le_bytes());
        payload.extend_from_slice(&value.to_le_bytes());
    }
    framed(out, &payload);
}

/// Appends the roll-ups of one minute.
pub(super) fn minute(out: &mut Vec<u8>, at: i64, rollups: &[(u32, Rollup)]) {
    let mut payload = Vec::with_capacity(PEEK + rollups.len() * 40);
    payload.push(MINUTE);
    payload.extend_from_slice(&at.to_le_bytes());
    for (id, rollup) in rollups {
        payload.extend_from_slice(&id.to_le_bytes());
        payload.extend_from_slice(&rollup.count.to_le_bytes());
        for number in [rollup.sum, rollup.least, rollup.greatest, rollup.last] {
            payload.extend_from_slice(&number.to_le_bytes());
        }
    }
    framed(out, &payload);
}

/// One frame as read.
pub(super) enum Frame {
    /// An id's key.
    Define(u32, SeriesKey),
    /// Roll-ups (a sample is one of itself) of one moment.
    Data(i64, Vec<(u32, Rollup)>),
    /// Data of a time that was not asked for; its content was not looked at.
    Skipped(i64),
    /// A frame whose checksum is wrong; what follows it may be whole.
    Rotten,
}

/// Reads a file's frames in order, up to a length.
pub(super) struct Frames {
    file: BufReader<File>,
    /// Where the next frame starts.
    pub at: u64,
    end: u64,
}

impl Frames {
    /// The frames of a file within its first `end` bytes.
    pub fn open(path: &Path, end: u64) -> std::io::Result<Self> {
        Ok(Self { file: BufReader::with_capacity(64 * 1024, File::open(path)?), at: 0, end })
    }

    /// The next frame; none at the end, and none where a frame is torn ([`Frames::at`] then says where the whole ones end).
    /// Data whose time `wanted` refuses is skipped unread.
    pub fn next(&mut self, wanted: impl Fn(i64) -> bool) -> std::io::Result<Option<Frame>> {
        if self.at + (HEADER + PEEK) as u64 > self.end {
            return Ok(None);
        }
        let mut start = [0; HEADER + PEEK];
        self.file.read_exact(&mut start)?;
        let length = u32_at(&start, 0) as usize;
        let next = self.at + (HEADER + length) as u64;
        if !(PEEK..=MAX_FRAME).contains(&length) || next > self.end {
            return Ok(None);
        }
        let peek = &start[HEADER..];
        if peek[0] != DEFINE && !wanted(i64_at(peek, 1)) {
            self.file.seek_relative((length - PEEK) as i64)?;
            self.at = next;
            return Ok(Some(Frame::Skipped(i64_at(peek, 1))));
        }
        let mut payload = vec![0; length];
        payload[..PEEK].copy_from_slice(peek);
        self.file.read_exact(&mut payload[PEEK..])?;
        self.at = next;
        let mut crc = flate2::Crc::new();
        crc.update(&payload);
        if crc.sum() != u32_at(&start, 4) {
            return Ok(Some(Frame::Rotten));
        }
        Ok(Some(parse(&payload)))
    }
}

fn parse(payload: &[u8]) -> Frame {
    let data = &payload[PEEK..];
    match payload[0] {
        DEFINE => match serde_json::from_slice(&payload[5..]) {
            Ok(key) => Frame::Define(u32_at(payload, 1), key),
            Err(_) => Frame::Rotten,
        },
        SAMPLES => Frame::Data(
            i64_at(payload, 1),
            data.chunks_exact(12).map(|entry| (u32_at(entry, 0), Rollup::of(f64_at(entry, 4)))).collect(),
        ),
        MINUTE => Frame::Data(
            i64_at(payload, 1),
            data.chunks_exact(40)
                .map(|entry| {
                    let rollup = Rollup {
                        count: u32_at(entry, 4),
                        sum: f64_at(entry, 8),
                        least: f64_at(entry, 16),
                        greatest: f64_at(entry, 24),
                        last: f64_at(entry, 32),
                    };
                    (u32_at(entry, 0), rollup)
                })
                .collect(),
        ),
        _ => Frame::Rotten,
    }
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes_at(bytes, at))
}
fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(bytes_at(bytes, at))
}
fn f64_at(bytes: &[u8], at: usize) -> f64 {
    f64::from_le_bytes(bytes_at(bytes, at))
}
