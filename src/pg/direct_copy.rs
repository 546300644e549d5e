//! The rows of an ordinary table as COPY's text, without COPY: from the pages of the heap, by
//! [`walwarden_core::copy_text`]. A value that is not understood there is written by its type's output function, which is
//! what COPY calls for every value (copyto.c). A table that has anything unusual is left to COPY.

use super::copy_session::{Session, Settings};
use super::heap_scan::HeapScan;
use super::text;
use pgrx::{PgMemoryContexts, PgTupleDesc, pg_sys};
use std::ffi::CStr;
use walwarden_core::archive::Blocks;
use walwarden_core::archive::statement::{columns_of, is_of_a_whole_table};
use walwarden_core::copy_text::{
    self, Alignment, Attribute, Element, Kind, Length, Sink, Tuple, Varlena, is_long, write_in_parts,
};
use walwarden_core::{Error, ErrorClass, Result};

/// No field of COPY's lines, and so no line, can be as long as this: neither COPY TO nor COPY FROM has the memory
/// (MaxAllocSize in memutils.h, enlargeStringInfo in stringinfo.c).
const LINE_LIMIT: u64 = 0x3fff_ffff;

/// Why a table is left to COPY.
pub type Reason = &'static str;

/// A table that can be read directly.
pub enum Way {
    /// Open, with a scan.
    Direct(Box<DirectTable>),
    /// To be written by COPY.
    Copy(Reason),
}

/// A table that is being read.
pub struct DirectTable {
    scan: HeapScan,
    relation: pg_sys::Relation,
    rows: RowWriter,
    /// Holds the scan and what the columns' functions keep.
    _memory: PgMemoryContexts,
}

/// Writes tuples of one table.
struct RowWriter {
    /// All of the table up to the last one that is wanted.
    columns: Vec<Column>,
    session: Session,
    /// For values that have to be fetched or are written by functions; emptied after each row.
    memory: PgMemoryContexts,
    memory_is_used: bool,
}

struct Column {
    attribute: Attribute,
    /// None for one that is dropped or generated.
    output: Option<Output>,
}

struct Output {
    /// How we write it, if we do.
    kind: Option<Kind>,
    /// The type's own output function.
    function: pg_sys::FmgrInfo,
    /// Values are no pointers.
    by_value: bool,
    /// The field of a row that was stored before the column was added.
    missing: Vec<u8>,
}

/// Open the table that a COPY statement of pg_dump's copies as a whole, if it can be read directly.
///
/// Must run inside a transaction with an active snapshot; the table must be locked, and stay so until
/// [`DirectTable::close`]. PostgreSQL's errors are raised.
pub fn open(oid: u32, statement: &[u8]) -> Result<Way> {
    if !is_of_a_whole_table(statement) {
        return Ok(Way::Copy("its statement is not one of a whole table"));
    }
    if cfg!(target_endian = "big") {
        return Ok(Way::Copy("the machine is big-endian"));
    }
    let columns = columns_of(statement)?;
    let oid = pg_sys::Oid::from(oid);
    // SAFETY: the caller has the lock. Whatever is raised closes the relation with the transaction.
    unsafe {
        let relation = pg_sys::try_relation_open(oid, pg_sys::NoLock as i32);
        if relation.is_null() {
            return Ok(Way::Copy("it is gone"));
        }
        let way = match obstacle(relation) {
            Some(reason) => Way::Copy(reason),
            None => open_columns(relation, &columns)?,
        };
        if matches!(way, Way::Copy(_)) {
            pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        }
        Ok(way)
    }
}

