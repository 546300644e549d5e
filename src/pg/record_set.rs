//! The result of a function that gives a set of rows whose columns its caller names: kept by PostgreSQL until it is read
//! (SFRM_Materialize in src/backend/utils/fmgr/README).

use super::text;
use pgrx::memcxt::PgMemoryContexts;
use pgrx::{PgTupleDesc, pg_sys};
use std::borrow::Cow;
use std::ffi::CStr;
use walwarden_core::{Error, ErrorClass, Result};

/// Where the columns of the rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// The caller lists them: `AS t(a integer, ...)`.
    Listed,
    /// They are those of a row type that the caller gives.
    OfType,
}

/// Rows that a function gives.
pub struct RecordSet {
    store: *mut pg_sys::Tuplestorestate,
    descriptor: pg_sys::TupleDesc,
    /// One for each attribute of the descriptor; None where it was dropped.
    columns: Vec<Option<Input>>,
    row: PgMemoryContexts,
    lists_its_columns: bool,
}

/// How a column's values are read from text.
struct Input {
    name: String,
    function: pg_sys::FmgrInfo,
    parameter: pg_sys::Oid,
    modifier: i32,
}

impl RecordSet {
    /// An empty one, as the call that is running expects it.
    ///
    /// # Errors
    /// `WrongState` where the function was not called in FROM, so that its columns are not known.
    #[allow(
        clippy::not_unsafe_ptr_arg_deref,
        reason = "pgrx gives a function its running call as this pointer"
    )]
    pub fn begin(call: pg_sys::FunctionCallInfo, columns_are: Columns) -> Result<Self> {
        // SAFETY: the call is the one that is running; InitMaterializedSRF checks that there is a result to fill and what it looks like,
        // and keeps it in a context that lives as long as the query.
        unsafe {
            let result = (*call).resultinfo.cast::<pg_sys::ReturnSetInfo>();
            let takes_it = !result.is_null()
                && (*result).type_ == pg_sys::NodeTag::T_ReturnSetInfo
                && (*result).allowedModes & pg_sys::SetFunctionReturnMode::SFRM_Materialize as i32 != 0
                && !(*result).expectedDesc.is_null();
            if !takes_it {
                return Err(Error::new(ErrorClass::WrongState, "a set of rows is given in FROM only").hint(
                    "Write SELECT * FROM walwarden.read_table(job, 'schema.table') AS t(column type, ...).",
                ));
            }
            pg_sys::InitMaterializedSRF(call, pg_sys::MAT_SRF_USE_EXPECTED_DESC);
            let descriptor = (*result).setDesc;
            let attributes = PgTupleDesc::from_pg_is_copy(pg_sys::CreateTupleDescCopy(descriptor));
            let columns = attributes.iter().map(input).collect();
            Ok(Self {
                store: (*result).setResult,
                descriptor,
                columns,
                row: PgMemoryContexts::new("walwarden row"),
                lists_its_columns: columns_are == Columns::Listed,
            })
        }
    }

    /// The names of its columns; None for one that was dropped.
    pub fn columns(&self) -> impl Iterator<Item = Option<&str>> {
        self.columns.iter().map(|column| column.as_ref().map(|column| column.name.as_str()))
    }

    /// Whether the caller has listed them, `AS t(a integer, ...)`, instead of giving a row type.
    pub fn lists_its_columns(&self) -> bool {
        self.lists_its_columns
    }

    /// Add a row: for each column its value as text in the database's encoding, or None for NULL. What a type does not take
    /// is raised as PostgreSQL's error.
    pub fn put<'a>(&mut self, mut value: impl FnMut(usize) -> Option<Cow<'a, CStr>>) {
        pgrx::check_for_interrupts!();
        let (store, descriptor, columns) = (self.store, self.descriptor, &mut self.columns);
        // SAFETY: inputs were made for these very columns; the tuple store copies the row out of the context, which is emptied
        // after each.
        unsafe {
            self.row.switch_to(|_| {
                let mut nulls = vec![true; columns.len()];
                let mut values = vec![pg_sys::Datum::from(0usize); columns.len()];
                for (index, column) in columns.iter_mut().enumerate() {
                    let Some(column) = column else { continue };
                    let text = value(index);
                    nulls[index] = text.is_none();
                    // Domains may refuse NULL.
                    values[index] = pg_sys::InputFunctionCall(
                        &raw mut column.function,
                        text.as_ref().map_or(std::ptr::null_mut(), |text| text.as_ptr().cast_mut()),
                        column.parameter,
                        column.modifier,
                    );
                }
                pg_sys::tuplestore_putvalues(store, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
            });
            self.row.reset();
        }
    }
}

/// The function that a call is of.
#[allow(clippy::not_unsafe_ptr_arg_deref, reason = "pgrx gives a function its running call as this pointer")]
pub fn function_of(call: pg_sys::FunctionCallInfo) -> pg_sys::Oid {
    // SAFETY: the call is the one that is running.
    unsafe { (*(*call).flinfo).fn_oid }
}

fn input(attribute: &pg_sys::FormData_pg_attribute) -> Option<Input> {
    if attribute.attisdropped {
        return None;
    }
    // SAFETY: the type exists, for a column has it; the function's lookup is kept in the current context, which lives as long
    // as this call.
    unsafe {
        let (mut function, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
        pg_sys::getTypeInputInfo(attribute.atttypid, &raw mut function, &raw mut parameter);
        let mut lookup: pg_sys::FmgrInfo = std::mem::zeroed();
        pg_sys::fmgr_info_cxt(function, &raw mut lookup, pg_sys::CurrentMemoryContext);
        Some(Input {
            name: text::from_server(CStr::from_ptr(attribute.attname.data.as_ptr()).to_bytes()),
            function: lookup,
            parameter,
            modifier: attribute.atttypmod,
        })
    }
}
