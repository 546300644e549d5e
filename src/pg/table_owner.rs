//! What table owners have planted runs with their rights, not with those of walwarden's processes and of the pg_restore that they
//! start, which are a superuser's. PostgreSQL does so by itself when it makes indexes, refreshes materialized views and
//! analyzes. Left are:
//!
//! - planning any query on a table: predicates of its indexes and expressions of its statistics are simplified, which calls functions
//!   that say of themselves that they are immutable (get_relation_info in plancat.c);
//! - in pg_restore's session, statements that make constraints look at rows that are there, and COPY with constraints,
//!   generated columns and triggers.

use super::copy_in::copy_as_owner;
use super::role::{self, as_restricted};
use super::utility::UtilityCall;
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use pgrx::{PgList, pg_guard, pg_sys};
use std::ffi::{CStr, c_void};
use std::os::raw::{c_char, c_int};
use std::sync::atomic::{AtomicBool, Ordering};
use walwarden_core::Result;

static mut PREVIOUS: pg_sys::ProcessUtility_hook_type = None;
static INSTALLED: AtomicBool = AtomicBool::new(false);

static PLANS: AtomicBool = AtomicBool::new(false);
static mut PREVIOUS_PLANNER: pg_sys::planner_hook_type = None;

/// With no right but what everybody has: for queries on tables of several owners, of whom none may act as another.
const NOBODY: &str = "pg_checkpoint";