/// What keeps a relation from being read directly.
///
/// # Safety
/// The relation must be open.
unsafe fn obstacle(relation: pg_sys::Relation) -> Option<Reason> {
    // SAFETY: the caller's promise.
    unsafe {
        let class = &*(*relation).rd_rel;
        if class.relkind as u8 != pg_sys::RELKIND_RELATION {
            return Some("it is no ordinary table");
        }
        if class.relpersistence as u8 == pg_sys::RELPERSISTENCE_TEMP {
            return Some("it is temporary");
        }
        if (*relation).rd_tableam != pg_sys::GetHeapamTableAmRoutine() {
            return Some("its access method is not heap");
        }
        if !Settings::now().same_encoding {
            return Some("the client has another encoding");
        }
        let oid = (*relation).rd_id;
        if pg_sys::check_enable_rls(oid, pg_sys::InvalidOid, true)
            == pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32
        {
            return Some("row security is in force");
        }
        if pg_sys::pg_class_aclcheck(oid, pg_sys::GetUserId(), pg_sys::ACL_SELECT as pg_sys::AclMode)
            != pg_sys::AclResult::ACLCHECK_OK
        {
            return Some("not all of it may be read");
        }
        if (&raw const pg_sys::ExecutorCheckPerms_hook).read().is_some() {
            return Some("another extension checks permissions");
        }
        None
    }
}

/// # Safety
/// The relation must be open.
unsafe fn open_columns(relation: pg_sys::Relation, wanted: &[Vec<u8>]) -> Result<Way> {
    let mut memory = PgMemoryContexts::new("walwarden direct copy");
    // SAFETY: the caller's promise; what is made in the memory context lives as long as it, in the same value.
    unsafe {
        memory.switch_to(|_| {
            let rows = match RowWriter::of(relation, wanted)? {
                Ok(rows) => rows,
                Err(reason) => return Ok(Err(reason)),
            };
            Ok(Ok((rows, HeapScan::begin(relation))))
        })
    }
    .map(|opened| match opened {
        Ok((rows, scan)) => Way::Direct(Box::new(DirectTable { scan, relation, rows, _memory: memory })),
        Err(reason) => Way::Copy(reason),
    })
}

impl DirectTable {
    /// Write the rows of some blocks. Gives their number.
    ///
    /// # Errors
    /// Those of the sink, and `Database` for a row that is longer than COPY can write or read. PostgreSQL's are raised.
    pub fn write(&mut self, blocks: Blocks, sink: &mut impl Sink) -> Result<u64> {
        self.rows.session.forget_labels();
        let mut count = 0;
        let rows = &mut self.rows;
        self.scan.for_each_tuple(blocks, |tuple| {
            count += 1;
            rows.write(tuple, sink)
        })?;
        Ok(count)
    }

    /// Its schema and its name, as far as they can be read.
    pub fn name(&self) -> String {
        // SAFETY: the relation is open; its names end with zero.
        unsafe {
            let class = &*(*self.relation).rd_rel;
            let schema = pg_sys::get_namespace_name(class.relnamespace);
            let schema = if schema.is_null() { c"" } else { CStr::from_ptr(schema) };
            let name = CStr::from_ptr(class.relname.data.as_ptr());
            [schema, name].map(|part| text::from_server_lossy(part.to_bytes())).join(".")
        }
    }

    /// How many blocks it has now.
    pub fn blocks(&self) -> u32 {
        // SAFETY: the relation is open.
        unsafe { pg_sys::RelationGetNumberOfBlocksInFork(self.relation, pg_sys::ForkNumber::MAIN_FORKNUM) }
    }

    /// Before its lock is given back.
    pub fn close(self) {
        self.scan.end();
        // SAFETY: opened by `open`, and closed once.
        unsafe { pg_sys::relation_close(self.relation, pg_sys::NoLock as i32) };
    }
}

impl RowWriter {
    /// # Safety
    /// The relation must be open; the current memory context must live as long as what is made.
    unsafe fn of(
        relation: pg_sys::Relation,
        wanted: &[Vec<u8>],
    ) -> Result<std::result::Result<Self, Reason>> {
        let memory = PgMemoryContexts::new("walwarden row");
        let mut writer =
            Self { columns: Vec::new(), session: Session::default(), memory, memory_is_used: false };
        let settings = Settings::now();
        let mut wanted = wanted.iter().peekable();
        // SAFETY: the descriptor lives as long as the relation is open.
        let descriptor = unsafe { PgTupleDesc::from_pg_unchecked((*relation).rd_att) };
        for attribute in descriptor.iter() {
            if wanted.peek().is_none() {
                break;
            }
            let Some(layout) = layout_of(attribute.attlen, attribute.attalign) else {
                return Ok(Err("a column is stored in an unknown way"));
            };
            // SAFETY: a name ends with zero.
            let name = unsafe { CStr::from_ptr(attribute.attname.data.as_ptr()) };
            let is_wanted = !attribute.attisdropped
                && wanted.next_if(|column| column.as_slice() == name.to_bytes()).is_some();
            if is_wanted && attribute.attgenerated != 0 {
                return Ok(Err("a generated column is to be copied"));
            }
            // SAFETY: the caller's promise.
            let output = is_wanted.then(|| unsafe { writer.output_of(attribute, &descriptor, settings) });
            writer.columns.push(Column { attribute: layout, output });
        }
        if wanted.peek().is_some() {
            return Ok(Err("its columns are listed in another order"));
        }
        Ok(Ok(writer))
    }

