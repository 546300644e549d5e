//! Facts about the server and the database this process is in.

use super::{clock, text};
use pgrx::pg_sys;
use std::ffi::{CStr, OsStr};
use std::os::raw::c_char;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use walwarden_core::remains::Server;
use walwarden_core::{Error, ErrorClass, Result};

/// The directory of the server's own programs: pg_dump from here has the server's very version.
pub fn bin_directory() -> Result<PathBuf> {
    // SAFETY: my_exec_path is a zero-terminated array filled at server start.
    let path = unsafe { path_of((&raw const pg_sys::my_exec_path).cast::<c_char>()) };
    path.parent()
        .map(PathBuf::from)
        .ok_or_else(|| Error::new(ErrorClass::Configuration, "could not find the server's program directory"))
}

/// The data directory, absolute.
pub fn data_directory() -> PathBuf {
    // SAFETY: DataDir is set at server start and never changes.
    unsafe { path_of(pg_sys::DataDir) }
}

/// A socket directory of the server, or the loopback address when it has none.
pub fn socket_directory() -> String {
    setting(c"unix_socket_directories")
        .and_then(|list| {
            list.split(',').map(|d| d.trim().trim_matches('"').to_owned()).find(|d| !d.is_empty())
        })
        .unwrap_or_else(|| "127.0.0.1".to_owned())
}

/// The server's port.
pub fn port() -> i32 {
    // SAFETY: reads a process global set at server start.
    unsafe { pg_sys::PostPortNumber }
}

/// The cluster's system identifier (pg_control).
pub fn system_identifier() -> u64 {
    // SAFETY: the control file was read at server start.
    unsafe { pg_sys::GetSystemIdentifier() }
}

/// The timeline that the server writes to. Not during recovery: there is none.
pub fn timeline() -> u32 {
    // SAFETY: reads shared memory.
    unsafe { pg_sys::GetWALInsertionTimeLine() }
}

/// This running server, so that its own remains can be told from those of a server it is a copy of. Not during
/// recovery: there is no timeline to write to.
pub fn running() -> Server {
    // SAFETY: reads a process global set at server start.
    let started = unsafe { pg_sys::PgStartTime };
    let directory = data_directory();
    let place = format!("{}:{} timeline {}", host_name(), directory.display(), timeline());
    Server { place, started_at: clock::from_postgres(started) }
}

fn host_name() -> String {
    let mut name = [0u8; 256];
    // SAFETY: gethostname fills at most the buffer it is given; the last byte stays zero.
    let status = unsafe { libc::gethostname(name.as_mut_ptr().cast::<c_char>(), name.len() - 1) };
    let end = name.iter().position(|b| *b == 0).unwrap_or(0);
    if status == 0 { String::from_utf8_lossy(&name[..end]).into_owned() } else { String::new() }
}

/// The oid of this database.
pub fn database_oid() -> u32 {
    // SAFETY: reads a process global set on connection.
    unsafe { pg_sys::MyDatabaseId }.to_u32()
}

/// The name of this database, as bytes in its own encoding and as text.
pub fn database_name() -> Result<(Vec<u8>, String)> {
    // SAFETY: inside a transaction; the result is a palloc'd string or null.
    let name = unsafe {
        let name = pg_sys::get_database_name(pg_sys::MyDatabaseId);
        if name.is_null() {
            return Err(Error::new(ErrorClass::NotFound, "the database is gone"));
        }
        CStr::from_ptr(name).to_bytes().to_vec()
    };
    let text = text::from_server_lossy(&name);
    Ok((name, text))
}

/// The name of this database's encoding.
pub fn encoding() -> String {
    // SAFETY: a static string.
    unsafe { CStr::from_ptr(pg_sys::GetDatabaseEncodingName()) }.to_string_lossy().into_owned()
}

/// The server's version as a number: 150018 is 15.18.
pub fn version_number() -> u32 {
    setting(c"server_version_num").and_then(|v| v.parse().ok()).unwrap_or(pg_sys::PG_VERSION_NUM)
}

/// The server's version as it calls itself.
pub fn version() -> String {
    setting(c"server_version").unwrap_or_default()
}

/// Whether this server is a standby.
pub fn in_recovery() -> bool {
    // SAFETY: reads shared memory that every process is attached to.
    unsafe { pg_sys::RecoveryInProgress() }
}

/// Whether the transaction can see what others commit while it runs (READ COMMITTED).
pub fn sees_new_commits() -> bool {
    // SAFETY: reads a process global; IsolationUsesXactSnapshot is this comparison (xact.h).
    unsafe { pg_sys::XactIsoLevel < pg_sys::XACT_REPEATABLE_READ as i32 }
}

/// Whether the session is inside BEGIN ... COMMIT.
pub fn in_transaction_block() -> bool {
    // SAFETY: reads this process's transaction state.
    unsafe { pg_sys::IsTransactionBlock() }
}

/// Whether the session's own user, not the owner of the function, may see everything.
pub fn session_user() -> String {
    // SAFETY: GetSessionUserId reads a process global; the name is palloc'd.
    let bytes = unsafe {
        let name = pg_sys::GetUserNameFromId(pg_sys::GetSessionUserId(), true);
        if name.is_null() { Vec::new() } else { CStr::from_ptr(name).to_bytes().to_vec() }
    };
    text::from_server_lossy(&bytes)
}

/// A setting by name, as SHOW gives it without units; None when there is no such setting.
pub fn setting(name: &CStr) -> Option<String> {
    // SAFETY: the name is zero-terminated; missing_ok; the result points into the setting and is copied.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        (!value.is_null()).then(|| text::from_server(CStr::from_ptr(value).to_bytes()))
    }
}

/// # Safety
/// `path` must be zero-terminated.
unsafe fn path_of(path: *const c_char) -> PathBuf {
    // SAFETY: the caller's promise.
    PathBuf::from(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()))
}

/// The operating-system user this server runs as.
pub fn operating_system_user() -> Result<(u32, String)> {
    // SAFETY: geteuid has no preconditions; getpwuid_r fills the buffers it is given, which live until the copy.
    unsafe {
        let uid = libc::geteuid();
        let mut record: libc::passwd = std::mem::zeroed();
        let mut buffer = vec![0 as c_char; 16_384];
        let mut found: *mut libc::passwd = std::ptr::null_mut();
        libc::getpwuid_r(uid, &raw mut record, buffer.as_mut_ptr(), buffer.len(), &raw mut found);
        if found.is_null() {
            return Err(Error::new(
                ErrorClass::Configuration,
                format!("user {uid} of the server has no name"),
            )
            .hint("Set walwarden.conninfo to how pg_dump shall connect."));
        }
        Ok((uid, CStr::from_ptr((*found).pw_name).to_string_lossy().into_owned()))
    }
}
