//! The SQL files of the extension, in the order they run. All SQL is written by hand there, also that of the functions
//! in `api`: pgrx would make the schema with IF NOT EXISTS, which takes over a schema that somebody else made.

pgrx::extension_sql_file!("../sql/bootstrap.sql", name = "schema", bootstrap);
pgrx::extension_sql_file!("../sql/tables.sql", name = "tables", requires = ["schema"]);
pgrx::extension_sql_file!("../sql/functions.sql", name = "functions", requires = ["tables"]);
pgrx::extension_sql_file!("../sql/triggers.sql", name = "triggers", requires = ["functions"]);
pgrx::extension_sql_file!("../sql/keys.sql", name = "keys", requires = ["triggers"]);
pgrx::extension_sql_file!("../sql/views.sql", name = "views", requires = ["keys"]);
pgrx::extension_sql_file!("../sql/report.sql", name = "report", requires = ["views"]);
pgrx::extension_sql_file!("../sql/evidence.sql", name = "evidence", requires = ["report"]);
pgrx::extension_sql_file!("../sql/monitoring.sql", name = "monitoring", requires = ["evidence"]);
pgrx::extension_sql_file!("../sql/comments.sql", name = "comments", requires = ["monitoring"]);
pgrx::extension_sql_file!("../sql/install.sql", name = "install", requires = ["comments"]);
pgrx::extension_sql_file!("../sql/grants.sql", name = "grants", finalize);
