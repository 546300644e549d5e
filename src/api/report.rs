//! The report: which time it is about, and the page.

use super::job::required;
use crate::catalog::report::{Range, collect};
use crate::error;
use crate::pg::text::Text;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use walwarden_core::{Error, Result as CoreResult, report as page};

/// What ended from then on and before then, as an HTML page.
#[pg_extern(sql = false)]
pub fn report(
    from: Option<TimestampWithTimeZone>,
    to: Option<TimestampWithTimeZone>,
) -> Result<Text, ErrorReport> {
    let draw = || Ok(Text(page::render(&collect(&range(from, to)?)?)));
    draw().map_err(error::report)
}

fn range(from: Option<TimestampWithTimeZone>, to: Option<TimestampWithTimeZone>) -> CoreResult<Range> {
    let hint = "Give two times, the earlier one first, or none for the last 30 days.";
    let moment = |name: &str, value: Option<TimestampWithTimeZone>| {
        let value = required(name, value).map_err(|error| error.hint(hint))?;
        if value.is_infinity() || value.is_neg_infinity() {
            return Err(Error::invalid(format!("{name} must not be infinite")).hint(hint));
        }
        Ok(i64::from(value))
    };
    let (from, to) = (moment("from", from)?, moment("to", to)?);
    Range::new(from, to).map_err(|error| error.hint(hint))
}