/// From now on, this process plans with the rights of the owners of tables. Permissions are looked at when a plan is
/// executed, with the rights that the session has.
pub fn plan_as_owner() {
    if PLANS.swap(true, Ordering::Relaxed) {
        return;
    }
    // SAFETY: globals of this process on its main thread.
    unsafe {
        PREVIOUS_PLANNER = pg_sys::planner_hook;
        pg_sys::planner_hook = Some(plan);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn plan(
    query: *mut pg_sys::Query,
    text: *const c_char,
    options: c_int,
    parameters: pg_sys::ParamListInfo,
) -> *mut pg_sys::PlannedStmt {
    // SAFETY: PostgreSQL passes a live query; the previous hook and the standard planner get exactly what we got.
    let run = || unsafe {
        Ok(match PREVIOUS_PLANNER {
            Some(previous) => {
                pg_sys::ffi::pg_guard_ffi_boundary(|| previous(query, text, options, parameters))
            }
            None => pg_sys::standard_planner(query, text, options, parameters),
        })
    };
    // SAFETY: as above.
    let outcome = unsafe { planner_of(query) }.and_then(|role| match role {
        Some(role) => as_restricted(role, run),
        None => run(),
    });
    outcome.unwrap_or_else(|error| crate::error::raise(error))
}

/// The role that a query is planned as, if not the current one: the owner of its tables who is no superuser.
///
/// # Safety
/// `query` must be live.
unsafe fn planner_of(query: *mut pg_sys::Query) -> Result<Option<pg_sys::Oid>> {
    let (mut relations, mut items, mut row_security) = (std::ptr::null_mut(), std::ptr::null_mut(), false);
    // SAFETY: only reads the query, sublinks and all; the lists are in the current memory context.
    let relations = unsafe {
        pg_sys::extract_query_dependencies(
            query.cast(),
            &raw mut relations,
            &raw mut items,
            &raw mut row_security,
        );
        PgList::<pg_sys::Oid>::from_pg(relations)
    };
    let mut found = None;
    for relation in relations.iter_oid() {
        // SAFETY: inside a transaction.
        let owner = unsafe { owner_of_relation(relation).filter(|owner| !pg_sys::superuser_arg(*owner)) };
        match (owner, found) {
            (Some(owner), Some(other)) if owner != other => return role::oid(NOBODY).map(Some),
            (Some(_), _) => found = owner,
            (None, _) => {}
        }
    }
    Ok(found)
}

/// Define the setting that switches it on, and stays on in its session. Sessions without it get no hook.
pub fn define_setting(
    name: &'static CStr,
    short_description: &'static CStr,
    long_description: &'static CStr,
    setting: &'static GucSetting<bool>,
) {
    // SAFETY: the assign hook has the signature PostgreSQL expects and only installs our own hook.
    unsafe {
        GucRegistry::define_bool_guc_with_hooks(
            name,
            short_description,
            long_description,
            setting,
            GucContext::Suset,
            GucFlags::NO_SHOW_ALL | GucFlags::SUPERUSER_ONLY,
            None,
            Some(assign),
            None,
        );
    }
}

unsafe extern "C-unwind" fn assign(value: bool, _: *mut c_void) {
    // SAFETY: globals of this process on its main thread.
    unsafe {
        if !value || INSTALLED.swap(true, Ordering::Relaxed) {
            return;
        }
        plan_as_owner();
        PREVIOUS = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(process_utility);
    }
}

#[pg_guard]
#[allow(clippy::too_many_arguments, reason = "the signature is PostgreSQL's")]
unsafe extern "C-unwind" fn process_utility(
    planned: *mut pg_sys::PlannedStmt,
    text: *const c_char,
    read_only_tree: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    parameters: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    destination: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    let call = UtilityCall {
        planned,
        text,
        read_only_tree,
        context,
        parameters,
        environment,
        destination,
        completion,
    };
    // SAFETY: as PostgreSQL gave it, and the hook that was there before.
    let run = || unsafe {
        call.pass_on(PREVIOUS);
        Ok(())
    };
    // SAFETY: PostgreSQL passes a live plan; what the client sends is read by COPY itself.
    let outcome = unsafe {
        let statement = (*planned).utilityStmt;
        if let Some(copy) = copy_from_client(statement) {
            copy_as_owner(copy, None).map(|rows| call.complete(pg_sys::CommandTag::CMDTAG_COPY, rows))
        } else {
            match owner_of_code(statement) {
                Some(owner) => as_restricted(owner, run),
                None => run(),
            }
        }
    };
    if let Err(error) = outcome {
        crate::error::raise(error);
    }
}

/// A COPY of pg_restore's: into a table, from the client. Not by the owner's permissions: FORCE ROW LEVEL SECURITY, or INSERT that was
/// revoked, would keep owners from their own tables.
///
/// # Safety
/// `statement` must be null or a live node.
unsafe fn copy_from_client(statement: *mut pg_sys::Node) -> Option<*mut pg_sys::CopyStmt> {
    // SAFETY: the tag is looked at before the cast.
    unsafe {
        if statement.is_null() || (*statement).type_ != pg_sys::NodeTag::T_CopyStmt {
            return None;
        }
        let copy = statement.cast::<pg_sys::CopyStmt>();
        let is_plain = (*copy).is_from
            && !(*copy).is_program
            && (*copy).filename.is_null()
            && !(*copy).relation.is_null()
            && (*copy).whereClause.is_null();
        is_plain.then_some(copy)
    }
}

/// Whose code a statement may run: the owner of its table or domain, if it is one of those that do.
///
/// # Safety
/// `statement` must be null or a live node.
unsafe fn owner_of_code(statement: *mut pg_sys::Node) -> Option<pg_sys::Oid> {
    // SAFETY: tags are looked at before each cast; names are looked up as the statement itself will.
    unsafe {
        if statement.is_null() {
            return None;
        }
        match (*statement).type_ {
            pg_sys::NodeTag::T_AlterTableStmt => {
                let alter = statement.cast::<pg_sys::AlterTableStmt>();
                let commands = PgList::<pg_sys::AlterTableCmd>::from_pg((*alter).cmds);
                if commands.iter_ptr().any(|command| checks_rows(command)) {
                    owner_of_table((*alter).relation)
                } else {
                    None
                }
            }
            pg_sys::NodeTag::T_AlterDomainStmt => {
                let alter = statement.cast::<pg_sys::AlterDomainStmt>();
                owner_of_type((*alter).typeName)
            }
            _ => None,
        }
    }
}

/// Whether a command evaluates a constraint of the table on its rows.
///
/// # Safety
/// `command` must be a live node.
unsafe fn checks_rows(command: *mut pg_sys::AlterTableCmd) -> bool {
    // SAFETY: the tag is looked at before the cast.
    unsafe {
        match (*command).subtype {
            pg_sys::AlterTableType::AT_AddConstraint => {
                let definition = (*command).def;
                !definition.is_null()
                    && (*definition).type_ == pg_sys::NodeTag::T_Constraint
                    && (*definition.cast::<pg_sys::Constraint>()).contype == pg_sys::ConstrType::CONSTR_CHECK
            }
            _ => false,
        }
    }
}

/// # Safety
/// `name` must be null or a live node.
unsafe fn owner_of_table(name: *mut pg_sys::RangeVar) -> Option<pg_sys::Oid> {
    // SAFETY: by the caller. What does not exist, the statement itself says.
    unsafe {
        if name.is_null() {
            return None;
        }
        let no_lock = pg_sys::NoLock as pg_sys::LOCKMODE;
        let missing_ok = pg_sys::RVROption::RVR_MISSING_OK;
        let table = pg_sys::RangeVarGetRelidExtended(name, no_lock, missing_ok, None, std::ptr::null_mut());
        owner_of_relation(table)
    }
}

/// # Safety
/// Must run inside a transaction.
unsafe fn owner_of_relation(relation: pg_sys::Oid) -> Option<pg_sys::Oid> {
    // SAFETY: the tuple is read before it is released.
    unsafe {
        let tuple =
            pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as i32, pg_sys::Datum::from(relation));
        if tuple.is_null() {
            return None;
        }
        let owner = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>()).relowner;
        pg_sys::ReleaseSysCache(tuple);
        Some(owner)
    }
}

/// # Safety
/// `name` must be null or a live list of names.
unsafe fn owner_of_type(name: *mut pg_sys::List) -> Option<pg_sys::Oid> {
    // SAFETY: as in `owner_of_table`.
    unsafe {
        let found = pg_sys::makeTypeNameFromNameList(name);
        let tuple = pg_sys::LookupTypeName(std::ptr::null_mut(), found, std::ptr::null_mut(), true);
        if tuple.is_null() {
            return None;
        }
        let owner = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_type>()).typowner;
        pg_sys::ReleaseSysCache(tuple);
        Some(owner)
    }
}
