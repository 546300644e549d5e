-- Definitions: what is accepted, and what is refused at once with a hint.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION walwarden;
SELECT name, options FROM walwarden.storages;

-- Storages
SELECT walwarden.add_storage('second', 'file:///nowhere/walwarden');
SELECT walwarden.add_storage('second', 'file:///nowhere/walwarden');
SELECT walwarden.add_storage('bad', 'ftp://host/x');
SELECT walwarden.add_storage('bad', 'file://relative');
SELECT walwarden.add_storage('bad', 's3://bucket/prefix', '{"unknown": 1}');
SELECT walwarden.add_storage('bad', 's3://bucket/prefix', '{"part_size": -1}');
SELECT walwarden.add_storage('', 's3://bucket/prefix');
SELECT walwarden.add_storage(NULL, 's3://bucket/prefix');
SELECT walwarden.alter_storage('second', url => 's3://bucket/prefix', options => '{"region": "eu-central-1"}');
SELECT name, url, options FROM walwarden.storages WHERE name = 'second';
SELECT walwarden.alter_storage('third', url => 's3://bucket/prefix');
SELECT walwarden.add_storage('it''s "quoted"', 's3://bucket');
SELECT walwarden.drop_storage('it''s "quoted"');

-- Schedules
SELECT walwarden.schedule('nightly', '0 2 * * *', storage => 'second') > now() AS next_run_is_ahead;
SELECT walwarden.schedule('manual', '  ') IS NULL AS runs_by_hand;
SELECT walwarden.schedule('bad', '0 0 2 * * *');
SELECT walwarden.schedule('bad', '0 2 31 2 *');
SELECT walwarden.schedule('bad', '*/90 * * * *');
SELECT walwarden.schedule('bad', '0 2 * * *', 'Europe/Atlantis');
SELECT walwarden.schedule('bad', '0 2 * * *', storage => 'nowhere');
SELECT walwarden.pause('nightly');
SELECT walwarden.pause('weekly');
SELECT name, cron, time_zone, storage, enabled, next_run FROM walwarden.schedules ORDER BY name;
SELECT walwarden.resume('nightly');
SELECT walwarden.drop_storage('second');
SELECT walwarden.unschedule('nightly');
SELECT walwarden.unschedule('nightly');
SELECT walwarden.drop_storage('second');

-- Jobs
SELECT walwarden.run_now(storage => 'nowhere');
SELECT walwarden.run_now('nightly');
SELECT walwarden.wait_for('00000000-0000-0000-0000-000000000000');
SELECT walwarden.wait_for(NULL);
SELECT walwarden.cancel('00000000-0000-0000-0000-000000000000');
SELECT walwarden.manifest('00000000-0000-0000-0000-000000000000');
BEGIN;
CALL walwarden.backup();
ROLLBACK;
BEGIN;
SELECT walwarden.wait_for(walwarden.run_now(), '-1 second');
ROLLBACK;

-- Backups that only storage knows
SELECT * FROM walwarden.discover('nowhere', walwarden.public_key());
SELECT * FROM walwarden.discover(NULL, walwarden.public_key());
SELECT * FROM walwarden.discover('local', NULL);
SELECT * FROM walwarden.discover('local', 'no key');
SELECT * FROM walwarden.discover('local', walwarden.public_key());
SELECT * FROM walwarden.discovered_backups;

-- How to copy: checked when it is given
SELECT walwarden.run_now(jobs => 0);
SELECT walwarden.run_now(jobs => 65);
SELECT walwarden.run_now(jobs => -1);
SELECT walwarden.run_now(compression => 'zip');
SELECT walwarden.run_now(compression => 'gzip:10');
SELECT walwarden.run_now(compression => '');
SELECT walwarden.run_now(max_rate => '-1MB');
SELECT walwarden.run_now(max_rate => '0');
SELECT walwarden.run_now(max_rate => 'fast');
SELECT walwarden.schedule('odd', jobs => 0);
SELECT walwarden.schedule('odd', compression => 'lzma');
SELECT walwarden.schedule('odd', max_rate => '-5');
SELECT walwarden.schedule('odd', jobs => 3, compression => ' gzip:1 ', max_rate => '10 MB');
SELECT name, jobs, compression, max_rate FROM walwarden.schedules WHERE name = 'odd';
SELECT walwarden.unschedule('odd');
-- Only what pg_restore of this server reads
SELECT walwarden.run_now(compression => 'lz4:3');
SELECT walwarden.run_now(compression => 'zstd:23');

-- While nothing runs
SELECT * FROM walwarden.progress;
SELECT * FROM walwarden.waiting_sessions;
SELECT running_job, sessions_waiting, queued_jobs FROM walwarden.status;

-- Nobody who was not granted anything can do anything.
CREATE ROLE walwarden_nobody;
SET ROLE walwarden_nobody;
SELECT walwarden.run_now();
SELECT walwarden.discover('local', '');
SELECT count(*) FROM walwarden.jobs;
RESET ROLE;
DROP ROLE walwarden_nobody;

-- Every definition left its entry, and the chain holds.
SELECT seq, event, detail ->> 'name' AS name FROM walwarden.audit_chain ORDER BY seq;
SELECT * FROM walwarden.verify_audit_chain();
UPDATE walwarden.audit SET actor = 'somebody';
DELETE FROM walwarden.audit;
TRUNCATE walwarden.audit;
INSERT INTO walwarden.job (id, trigger, storages, requested_by, state)
    VALUES ('00000000-0000-0000-0000-000000000001', 'manual', '{local}', 'me', 'completed');
DROP EXTENSION walwarden;