    /// # Safety
    /// The attribute must be of this table; the current memory context must live as long as what is made.
    unsafe fn output_of(
        &mut self,
        attribute: &pg_sys::FormData_pg_attribute,
        descriptor: &PgTupleDesc<'_>,
        settings: Settings,
    ) -> Output {
        let mut function = pg_sys::FmgrInfo::default();
        let mut is_varlena = false;
        let mut function_oid = pg_sys::InvalidOid;
        // SAFETY: looks into the catalogs; what the function keeps is allocated in the current memory context.
        unsafe {
            pg_sys::getTypeOutputInfo(attribute.atttypid, &raw mut function_oid, &raw mut is_varlena);
            pg_sys::fmgr_info(function_oid, &raw mut function);
        }
        let layout = layout_of(attribute.attlen, attribute.attalign);
        let kind = layout.and_then(|layout| kind_of(function_oid, attribute.atttypid, layout, settings));
        let mut output = Output { kind, function, by_value: attribute.attbyval, missing: Vec::new() };
        let mut is_null = false;
        // SAFETY: the descriptor has this attribute; the value lives in it.
        let missing =
            unsafe { pg_sys::getmissingattr(descriptor.as_ptr(), attribute.attnum.into(), &raw mut is_null) };
        if is_null {
            output.missing.extend_from_slice(copy_text::NULL);
        } else {
            let mut text = Vec::new();
            // SAFETY: a value of the column's type.
            unsafe { self.write_by_function(&mut output, missing, &mut text) };
            output.missing = text;
        }
        output
    }

    /// Write a tuple, given with its header.
    fn write(&mut self, tuple: &[u8], sink: &mut impl Sink) -> Result<()> {
        let before = sink.written();
        // Taken out so that the rest of the writer is free meanwhile; put back whatever comes.
        let mut columns = std::mem::take(&mut self.columns);
        let written = self.write_columns(&mut columns, tuple, sink);
        self.columns = columns;
        if self.memory_is_used {
            // SAFETY: nothing in it outlives the row.
            unsafe { self.memory.reset() };
            self.memory_is_used = false;
        }
        written?;
        sink.text().push(b'\n');
        sink.pass_on()?;
        if sink.written() - before >= LINE_LIMIT {
            return Err(Error::new(ErrorClass::Database, "a row is longer than COPY can write")
                .detail(format!("Its text has {} bytes.", sink.written() - before))
                .hint("No COPY could read it back. Split the row's values, or leave the table out."));
        }
        Ok(())
    }

    fn write_columns(&mut self, columns: &mut [Column], tuple: &[u8], sink: &mut impl Sink) -> Result<()> {
        let mut tuple = Tuple::of(tuple).ok_or_else(damaged)?;
        let stored = tuple.count();
        let mut is_first = true;
        for (number, Column { attribute, output }) in columns.iter_mut().enumerate() {
            let value =
                if number < stored { Some(tuple.next(*attribute).ok_or_else(damaged)?) } else { None };
            let Some(output) = output else { continue };
            if !std::mem::take(&mut is_first) {
                sink.text().push(b'\t');
            }
            match value {
                Some(Some(value)) => self.write_value(output, value, sink)?,
                Some(None) => sink.text().extend_from_slice(copy_text::NULL),
                None => sink.text().extend_from_slice(&output.missing),
            }
        }
        Ok(())
    }

