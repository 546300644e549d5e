//! pg_dump's custom archive format, read and written.
//!
//! An archive is a header, a table of contents (TOC) and one data block per entry that has data, in TOC
//! order. The TOC is always pg_dump's own: it is read here, edited in a few places and written back. The data
//! is ours: each table's rows come as independently compressed *pieces*, which the [`Assembler`] joins to the
//! one compressed stream a stock pg_restore expects.
//!
//! Source of the format: src/bin/pg_dump/pg_backup_archiver.c and pg_backup_custom.c. Nothing here knows
//! where the bytes come from or go to.

mod adler32;
mod assembler;
mod chunk;
mod closure;
mod compression;
mod copy_rows;
mod definition;
mod deflate;
mod edit;
mod filtered;
mod graph;
mod header;
mod inflate;
mod kind;
mod load;
mod lz4_decoder;
mod lz4_encoder;
mod lz4_format;
mod one_table;
mod payload;
mod piece;
mod plaintext;
mod plan;
mod primitive;
mod reader;
mod rename;
mod rows_only;
mod sections;
mod selection;
mod source;
mod split;
pub mod statement;
mod stream;
mod table_load;
mod toc;
mod token;
pub(crate) mod wire;
mod zstd_decoder;
mod zstd_encoder;

pub use adler32::adler32_combine;
pub use assembler::{Assembler, BlockIndex, PieceIndex};
pub use chunk::CHUNK_LENGTH;
pub use compression::{Algorithm, Compression};
pub use copy_rows::{CopyRows, Row};
pub use definition::QualifiedName;
pub use edit::{LeftOut, leave_out_extension, wait_for_descendants};
pub use header::{ArchiveHeader, FormatVersion, LocalTime};
pub use load::{LoadBatch, LoadPlan, LoadedPiece, LoadedTable};
pub use one_table::TableEntries;
pub use piece::{PieceEncoder, PieceSummary};
pub use plaintext::BlockPlaintext;
pub use plan::{Blocks, PiecePlan, PlannedPiece, PlannedTable};
pub use reader::{ArchiveReader, BlockStart, MAX_CHUNK_LENGTH, first_chunk};
pub use rename::rename_database;
pub use rows_only::check_rows;
pub use selection::{Selection, TableName};
pub use split::{PIECE_BYTES, TableSize, split};
pub use table_load::TableLoad;
pub use toc::{DataOffset, OffsetState, Section, Toc, TocEntry, desc};

#[cfg(test)]
pub(crate) mod tests;
