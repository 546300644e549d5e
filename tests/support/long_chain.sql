-- Heartbeats up to number :entries at the end of an audit chain, by its own rules: what decades leave behind.
DO $$
DECLARE
    head walwarden.audit_head;
    body text;
BEGIN
    SELECT * INTO head FROM walwarden.audit_head FOR UPDATE;
    FOR number IN head.seq + 1 .. :entries LOOP
        body := format('{"actor":"walwarden","at":"%s","detail":{"note":"%s"},"epoch":1,"event":"chain.heartbeat","prev":"%s","seq":%s}',
                       to_char(head.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), repeat('x', 150), encode(head.hash, 'hex'), number);
        head.hash := sha256('\x00'::bytea || convert_to(body, 'UTF8'));
        INSERT INTO walwarden.audit (seq, at, job_id, event, actor, body, hash)
            VALUES (number, head.at, NULL, 'chain.heartbeat', 'walwarden', body, head.hash);
    END LOOP;
    UPDATE walwarden.audit_head SET seq = :entries, hash = head.hash;
END $$