    /// Write a value as it is stored.
    #[inline]
    fn write_value(&mut self, output: &mut Output, stored: &[u8], sink: &mut impl Sink) -> Result<()> {
        if let Some(kind) = &output.kind {
            let value = if !kind.is_varlena() {
                stored
            } else {
                match Varlena::of(stored).ok_or_else(damaged)? {
                    Varlena::Plain(value) => value,
                    // SAFETY: a value of a live tuple; what is fetched is used before the row's memory is emptied.
                    Varlena::Toasted => unsafe { self.fetch(stored) },
                }
            };
            if is_long(kind, value) {
                return write_in_parts(kind, value, sink);
            }
            let text = sink.text();
            let start = text.len();
            if kind.write_field(value, &mut self.session, text).is_some() {
                return sink.pass_on();
            }
            text.truncate(start);
        }
        // SAFETY: a value of the column's type, in a live tuple, aligned as it is there.
        unsafe {
            let datum = datum_of(stored, output.by_value);
            self.write_by_function(output, datum, sink.text());
        }
        sink.pass_on()
    }

    /// The bytes of a value that is compressed or out of line, without its header, in the row's memory.
    ///
    /// # Safety
    /// It must be such a value, of a live tuple; the result must not be used after the row.
    unsafe fn fetch<'a>(&mut self, stored: &[u8]) -> &'a [u8] {
        self.memory_is_used = true;
        // SAFETY: the caller's promise; what detoasting gives has a header of either length.
        unsafe {
            let datum = stored.as_ptr().cast_mut().cast::<pg_sys::varlena>();
            let value = self.memory.switch_to(|_| pg_sys::pg_detoast_datum_packed(datum));
            std::slice::from_raw_parts(pgrx::vardata_any(value).cast::<u8>(), pgrx::varsize_any_exhdr(value))
        }
    }

    /// As COPY does it.
    ///
    /// # Safety
    /// The value must be one of the column's type.
    unsafe fn write_by_function(&mut self, output: &mut Output, value: pg_sys::Datum, text: &mut Vec<u8>) {
        self.memory_is_used = true;
        // SAFETY: the caller's promise; an output function gives a text that ends with zero.
        unsafe {
            let written =
                self.memory.switch_to(|_| pg_sys::OutputFunctionCall(&raw mut output.function, value));
            copy_text::escape(CStr::from_ptr(written).to_bytes(), text);
        }
    }
}

