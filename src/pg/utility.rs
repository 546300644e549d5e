//! A utility statement on its way through `ProcessUtility_hook`.

use pgrx::pg_sys;
use std::os::raw::c_char;

/// What PostgreSQL gives the hook.
#[derive(Clone, Copy)]
pub(super) struct UtilityCall {
    pub planned: *mut pg_sys::PlannedStmt,
    pub text: *const c_char,
    pub read_only_tree: bool,
    pub context: pg_sys::ProcessUtilityContext::Type,
    pub parameters: pg_sys::ParamListInfo,
    pub environment: *mut pg_sys::QueryEnvironment,
    pub destination: *mut pg_sys::DestReceiver,
    pub completion: *mut pg_sys::QueryCompletion,
}

impl UtilityCall {
    /// Run the statement as if there were no hook of ours: by the one that was there before, or PostgreSQL itself.
    ///
    /// # Safety
    /// It must be what PostgreSQL gave, and `previous` the hook that was there before.
    pub unsafe fn pass_on(self, previous: pg_sys::ProcessUtility_hook_type) {
        let Self { planned, text, read_only_tree, context, parameters, environment, destination, completion } =
            self;
        // SAFETY: by the caller; both get exactly what we got.
        unsafe {
            match previous {
                Some(previous) => pg_sys::ffi::pg_guard_ffi_boundary(|| {
                    previous(
                        planned,
                        text,
                        read_only_tree,
                        context,
                        parameters,
                        environment,
                        destination,
                        completion,
                    );
                }),
                None => pg_sys::standard_ProcessUtility(
                    planned,
                    text,
                    read_only_tree,
                    context,
                    parameters,
                    environment,
                    destination,
                    completion,
                ),
            }
        }
    }

    /// Say that the statement is done, and with what.
    ///
    /// # Safety
    /// As [`UtilityCall::pass_on`].
    pub unsafe fn complete(self, tag: pg_sys::CommandTag::Type, rows: u64) {
        // SAFETY: null or live, by the caller.
        unsafe {
            if !self.completion.is_null() {
                (*self.completion).commandTag = tag;
                (*self.completion).nprocessed = rows;
            }
        }
    }
}
