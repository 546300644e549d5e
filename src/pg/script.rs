//! A script of statements about what all databases share, as pg_dumpall writes it: taken apart by PostgreSQL's own parser.

use super::caught::caught;
use super::{statement, text, transaction};
use pgrx::{PgList, pg_sys};
use std::ffi::CStr;
use std::os::raw::c_char;
use walwarden_core::{Error, ErrorClass, Result};

/// What a statement makes or changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// The session that reads the script.
    Session,
    /// What everybody may do, or everybody's settings.
    Everyone,
    /// This role, or what it may do.
    Role(String),
    /// A tablespace, which is made outside of other transactions.
    NewTablespace(String),
    /// Something of a tablespace.
    Tablespace(String),
}

/// A statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its text, without the semicolon.
    pub text: String,
    /// What it is about.
    pub about: About,
}

/// Take a script apart. Must run inside a transaction.
///
/// # Errors
/// `Archive` for a statement that pg_dumpall does not write; PostgreSQL's own for what it cannot parse.
pub fn parse(script: &str) -> Result<Vec<Statement>> {
    let script = text::to_server(script);
    // SAFETY: the text is zero-terminated and outlives the list, whose nodes live in the current memory context; places
    // and lengths are those of the parser, in bytes of this very text, and are checked all the same.
    unsafe {
        statement::parse(&script)
            .iter_ptr()
            .map(|raw| {
                let start = usize::try_from((*raw).stmt_location).unwrap_or(0);
                let rest = script.to_bytes().get(start..).unwrap_or_default();
                let text = match usize::try_from((*raw).stmt_len) {
                    Ok(length @ 1..) => rest.get(..length).unwrap_or(rest),
                    _ => rest,
                };
                let text = text::from_server(text).trim().to_owned();
                let about = about((*raw).stmt).ok_or_else(|| {
                    // Not the statement itself, which may hold a password.
                    Error::new(ErrorClass::Archive, "the globals hold a statement that is not known")
                        .detail(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
                })?;
                Ok(Statement { text, about })
            })
            .collect()
    }
}

/// # Safety
/// The node must be live.
unsafe fn about(node: *mut pg_sys::Node) -> Option<About> {
    // SAFETY: the tag is looked at before each cast; lists hold what the grammar (gram.y) puts there.
    unsafe {
        Some(match (*node).type_ {
            pg_sys::NodeTag::T_VariableSetStmt => About::Session,
            pg_sys::NodeTag::T_CreateRoleStmt => {
                About::Role(string((*node.cast::<pg_sys::CreateRoleStmt>()).role)?)
            }
            pg_sys::NodeTag::T_AlterRoleStmt => role((*node.cast::<pg_sys::AlterRoleStmt>()).role),
            pg_sys::NodeTag::T_AlterRoleSetStmt => role((*node.cast::<pg_sys::AlterRoleSetStmt>()).role),
            pg_sys::NodeTag::T_GrantRoleStmt => {
                first_role((*node.cast::<pg_sys::GrantRoleStmt>()).grantee_roles)?
            }
            pg_sys::NodeTag::T_CommentStmt => {
                let comment = node.cast::<pg_sys::CommentStmt>();
                named((*comment).objtype, (*comment).object)?
            }
            pg_sys::NodeTag::T_SecLabelStmt => {
                let label = node.cast::<pg_sys::SecLabelStmt>();
                named((*label).objtype, (*label).object)?
            }
            pg_sys::NodeTag::T_GrantStmt => {
                let grant = node.cast::<pg_sys::GrantStmt>();
                if (*grant).objtype == pg_sys::ObjectType::OBJECT_TABLESPACE {
                    let objects: PgList<pg_sys::Node> = PgList::from_pg((*grant).objects);
                    named((*grant).objtype, objects.get_ptr(0)?)?
                } else {
                    first_role((*grant).grantees)?
                }
            }
            pg_sys::NodeTag::T_CreateTableSpaceStmt => {
                About::NewTablespace(string((*node.cast::<pg_sys::CreateTableSpaceStmt>()).tablespacename)?)
            }
            pg_sys::NodeTag::T_AlterTableSpaceOptionsStmt => About::Tablespace(string(
                (*node.cast::<pg_sys::AlterTableSpaceOptionsStmt>()).tablespacename,
            )?),
            _ => return None,
        })
    }
}

/// # Safety
/// The node must be live.
unsafe fn named(kind: pg_sys::ObjectType::Type, object: *mut pg_sys::Node) -> Option<About> {
    // SAFETY: roles and tablespaces are named by a String node (gram.y).
    unsafe {
        if object.is_null() || (*object).type_ != pg_sys::NodeTag::T_String {
            return None;
        }
        let name = string((*object.cast::<pg_sys::String>()).sval)?;
        match kind {
            pg_sys::ObjectType::OBJECT_ROLE => Some(About::Role(name)),
            pg_sys::ObjectType::OBJECT_TABLESPACE => Some(About::Tablespace(name)),
            _ => None,
        }
    }
}

/// # Safety
/// The list must be live and hold RoleSpec nodes.
unsafe fn first_role(list: *mut pg_sys::List) -> Option<About> {
    // SAFETY: the caller's promise.
    unsafe {
        let roles: PgList<pg_sys::RoleSpec> = PgList::from_pg(list);
        Some(role(roles.get_ptr(0)?))
    }
}

/// # Safety
/// The node must be live, or null for ALL. PUBLIC has no name.
unsafe fn role(role: *mut pg_sys::RoleSpec) -> About {
    // SAFETY: the caller's promise.
    unsafe {
        if role.is_null() {
            return About::Everyone;
        }
        string((*role).rolename).map_or(About::Everyone, About::Role)
    }
}

/// # Safety
/// The string must be zero-terminated or null.
unsafe fn string(name: *const c_char) -> Option<String> {
    // SAFETY: the caller's promise.
    unsafe { (!name.is_null()).then(|| text::from_server(CStr::from_ptr(name).to_bytes())) }
}

/// Run a CREATE TABLESPACE, in a transaction of its own.
pub fn create_tablespace(text: &str) -> Result<()> {
    let outcome = caught(|| {
        transaction::begin();
        let text = text::to_server(text);
        let node =
            statement::parse_one(&text, pg_sys::NodeTag::T_CreateTableSpaceStmt, "a CREATE TABLESPACE")?;
        // SAFETY: inside a transaction of a worker, with nothing else in it, as a top-level statement is (utility.c); the
        // node is of this kind.
        unsafe {
            transaction::push_transaction_snapshot();
            pg_sys::CreateTableSpace(node.cast());
            pg_sys::PopActiveSnapshot();
        }
        transaction::commit();
        Ok(())
    });
    transaction::settle(outcome)
}
