//! Notifications by webhook: which events there are, what a message says in each receiver's format and how it is signed,
//! when it is tried again, where it may go, and the sending itself. No PostgreSQL, no clock.
#![forbid(unsafe_code)]

pub mod backoff;
pub mod event;
pub mod notification;
pub mod payload;
pub mod receiver;
pub mod signature;
pub mod target;

pub use backoff::{Next, Scope};
pub use event::Severity;
pub use notification::Notification;
pub use payload::Format;
pub use receiver::{Failure, Receiver};
pub use signature::Secret;
pub use target::Target;
