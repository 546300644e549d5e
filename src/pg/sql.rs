//! SQL by SPI with text in and text out: parameters are cast in the statement, results come by the types' own
//! output functions. Safe in every database encoding, and small.

use super::caught::caught;
use super::{statement, text};
use chrono::{DateTime, Utc};
use pgrx::pg_sys;
use std::ffi::{CStr, CString};
use walwarden_core::{Error, Result};

/// As many rows as there are, for SPI.
const ALL: std::os::raw::c_long = 0;

/// One row; NULL is None.
#[derive(Debug, Clone, Default)]
pub struct Row(Vec<Option<String>>);

impl Row {
    /// The column at `index`, which may be NULL.
    pub fn get(&self, index: usize) -> Option<&str> {
        self.0.get(index).and_then(Option::as_deref)
    }

    /// The column at `index`; NULL is an internal error.
    pub fn text(&self, index: usize) -> Result<String> {
        self.get(index)
            .map(str::to_owned)
            .ok_or_else(|| Error::internal(format!("column {} of a query is unexpectedly null", index + 1)))
    }

    /// The column at `index` parsed.
    pub fn parse<T: std::str::FromStr>(&self, index: usize) -> Result<T> {
        let text = self.text(index)?;
        text.parse()
            .map_err(|_| Error::internal(format!("a query gave \"{text}\" where another type was due")))
    }

    /// The column at `index` parsed, or None for NULL.
    pub fn parse_nullable<T: std::str::FromStr>(&self, index: usize) -> Result<Option<T>> {
        if self.get(index).is_none() { Ok(None) } else { self.parse(index).map(Some) }
    }

    /// A column that holds microseconds since the Unix epoch.
    pub fn time(&self, index: usize) -> Result<DateTime<Utc>> {
        self.time_nullable(index)?
            .ok_or_else(|| Error::internal(format!("column {} of a query is unexpectedly null", index + 1)))
    }

    /// The same, or None for NULL.
    pub fn time_nullable(&self, index: usize) -> Result<Option<DateTime<Utc>>> {
        let time = |micros| {
            DateTime::from_timestamp_micros(micros)
                .ok_or_else(|| Error::internal("a query gave a time that is out of range"))
        };
        self.parse_nullable(index)?.map(time).transpose()
    }

    /// A boolean column.
    pub fn flag(&self, index: usize) -> Result<bool> {
        Ok(self.text(index)? == "t")
    }
}

/// Run one statement; `$1`... are `parameters` as text, to be cast in the statement.
///
/// Must run inside a transaction. PostgreSQL's own errors are raised, not returned: in a session they go to the user
/// with their SQLSTATE, and in a worker `transaction` turns them into values.
pub fn query(statement: &str, parameters: &[Option<&str>]) -> Result<Vec<Row>> {
    execute(statement, parameters).map(|(rows, _)| rows)
}

/// `query` that changes nothing and sees the tables as the statement does that called us, so that several of them agree.
pub fn query_as_caller(statement: &str, parameters: &[Option<&str>]) -> Result<Vec<Row>> {
    execute_up_to(statement, parameters, ALL, true).map(|(rows, _)| rows)
}

/// `query` for the first row, if any.
pub fn query_one(statement: &str, parameters: &[Option<&str>]) -> Result<Option<Row>> {
    Ok(query(statement, parameters)?.into_iter().next())
}

/// `query` for its effect: the number of rows that the statement touched.
pub fn run(statement: &str, parameters: &[Option<&str>]) -> Result<u64> {
    execute(statement, parameters).map(|(_, touched)| touched)
}

