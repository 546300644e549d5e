//! A table made anew under another name, from the statements that pg_dump wrote for it: parsed by PostgreSQL, changed where
//! the name is, and run.

use super::{statement, text};
use pgrx::{PgList, pg_sys};
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use walwarden_core::{Error, Result};

/// A name of a table that is not there yet, in the database's encoding.
pub struct Target {
    schema: CString,
    name: CString,
}

impl Target {
    /// This one.
    pub fn new(schema: &str, name: &str) -> Self {
        Self { schema: text::to_server(schema), name: text::to_server(name) }
    }

    /// Have a node name this table.
    ///
    /// # Safety
    /// The node must be live; it gets copies in the current memory context.
    pub(super) unsafe fn put_into(&self, relation: *mut pg_sys::RangeVar) {
        // SAFETY: the caller's promise; both names are zero-terminated.
        unsafe {
            (*relation).catalogname = std::ptr::null_mut();
            (*relation).schemaname = pg_sys::pstrdup(self.schema.as_ptr());
            (*relation).relname = pg_sys::pstrdup(self.name.as_ptr());
        }
    }
}

/// Make the table from pg_dump's CREATE TABLE of it, which comes first, and of the tables whose columns it inherits. It is
/// an ordinary table of its own: no partition and nobody's child, without defaults and identities, which would draw on the
/// sequences of the original.
///
/// Must run inside a transaction. PostgreSQL's errors are raised.
pub fn create(definitions: &[Vec<u8>], target: &Target) -> Result<()> {
    let mut statements = definitions.iter().map(|definition| {
        let text = statement_text(definition)?;
        // SAFETY: the nodes live in the current memory context.
        unsafe { find(&text, pg_sys::NodeTag::T_CreateStmt) }
            .map(|node| (node.cast::<pg_sys::CreateStmt>(), text))
            .ok_or_else(|| Error::internal("another statement where a CREATE TABLE was due"))
    });
    let (create, text) = statements.next().ok_or_else(|| Error::internal("a table has no definition"))??;
    // SAFETY: nodes of the current memory context, which PostgreSQL's parser made; lists hold what the grammar puts there.
    unsafe {
        let mut elements: Vec<*mut pg_sys::Node> = Vec::new();
        for parent in statements {
            elements.extend(PgList::<pg_sys::Node>::from_pg((*parent?.0).tableElts).iter_ptr());
        }
        elements.extend(PgList::<pg_sys::Node>::from_pg((*create).tableElts).iter_ptr());
        let mut kept: PgList<pg_sys::Node> = PgList::new();
        let mut names = HashSet::new();
        for element in elements {
            if (*element).type_ == pg_sys::NodeTag::T_ColumnDef {
                let column = element.cast::<pg_sys::ColumnDef>();
                if !(*column).colname.is_null() && !names.insert(CStr::from_ptr((*column).colname).to_owned())
                {
                    continue;
                }
                (*column).constraints = without_sources(&PgList::from_pg((*column).constraints)).into_pg();
            }
            kept.push(element);
        }
        target.put_into((*create).relation);
        (*create).tableElts = kept.into_pg();
        (*create).inhRelations = std::ptr::null_mut();
        (*create).partbound = std::ptr::null_mut();
        (*create).partspec = std::ptr::null_mut();
        (*create).tablespacename = std::ptr::null_mut();
        run(create.cast(), &text);
    }
    Ok(())
}

/// Make its indexes and the constraints that are one, from pg_dump's statements. They get names that are free.
///
/// Must run inside a transaction. PostgreSQL's errors are raised.
pub fn create_indexes(statements: &[Vec<u8>], target: &Target) -> Result<()> {
    for statement in statements {
        let text = statement_text(statement)?;
        // SAFETY: nodes of the current memory context; tags are looked at before each cast.
        unsafe {
            if let Some(node) = find(&text, pg_sys::NodeTag::T_IndexStmt) {
                let index = node.cast::<pg_sys::IndexStmt>();
                target.put_into((*index).relation);
                (*(*index).relation).inh = true;
                (*index).idxname = std::ptr::null_mut();
                (*index).tableSpace = std::ptr::null_mut();
                run(node, &text);
            } else if let Some(node) = find(&text, pg_sys::NodeTag::T_AlterTableStmt) {
                let alter = node.cast::<pg_sys::AlterTableStmt>();
                target.put_into((*alter).relation);
                for command in PgList::<pg_sys::AlterTableCmd>::from_pg((*alter).cmds).iter_ptr() {
                    let definition = (*command).def;
                    if !definition.is_null() && (*definition).type_ == pg_sys::NodeTag::T_Constraint {
                        let constraint = definition.cast::<pg_sys::Constraint>();
                        (*constraint).conname = std::ptr::null_mut();
                        (*constraint).indexspace = std::ptr::null_mut();
                    }
                }
                run(node, &text);
            }
        }
    }
    Ok(())
}

fn statement_text(statement: &[u8]) -> Result<CString> {
    CString::new(statement).map_err(|_| Error::internal("a statement holds a zero byte"))
}

/// The first statement of this kind: others follow it that are about the original, such as CLUSTER ON.
///
/// # Safety
/// The current memory context must outlive the use of the node.
unsafe fn find(text: &CStr, tag: pg_sys::NodeTag) -> Option<*mut pg_sys::Node> {
    // SAFETY: the list holds live nodes.
    unsafe { statement::parse(text).iter_ptr().map(|raw| (*raw).stmt).find(|node| (**node).type_ == tag) }
}

/// A column's constraints without what gives values from elsewhere. What is generated from the row itself stays.
///
/// # Safety
/// The list must hold live Constraint nodes.
unsafe fn without_sources(constraints: &PgList<pg_sys::Constraint>) -> PgList<pg_sys::Constraint> {
    let mut kept = PgList::new();
    for constraint in constraints.iter_ptr() {
        // SAFETY: the caller's promise.
        let kind = unsafe { (*constraint).contype };
        if kind != pg_sys::ConstrType::CONSTR_DEFAULT && kind != pg_sys::ConstrType::CONSTR_IDENTITY {
            kept.push(constraint);
        }
    }
    kept
}

/// Run a utility statement, so that the next one sees what it did.
///
/// # Safety
/// The node must be a live utility statement, which came of this text.
unsafe fn run(node: *mut pg_sys::Node, text: &CStr) {
    // SAFETY: the caller's promise; the way of SPI with utility statements (_SPI_execute_plan in spi.c).
    unsafe {
        statement::run_utility(node, text, pg_sys::ProcessUtilityContext::PROCESS_UTILITY_QUERY);
        pg_sys::CommandCounterIncrement();
    }
}
