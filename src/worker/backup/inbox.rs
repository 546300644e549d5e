//! What the copiers send, put in order. A copier may be ahead of the piece that is due; what it sends is kept here until its
//! turn, up to a limit. Beyond it only the copier with the due piece is listened to: the others wait at their full queues.

use super::archive::{copier_gone, unexpected};
use crate::pg::bgworker::{Handle, Status};
use crate::pg::queue::{Received, Receiver};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use walwarden_core::Result;
use walwarden_core::archive::PieceSummary;
use walwarden_core::encoder::Encoder;
use walwarden_core::message::CopierMessage;

/// The copiers' queues and what is ahead of its turn.
pub struct Inbox {
    copiers: Vec<Copier>,
    ahead: BTreeMap<u32, Ahead>,
    /// Bytes in `ahead`.
    held: u64,
    limit: u64,
}

struct Copier {
    rows: Receiver,
    process: Handle,
    /// Seen to have ended: what it left is read at once, for it may be an error.
    stopped: bool,
    /// The piece it is sending, if its last message was of one and did not end it.
    piece: Option<u32>,
    finished: bool,
}

#[derive(Default)]
struct Ahead {
    chunks: VecDeque<Bytes>,
    end: Option<(PieceSummary, Encoder)>,
}

/// What came of the piece that is due.
pub enum Arrival {
    /// Its next bytes.
    Bytes(Bytes),
    /// Its end, and who wrote its rows.
    End(PieceSummary, Encoder),
    /// Nothing yet: wait for the latch.
    Nothing,
}

impl Inbox {
    /// Of these copiers; it keeps at most `limit` bytes, and one message of each copier, that are not due.
    pub fn new(queues: Vec<(Receiver, Handle)>, limit: u64) -> Self {
        let copier = |(rows, process)| Copier { rows, process, stopped: false, piece: None, finished: false };
        Self { copiers: queues.into_iter().map(copier).collect(), ahead: BTreeMap::new(), held: 0, limit }
    }

    /// Look whether a copier that has to wait for its turn has ended meanwhile.
    pub fn look_for_the_dead(&mut self) {
        for copier in self.copiers.iter_mut().filter(|copier| !copier.finished) {
            copier.stopped = copier.process.status() == Status::Stopped;
        }
    }

    /// What came next of this piece.
    pub fn take(&mut self, piece: u32) -> Result<Arrival> {
        loop {
            if let Some(kept) = self.ahead.get_mut(&piece) {
                if let Some(bytes) = kept.chunks.pop_front() {
                    self.held -= bytes.len() as u64;
                    return Ok(Arrival::Bytes(bytes));
                }
                if let Some((summary, encoder)) = kept.end.take() {
                    self.ahead.remove(&piece);
                    return Ok(Arrival::End(summary, encoder));
                }
            }
            if !self.read(piece)? {
                return Ok(Arrival::Nothing);
            }
        }
    }

    /// Whether every copier has said that it is done.
    pub fn all_finished(&mut self) -> Result<bool> {
        while self.read(u32::MAX)? {}
        Ok(self.copiers.iter().all(|copier| copier.finished))
    }

    /// Read what there is, at most one message of each copier; false when there was nothing.
    fn read(&mut self, due: u32) -> Result<bool> {
        let mut any = false;
        for copier in &mut self.copiers {
            let is_ahead = copier.piece.is_some_and(|piece| piece != due);
            if copier.finished || (is_ahead && self.held >= self.limit && !copier.stopped) {
                continue;
            }
            let message = match copier.rows.try_receive() {
                Received::Nothing => continue,
                Received::Detached => return Err(copier_gone()),
                Received::Message(bytes) => CopierMessage::decode(bytes)?,
            };
            any = true;
            match message {
                CopierMessage::PieceBytes { piece, bytes } => {
                    copier.piece = Some(piece);
                    self.held += bytes.len() as u64;
                    self.ahead.entry(piece).or_default().chunks.push_back(Bytes::copy_from_slice(bytes));
                }
                CopierMessage::PieceEnd { piece, summary, encoder } => {
                    copier.piece = None;
                    self.ahead.entry(piece).or_default().end = Some((summary, encoder));
                }
                CopierMessage::Finished => copier.finished = true,
                other => return Err(unexpected(other)),
            }
        }
        Ok(any)
    }
}
