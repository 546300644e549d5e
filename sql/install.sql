-- Last: what this database is, and the default storage.
SELECT walwarden._install();
