-- Last: what this database is, and the default storage.
SELECT walwarden._install();
-- Tables of a row or a few that nothing has counted are taken for a thousand: views on them then seem dear enough to be compiled,
-- which costs more than they do. Autovacuum has no reason to come.
ANALYZE walwarden.database, walwarden.schedule, walwarden.storage;
