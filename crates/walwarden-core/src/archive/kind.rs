//! What an entry is to a restore of a part of an archive.

use super::toc::{TocEntry, desc};

/// How an entry stands to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What every archive has: no object, or the database itself and what is said about it.
    Archive,
    /// A table or a foreign table.
    Table,
    /// A view, materialized or not.
    View,
    /// Rows of a table, and statistics over rows.
    Rows,
    /// Belongs to an object and is nothing without it. What it needs itself comes with it.
    Property,
    /// Belongs to an object, and ties it to others maybe: left out when they are not there.
    Link,
    /// Any other object.
    Object,
}

impl Kind {
    pub(super) fn of(entry: &TocEntry) -> Self {
        match entry.desc.as_slice() {
            b"ENCODING" | b"STDSTRINGS" | b"SEARCHPATH" | desc::DATABASE | desc::DATABASE_PROPERTIES => {
                Self::Archive
            }
            desc::ACL | desc::COMMENT | desc::SECURITY_LABEL
                if entry.namespace.is_none() && entry.tag.starts_with(b"DATABASE ") =>
            {
                Self::Archive
            }
            desc::TABLE | desc::FOREIGN_TABLE => Self::Table,
            desc::VIEW | desc::MATERIALIZED_VIEW => Self::View,
            desc::TABLE_DATA | desc::STATISTICS_DATA => Self::Rows,
            // A view that needs a primary key is made empty at first, and by such a rule when the key is there.
            desc::RULE if entry.tag.ends_with(b" _RETURN") => Self::Property,
            // A policy is never left out for what it reads: rows would be seen that it hides.
            desc::ACL
            | desc::COMMENT
            | desc::SECURITY_LABEL
            | desc::SEQUENCE_SET
            | desc::CHECK_CONSTRAINT
            | desc::DEFAULT
            | desc::POLICY
            | desc::USER_MAPPING
            | b"SEQUENCE OWNED BY"
            | b"ROW SECURITY" => Self::Property,
            desc::CONSTRAINT
            | desc::FK_CONSTRAINT
            | desc::INDEX
            | desc::INDEX_ATTACH
            | desc::MATERIALIZED_VIEW_DATA
            | desc::RULE
            | desc::TABLE_ATTACH
            | desc::TRIGGER
            | b"PUBLICATION TABLE"
            | b"PUBLICATION TABLES IN SCHEMA"
            | b"STATISTICS"
            | b"SUBSCRIPTION TABLE" => Self::Link,
            _ => Self::Object,
        }
    }

    pub(super) fn is_relation(self) -> bool {
        matches!(self, Self::Table | Self::View)
    }

    /// Whether it comes and goes with what it belongs to.
    pub(super) fn is_part(self) -> bool {
        matches!(self, Self::Rows | Self::Property | Self::Link)
    }
}

/// Whether the entry is something said about a large object.
pub(super) fn is_about_large_object(entry: &TocEntry) -> bool {
    matches!(entry.desc.as_slice(), desc::ACL | desc::COMMENT | desc::SECURITY_LABEL)
        && entry.tag.starts_with(b"LARGE OBJECT")
}
