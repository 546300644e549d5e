//! What a job does, as its columns `kind, jobs, compression, max_rate, backup, depth, options` have it.

use crate::pg::sql::Row;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use walwarden_core::archive::{Selection, TableName};
use walwarden_core::backup_options::BackupOptions;
use walwarden_core::job::{Depth, JobKind};
use walwarden_core::{Error, Result};

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Back the database up.
    Backup(BackupOptions),
    /// Compare a backup with its manifest.
    Verify {
        /// The job that made it.
        backup: Uuid,
        /// How much of it.
        depth: Depth,
        /// With what.
        order: VerifyOrder,
    },
    /// Bring a backup, or one table of it, back.
    Restore {
        /// The job that made it.
        backup: Uuid,
        /// What of it, and where to.
        order: RestoreOrder,
    },
    /// Copy a backup into the storage of the job.
    Copy {
        /// The job that made it.
        backup: Uuid,
    },
    /// Bring a backup back into a database that goes again, to see that it can be done.
    RestoreTest {
        /// The job that made it.
        backup: Uuid,
        /// What is looked at then.
        order: TestOrder,
    },
}

/// What a verification is given. As JSON in `job.options`, which is NULL where it is given nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyOrder {
    /// Path of the identity file that decrypts the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_file: Option<String>,
}

/// What is brought back. As JSON in `job.options`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RestoreOrder {
    /// A database.
    Database(DatabaseOrder),
    /// One table, into the database of the job.
    Table(TableOrder),
}

/// A backup into a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseOrder {
    /// The name of the database.
    pub database: String,
    /// Replace a database that has the name.
    #[serde(default)]
    pub overwrite: bool,
    /// Rows into the tables of a database that is there.
    #[serde(default)]
    pub data_only: bool,
    /// How.
    #[serde(flatten)]
    pub choices: Choices,
}

/// What a restore brings back of a backup, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choices {
    /// Loaders; as many as processors if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<i32>,
    /// With the owners of objects.
    pub owner: bool,
    /// With privileges.
    pub privileges: bool,
    /// In the tablespaces.
    pub tablespaces: bool,
    /// With the roles and tablespaces that are missing here.
    pub globals: bool,
    /// Definitions without rows.
    pub schema_only: bool,
    /// Path of the identity file that decrypts the backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_file: Option<String>,
    /// Which schemas and tables.
    #[serde(flatten)]
    pub selection: Selection,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            jobs: None,
            owner: true,
            privileges: true,
            tablespaces: true,
            globals: false,
            schema_only: false,
            identity_file: None,
            selection: Selection::default(),
        }
    }
}

/// One table of a backup into a new table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableOrder {
    /// The table in the backup.
    pub table: TableName,
    /// The table to make.
    pub into: TableName,
    /// Path of the identity file that decrypts the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_file: Option<String>,
}

/// What is looked at when a backup was brought back. As JSON in `job.options`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestOrder {
    /// Loaders; as many as processors if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<i32>,
    /// The role that asks the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// A query that is asked there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smoke: Option<String>,
    /// What it must answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    /// Path of the identity file that decrypts the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_file: Option<String>,
}

/// A task as the columns of its job, all as text.
#[derive(Debug, Default)]
pub struct Columns {
    pub jobs: Option<String>,
    pub compression: Option<String>,
    pub max_rate: Option<String>,
    pub backup: Option<String>,
    pub depth: Option<&'static str>,
    pub options: Option<String>,
}

impl Task {
    /// Its kind.
    pub const fn kind(&self) -> JobKind {
        match self {
            Self::Backup(_) => JobKind::Backup,
            Self::Verify { .. } => JobKind::Verify,
            Self::Restore { .. } => JobKind::Restore,
            Self::RestoreTest { .. } => JobKind::RestoreTest,
            Self::Copy { .. } => JobKind::Copy,
        }
    }

    /// For a new job.
    pub fn to_columns(&self) -> Result<Columns> {
        Ok(match self {
            Self::Backup(options) => Columns {
                jobs: options.jobs.map(|jobs| jobs.to_string()),
                compression: options.compression.clone(),
                max_rate: options.max_rate.map(|rate| rate.to_string()),
                options: Some(write(options)?),
                ..Columns::default()
            },
            Self::Verify { backup, depth, order } => {
                let mut columns = about(*backup, None, order)?;
                columns.depth = Some(depth.name());
                columns.options = columns.options.filter(|_| *order != VerifyOrder::default());
                columns
            }
            Self::Restore { backup, order } => {
                let jobs = match order {
                    RestoreOrder::Database(order) => order.choices.jobs,
                    RestoreOrder::Table(_) => None,
                };
                about(*backup, jobs, order)?
            }
            Self::RestoreTest { backup, order } => about(*backup, order.jobs, order)?,
            Self::Copy { backup } => Columns { backup: Some(backup.to_string()), ..Columns::default() },
        })
    }

    /// From the same columns and the kind, which begin at `index`.
    pub fn from_row(row: &Row, index: usize) -> Result<Self> {
        let backup = || row.parse(index + 4);
        Ok(match row.parse(index)? {
            JobKind::Backup => Self::Backup(read(row, index + 6)?),
            JobKind::Verify => Self::Verify {
                backup: backup()?,
                depth: row.parse(index + 5)?,
                order: if row.get(index + 6).is_some() {
                    read(row, index + 6)?
                } else {
                    VerifyOrder::default()
                },
            },
            JobKind::Restore => Self::Restore { backup: backup()?, order: read(row, index + 6)? },
            JobKind::RestoreTest => Self::RestoreTest { backup: backup()?, order: read(row, index + 6)? },
            JobKind::Copy => Self::Copy { backup: backup()? },
        })
    }
}

fn about(backup: Uuid, jobs: Option<i32>, order: &impl Serialize) -> Result<Columns> {
    Ok(Columns {
        jobs: jobs.map(|jobs| jobs.to_string()),
        backup: Some(backup.to_string()),
        options: Some(write(order)?),
        ..Columns::default()
    })
}

fn write(options: &impl Serialize) -> Result<String> {
    serde_json::to_string(options)
        .map_err(|cause| Error::internal(format!("a job's options cannot be written: {cause}")))
}

fn read<T: DeserializeOwned>(row: &Row, index: usize) -> Result<T> {
    serde_json::from_str(&row.text(index)?)
        .map_err(|cause| Error::internal(format!("a job's options cannot be read: {cause}")))
}