/// A value as functions take it.
///
/// # Safety
/// The bytes must be a value of a type that is passed this way; those of a pointer must outlive the result.
unsafe fn datum_of(stored: &[u8], by_value: bool) -> pg_sys::Datum {
    if !by_value {
        return pg_sys::Datum::from(stored.as_ptr().cast_mut());
    }
    // As fetch_att does (tupmacs.h); a type that is passed by value has one of these lengths.
    match *stored {
        [a] => pg_sys::Datum::from(i8::from_ne_bytes([a])),
        [a, b] => pg_sys::Datum::from(i16::from_ne_bytes([a, b])),
        [a, b, c, d] => pg_sys::Datum::from(i32::from_ne_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => pg_sys::Datum::from(i64::from_ne_bytes([a, b, c, d, e, f, g, h])),
        _ => pg_sys::Datum::null(),
    }
}

fn damaged() -> Error {
    Error::new(ErrorClass::Database, "a row is not what its table says")
        .detail("Its bytes do not fit the table's columns.")
        .hint("The table may be damaged: look at it with pg_amcheck.")
}

/// `pg_attribute.attlen` and `attalign`, or `pg_type.typlen` and `typalign`.
fn layout_of(length: i16, alignment: std::os::raw::c_char) -> Option<Attribute> {
    let length = match length {
        -1 => Length::Varlena,
        -2 => Length::CString,
        length => Length::Fixed(u16::try_from(length).ok().filter(|length| *length > 0)?),
    };
    Some(Attribute { length, alignment: Alignment::from_catalog(alignment as u8)? })
}

/// How we write the values of a type, if we do. Its output function says what they are: a domain has that of its base
/// type.
fn kind_of(
    function: pg_sys::Oid,
    type_oid: pg_sys::Oid,
    layout: Attribute,
    settings: Settings,
) -> Option<Kind> {
    let (kind, length) = match function.to_u32() {
        pg_sys::F_BOOLOUT => (Kind::Bool, Length::Fixed(1)),
        pg_sys::F_INT2OUT => (Kind::Int2, Length::Fixed(2)),
        pg_sys::F_INT4OUT => (Kind::Int4, Length::Fixed(4)),
        pg_sys::F_INT8OUT => (Kind::Int8, Length::Fixed(8)),
        pg_sys::F_OIDOUT => (Kind::Oid, Length::Fixed(4)),
        pg_sys::F_FLOAT4OUT if settings.shortest_floats => (Kind::Float4, Length::Fixed(4)),
        pg_sys::F_FLOAT8OUT if settings.shortest_floats => (Kind::Float8, Length::Fixed(8)),
        pg_sys::F_NUMERIC_OUT => (Kind::Numeric, Length::Varlena),
        pg_sys::F_TEXTOUT | pg_sys::F_VARCHAROUT | pg_sys::F_BPCHAROUT | pg_sys::F_JSON_OUT => {
            (Kind::Text, Length::Varlena)
        }
        pg_sys::F_NAMEOUT => (Kind::Name, Length::Fixed(pg_sys::NAMEDATALEN as u16)),
        pg_sys::F_CHAROUT => (Kind::Char, Length::Fixed(1)),
        pg_sys::F_BYTEAOUT if settings.hex_bytea => (Kind::Bytea, Length::Varlena),
        pg_sys::F_UUID_OUT => (Kind::Uuid, Length::Fixed(16)),
        pg_sys::F_DATE_OUT if settings.iso_dates => (Kind::Date, Length::Fixed(4)),
        pg_sys::F_TIME_OUT => (Kind::Time, Length::Fixed(8)),
        pg_sys::F_TIMESTAMP_OUT if settings.iso_dates => (Kind::Timestamp, Length::Fixed(8)),
        pg_sys::F_TIMESTAMPTZ_OUT if settings.iso_dates => (Kind::TimestampTz, Length::Fixed(8)),
        pg_sys::F_INTERVAL_OUT if settings.postgres_intervals => (
            Kind::Interval { has_infinity: cfg!(any(feature = "pg17", feature = "pg18")) },
            Length::Fixed(16),
        ),
        pg_sys::F_JSONB_OUT => (Kind::Jsonb, Length::Varlena),
        pg_sys::F_INET_OUT => (Kind::Inet, Length::Varlena),
        pg_sys::F_CIDR_OUT => (Kind::Cidr, Length::Varlena),
        pg_sys::F_ENUM_OUT => (Kind::Enum, Length::Fixed(4)),
        pg_sys::F_ARRAY_OUT => (Kind::Array(Box::new(element_of(type_oid, settings)?)), Length::Varlena),
        _ => return None,
    };
    (layout.length == length).then_some(kind)
}

/// The elements of an array type, or of a domain over one, if we write them.
fn element_of(array: pg_sys::Oid, settings: Settings) -> Option<Element> {
    let (mut length, mut by_value, mut alignment, mut delimiter) = (0, false, 0, 0);
    let (mut parameter, mut function) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
    // SAFETY: looks into the catalogs.
    let oid = unsafe {
        let oid = pg_sys::get_element_type(pg_sys::getBaseType(array));
        if oid == pg_sys::InvalidOid {
            return None;
        }
        pg_sys::get_type_io_data(
            oid,
            pg_sys::IOFuncSelector::IOFunc_output,
            &raw mut length,
            &raw mut by_value,
            &raw mut alignment,
            &raw mut delimiter,
            &raw mut parameter,
            &raw mut function,
        );
        oid
    };
    let layout = layout_of(length, alignment)?;
    let kind = kind_of(function, oid, layout, settings).filter(|kind| !matches!(kind, Kind::Array(_)))?;
    Some(Element {
        kind,
        oid: oid.to_u32(),
        length: layout.length,
        alignment: layout.alignment,
        delimiter: delimiter as u8,
    })
}