/// That a text is one SELECT, as far as its grammar goes.
///
/// # Errors
/// `InvalidInput`, with what PostgreSQL says of it.
pub fn require_one_query(query: &str) -> Result<()> {
    let text = text::to_server(query);
    let is_one = caught(|| {
        let list = statement::parse(&text);
        // SAFETY: the nodes are live.
        let is_query =
            |raw: *mut pg_sys::RawStmt| unsafe { (*(*raw).stmt).type_ == pg_sys::NodeTag::T_SelectStmt };
        Ok(list.len() == 1 && list.get_ptr(0).is_some_and(is_query))
    })
    .map_err(|error| Error::invalid(error.message))?;
    if is_one { Ok(()) } else { Err(Error::invalid("It is not one query.")) }
}

/// The first row of what somebody else wrote; no more of them is read.
pub fn first_row(statement: &str) -> Result<Option<Row>> {
    let (rows, _) = execute_up_to(statement, &[], 1, false)?;
    Ok(rows.into_iter().next())
}

/// The rows it gave, and how many it touched.
fn execute(statement: &str, parameters: &[Option<&str>]) -> Result<(Vec<Row>, u64)> {
    execute_up_to(statement, parameters, ALL, false)
}

/// So many rows, or `ALL`; in the snapshot that there is, or in one of its own.
fn execute_up_to(
    statement: &str,
    parameters: &[Option<&str>],
    most: std::os::raw::c_long,
    in_present_snapshot: bool,
) -> Result<(Vec<Row>, u64)> {
    let statement_c =
        CString::new(statement).map_err(|_| Error::internal("a statement holds a zero byte"))?;
    let values: Vec<Option<CString>> = parameters.iter().map(|p| p.map(text::to_server)).collect();
    let mut types = vec![pg_sys::TEXTOID; values.len()];
    let mut nulls: Vec<std::os::raw::c_char> =
        values.iter().map(|v| if v.is_some() { b' ' } else { b'n' } as std::os::raw::c_char).collect();
    // SAFETY: SPI_connect is matched by SPI_finish on success; on ERROR the transaction's end cleans SPI up. The
    // argument arrays are of equal length and live across the call; datums are text values palloc'd here.
    unsafe {
        if pg_sys::SPI_connect() != pg_sys::SPI_OK_CONNECT as i32 {
            return Err(Error::internal("could not connect to the SPI manager"));
        }
        let mut datums: Vec<pg_sys::Datum> = values
            .iter()
            .map(|value| match value {
                Some(text) => pg_sys::Datum::from(pg_sys::cstring_to_text(text.as_ptr())),
                None => pg_sys::Datum::from(0usize),
            })
            .collect();
        let outcome = pg_sys::SPI_execute_with_args(
            statement_c.as_ptr(),
            values.len() as i32,
            types.as_mut_ptr(),
            datums.as_mut_ptr(),
            nulls.as_mut_ptr(),
            in_present_snapshot,
            most,
        );
        if outcome < 0 {
            return Err(Error::internal(format!("SPI refused a statement with code {outcome}")));
        }
        let rows = if pg_sys::SPI_tuptable.is_null() { Vec::new() } else { fetch_rows(pg_sys::SPI_tuptable) };
        let touched = pg_sys::SPI_processed;
        pg_sys::SPI_finish();
        Ok((rows, touched))
    }
}

/// Copy the rows out of SPI's memory.
///
/// # Safety
/// `table` must be the live result of the last SPI statement.
unsafe fn fetch_rows(table: *mut pg_sys::SPITupleTable) -> Vec<Row> {
    // SAFETY: the caller passes a live table; vals holds numvals tuples of tupdesc, and SPI_getvalue gives a
    // palloc'd string or null, in SPI's memory, copied at once.
    unsafe {
        let descriptor = (*table).tupdesc;
        let columns = (*descriptor).natts;
        let tuples = std::slice::from_raw_parts((*table).vals, (*table).numvals as usize);
        tuples
            .iter()
            .map(|tuple| {
                Row((1..=columns)
                    .map(|column| {
                        let value = pg_sys::SPI_getvalue(*tuple, descriptor, column);
                        (!value.is_null()).then(|| text::from_server(CStr::from_ptr(value).to_bytes()))
                    })
                    .collect())
            })
            .collect()
    }
}
