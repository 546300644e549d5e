//! One-way message queues between the leader and a copier (`shm_mq`): back pressure and the peer's death come with
//! them.

use super::bgworker::Handle;
use super::segment::{ORDERS_QUEUE_BYTES, ROWS_QUEUE_BYTES, Segment};
use pgrx::pg_sys;
use walwarden_core::{Error, ErrorClass, Result};

/// The sending end.
#[derive(Debug)]
pub struct Sender(*mut pg_sys::shm_mq_handle);

/// The receiving end.
#[derive(Debug)]
pub struct Receiver(*mut pg_sys::shm_mq_handle);

/// What a receiver found.
pub enum Received<'a> {
    /// A whole message; valid until the next call.
    Message(&'a [u8]),
    /// Nothing yet: wait for the latch.
    Nothing,
    /// The sender is gone and everything it sent was read.
    Detached,
}

/// The leader's ends of a copier's queues, made before the copier starts.
pub fn leader_ends(segment: &Segment, copier: usize) -> Result<(Receiver, Sender)> {
    let (rows, orders) = segment.queues(copier).ok_or_else(no_queue)?;
    // SAFETY: both areas lie in the segment and nobody else uses them yet; the handles are allocated in
    // TopMemoryContext and live as long as the process.
    unsafe {
        let previous = pg_sys::MemoryContextSwitchTo(pg_sys::TopMemoryContext);
        let rows = pg_sys::shm_mq_create(rows.cast(), ROWS_QUEUE_BYTES);
        pg_sys::shm_mq_set_receiver(rows, pg_sys::MyProc);
        let orders = pg_sys::shm_mq_create(orders.cast(), ORDERS_QUEUE_BYTES);
        pg_sys::shm_mq_set_sender(orders, pg_sys::MyProc);
        let receiver = pg_sys::shm_mq_attach(rows, segment.raw(), std::ptr::null_mut());
        let sender = pg_sys::shm_mq_attach(orders, segment.raw(), std::ptr::null_mut());
        pg_sys::MemoryContextSwitchTo(previous);
        Ok((Receiver(receiver), Sender(sender)))
    }
}

/// The copier's ends.
pub fn copier_ends(segment: &Segment, copier: usize) -> Result<(Sender, Receiver)> {
    let (rows, orders) = segment.queues(copier).ok_or_else(no_queue)?;
    // SAFETY: the leader created both queues before it started this process; handles as in `leader_ends`.
    unsafe {
        let previous = pg_sys::MemoryContextSwitchTo(pg_sys::TopMemoryContext);
        let rows = rows.cast::<pg_sys::shm_mq>();
        pg_sys::shm_mq_set_sender(rows, pg_sys::MyProc);
        let orders = orders.cast::<pg_sys::shm_mq>();
        pg_sys::shm_mq_set_receiver(orders, pg_sys::MyProc);
        let sender = pg_sys::shm_mq_attach(rows, segment.raw(), std::ptr::null_mut());
        let receiver = pg_sys::shm_mq_attach(orders, segment.raw(), std::ptr::null_mut());
        pg_sys::MemoryContextSwitchTo(previous);
        Ok((Sender(sender), Receiver(receiver)))
    }
}

fn no_queue() -> Error {
    Error::internal("a copier has no queue")
}

impl Sender {
    /// Send one message, waiting while the queue is full. Interrupts are served, and raised, while it waits.
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        // SAFETY: the handle is live and the buffer outlives the call.
        let outcome = unsafe { send(self.0, message, false) };
        match outcome {
            pg_sys::shm_mq_result::SHM_MQ_SUCCESS => Ok(()),
            _ => Err(Error::new(ErrorClass::Lost, "the process at the other end of the queue is gone")),
        }
    }

    /// Send as much as fits. False: call again with the very same message after the latch was set.
    pub fn try_send(&mut self, message: &[u8]) -> Result<bool> {
        // SAFETY: as in `send`.
        let outcome = unsafe { send(self.0, message, true) };
        match outcome {
            pg_sys::shm_mq_result::SHM_MQ_SUCCESS => Ok(true),
            pg_sys::shm_mq_result::SHM_MQ_WOULD_BLOCK => Ok(false),
            _ => Err(Error::new(ErrorClass::Lost, "the process at the other end of the queue is gone")),
        }
    }

    /// Notice when the worker that should read never starts.
    pub fn watch(&mut self, worker: &Handle) {
        // SAFETY: both are live.
        unsafe { pg_sys::shm_mq_set_handle(self.0, worker.raw()) };
    }
}

/// `shm_mq_send`, flushing at once so that the reader is not left waiting.
///
/// # Safety
/// `handle` must be attached.
unsafe fn send(
    handle: *mut pg_sys::shm_mq_handle,
    message: &[u8],
    nowait: bool,
) -> pg_sys::shm_mq_result::Type {
    // SAFETY: the caller's handle is live and the buffer outlives the call.
    unsafe { pg_sys::shm_mq_send(handle, message.len(), message.as_ptr().cast(), nowait, true) }
}

impl Receiver {
    /// Take the next message if there is one.
    pub fn try_receive(&mut self) -> Received<'_> {
        // SAFETY: as in `receive_raw`.
        unsafe { self.receive_raw(true) }
    }

    /// Wait for the next message; interrupts are served, and raised, while it waits.
    pub fn receive(&mut self) -> Received<'_> {
        // SAFETY: as in `receive_raw`.
        unsafe { self.receive_raw(false) }
    }

    /// Notice when the worker that should write never starts.
    pub fn watch(&mut self, worker: &Handle) {
        // SAFETY: both are live.
        unsafe { pg_sys::shm_mq_set_handle(self.0, worker.raw()) };
    }

    /// # Safety
    /// The handle must be attached; the message borrows `self`, so it cannot outlive the next call.
    unsafe fn receive_raw(&mut self, nowait: bool) -> Received<'_> {
        let mut length: pg_sys::Size = 0;
        let mut data: *mut std::ffi::c_void = std::ptr::null_mut();
        // SAFETY: the handle is live; on success data points to length bytes, in the ring or in the handle's
        // buffer, valid until the next receive on this handle.
        unsafe {
            match pg_sys::shm_mq_receive(self.0, &raw mut length, &raw mut data, nowait) {
                pg_sys::shm_mq_result::SHM_MQ_SUCCESS => {
                    Received::Message(std::slice::from_raw_parts(data.cast::<u8>(), length))
                }
                pg_sys::shm_mq_result::SHM_MQ_WOULD_BLOCK => Received::Nothing,
                _ => Received::Detached,
            }
        }
    }
}
