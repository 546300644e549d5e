//! What the session contributes to COPY's text: its settings, its time zone, the labels of enums, PostgreSQL's own floats.

use super::{raw, server};
use pgrx::pg_sys;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::CStr;
use std::os::raw::{c_char, c_int, c_long};
use walwarden_core::copy_text::{Server, UtcOffsets, Validity};

/// Settings that decide how values are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// `DateStyle` begins with ISO.
    pub iso_dates: bool,
    /// `IntervalStyle` is postgres.
    pub postgres_intervals: bool,
    /// `extra_float_digits` asks for the shortest exact form.
    pub shortest_floats: bool,
    /// `bytea_output` is hex.
    pub hex_bytea: bool,
    /// Nothing is converted on its way to the client.
    pub same_encoding: bool,
}

impl Settings {
    /// Those of now.
    pub(super) fn now() -> Self {
        // SAFETY: reads globals of this process.
        unsafe {
            Self {
                iso_dates: pg_sys::DateStyle == pg_sys::USE_ISO_DATES as c_int,
                postgres_intervals: pg_sys::IntervalStyle == pg_sys::INTSTYLE_POSTGRES as c_int,
                shortest_floats: pg_sys::extra_float_digits > 0,
                hex_bytea: server::setting(c"bytea_output").as_deref() == Some("hex"),
                same_encoding: pg_sys::pg_get_client_encoding() == pg_sys::GetDatabaseEncoding(),
            }
        }
    }
}

/// The server behind this session, and what it said before.
#[derive(Debug, Default)]
pub(super) struct Session {
    offsets: UtcOffsets,
    labels: HashMap<u32, Vec<u8>>,
}

impl Session {
    /// An enum's labels may be renamed while a backup runs; COPY looks at each anew.
    pub(super) fn forget_labels(&mut self) {
        self.labels.clear();
    }
}

impl Server for Session {
    fn float4(&mut self, value: f32, text: &mut Vec<u8>) {
        let mut digits = [0; raw::FLOAT_SHORTEST_DECIMAL_LEN];
        // SAFETY: the array is as long as the function's contract wants (common/shortest_dec.h).
        let length =
            unsafe { raw::float_to_shortest_decimal_bufn(value, digits.as_mut_ptr().cast::<c_char>()) };
        text.extend_from_slice(digits.get(..length as usize).unwrap_or_default());
    }

    fn float8(&mut self, value: f64, text: &mut Vec<u8>) {
        let mut digits = [0; raw::DOUBLE_SHORTEST_DECIMAL_LEN];
        // SAFETY: as for float4.
        let length =
            unsafe { raw::double_to_shortest_decimal_bufn(value, digits.as_mut_ptr().cast::<c_char>()) };
        text.extend_from_slice(digits.get(..length as usize).unwrap_or_default());
    }

    fn label(&mut self, value: u32) -> Option<&[u8]> {
        Some(match self.labels.entry(value) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                // SAFETY: a value that is none is raised, as COPY raises it; the text is copied out of the row's memory.
                let label = unsafe {
                    CStr::from_ptr(pg_sys::OidOutputFunctionCall(
                        pg_sys::Oid::from(pg_sys::F_ENUM_OUT),
                        pg_sys::Datum::from(value),
                    ))
                };
                new.insert(label.to_bytes().to_vec())
            }
        })
    }

    fn utc_offset(&mut self, time: i64) -> Option<i32> {
        self.offsets.at(time, ask_offset)
    }
}

/// What holds from a time on, as pg_localtime would find it (localtime.c).
fn ask_offset(time: i64) -> Option<Validity> {
    let (offset, boundary) = boundary_after(time)?;
    let until = match boundary {
        Some(boundary) => boundary,
        // No boundary at this second and the next: none ever. At a single second only the table of known ones ends, and
        // a rule goes on from there.
        None => match boundary_after(time.checked_add(1)?)? {
            (next, None) if next == offset => i64::MAX,
            _ => time + 1,
        },
    };
    Some(Validity { offset, until })
}

/// The offset at a time, and when it may change next.
fn boundary_after(time: i64) -> Option<(i32, Option<i64>)> {
    let (mut before, mut after): (c_long, c_long) = (0, 0);
    let (mut before_is_dst, mut after_is_dst): (c_int, c_int) = (0, 0);
    let mut boundary: pg_sys::pg_time_t = 0;
    // SAFETY: all pointers are to live variables; the session always has a time zone.
    let outcome = unsafe {
        pg_sys::pg_next_dst_boundary(
            &raw const time,
            &raw mut before,
            &raw mut before_is_dst,
            &raw mut boundary,
            &raw mut after,
            &raw mut after_is_dst,
            pg_sys::session_timezone,
        )
    };
    let offset = i32::try_from(before).ok()?;
    match outcome {
        0 => Some((offset, None)),
        1 if boundary > time => Some((offset, Some(boundary))),
        _ => None,
    }
}
