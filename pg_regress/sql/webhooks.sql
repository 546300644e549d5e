-- Webhooks: what is accepted, what is refused at once with a hint, and who may see or do what.
SET client_min_messages = warning;
BEGIN;
CREATE EXTENSION walwarden;
-- Whether this machine's disk is full is not for here.
UPDATE walwarden.watch SET storages_at = now();
COMMIT;
SELECT walwarden.schedule('nightly') IS NULL AS runs_by_hand;

SELECT walwarden.add_webhook('ops', 'https://hooks.example.com/backups');
SELECT walwarden.add_webhook('ops', 'https://hooks.example.com/backups');
SELECT walwarden.add_webhook('signed', 'https://Hooks.Example.com:8443/backups', profile => 'ops', events => '{verify.*,rpo.met}',
                             schedules => '{nightly}');
SELECT walwarden.add_webhook('chat', format => 'slack', profile => 'chat');
SELECT name, format, host, profile, signed, events, schedules, waiting, failures FROM walwarden.webhooks ORDER BY name;

-- No secret in SQL, and no URL that may be one
SELECT walwarden.add_webhook('bad', 'https://hooks.slack.com/services/T/B/secret', 'slack');
SELECT walwarden.add_webhook('bad', 'https://discord.com/api/webhooks/1/secret', 'discord');
SELECT walwarden.add_webhook('bad', 'https://user:secret@hooks.example.com/');
SELECT walwarden.add_webhook('bad', 'https://hooks.example.com/?token=secret');
SELECT walwarden.add_webhook('bad', 'https://hooks.example.com/#secret');
-- Nowhere but the internet, by https
SELECT walwarden.add_webhook('bad', 'http://hooks.example.com/');
SELECT walwarden.add_webhook('bad', 'https://127.0.0.1/');
SELECT walwarden.add_webhook('bad', 'https://[fd00:ec2::254]/');
SELECT walwarden.add_webhook('bad', 'https://0xa9fea9fe/');
SELECT walwarden.add_webhook('bad', 'ftp://hooks.example.com/');
-- What does not exist
SELECT walwarden.add_webhook('bad', 'https://hooks.example.com/', 'email');
SELECT walwarden.add_webhook('bad', 'https://hooks.example.com/', events => '{backup.done}');
SELECT walwarden.add_webhook('bad', 'https://hooks.example.com/', events => '{}');
SELECT walwarden.add_webhook('bad', 'https://hooks.example.com/', events => '{backup.failed,NULL}');
SELECT walwarden.add_webhook('bad', 'https://hooks.example.com/', schedules => '{weekly}');
SELECT walwarden.add_webhook('bad');
SELECT walwarden.add_webhook('bad', format => 'teams');
SELECT walwarden.add_webhook('', 'https://hooks.example.com/');
SELECT walwarden.add_webhook(NULL, 'https://hooks.example.com/');

SELECT walwarden.alter_webhook('ops', events => '{test}');
SELECT walwarden.alter_webhook('ops', format => 'slack');
SELECT walwarden.alter_webhook('ops', url => '');
SELECT walwarden.alter_webhook('signed', schedules => '{}', profile => '');
SELECT walwarden.alter_webhook('nothing', events => '{test}');
SELECT name, format, host, profile, signed, events, schedules FROM walwarden.webhooks ORDER BY name;
SELECT * FROM walwarden.send_test_notification('nothing');
-- There is no credentials file.
SELECT * FROM walwarden.send_test_notification('chat');
SELECT walwarden.drop_webhook('chat');
SELECT walwarden.drop_webhook('chat');
SELECT * FROM walwarden.notifications;

-- pg_monitor sees them; nobody else sees or does anything.
CREATE ROLE walwarden_watcher IN ROLE pg_monitor;
SET ROLE walwarden_watcher;
SELECT name, signed FROM walwarden.webhooks ORDER BY name;
SELECT count(*) FROM walwarden.notifications;
SELECT url FROM walwarden.webhook;
SELECT walwarden.drop_webhook('ops');
SELECT walwarden._alert('test', NULL, NULL, 'info', '', '{}');
SHOW walwarden.webhook_allow;
RESET ROLE;
CREATE ROLE walwarden_nobody;
SET ROLE walwarden_nobody;
SELECT count(*) FROM walwarden.webhooks;
SELECT * FROM walwarden.send_test_notification();
RESET ROLE;
DROP ROLE walwarden_watcher, walwarden_nobody;

-- The audit chain names hosts, and no path.
SELECT event, detail FROM walwarden.audit_chain WHERE event LIKE 'webhook.%' ORDER BY seq;
SELECT ok FROM walwarden.verify_audit_chain();
DROP EXTENSION walwarden;
