-- Runs first. The schema is made here and nowhere else, without IF NOT EXISTS: a schema of that name made by
-- somebody else beforehand must stop the installation, or its owner could plant functions in it.
CREATE SCHEMA walwarden;
COMMENT ON SCHEMA walwarden IS 'backups of this database: jobs, schedules, storages, audit chain';

-- Every operator and function below is PostgreSQL's own; CREATE EXTENSION puts the path back when it is done.
SET LOCAL search_path = pg_catalog, pg_temp;
