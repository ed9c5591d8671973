-- Layout 1. Every statement here must leave a binary of the layout before working: only add.

CREATE TABLE mayday_entries (
    -- Byte order, as the store promises.
    key text COLLATE "C" PRIMARY KEY,
    revision bigint NOT NULL,
    -- The bytes as they came: `json` keeps its text, and plain SQL reads it. What is no JSON stands in `bytes`.
    json json,
    bytes bytea,
    CHECK ((json IS NULL) <> (bytes IS NULL))
) WITH (fillfactor = 85);
COMMENT ON TABLE mayday_entries IS 'Mayday''s records. Read them freely; write them only through Mayday.';

-- One row: whoever has changed it comes before everyone who has not.
CREATE TABLE mayday_head (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    last bigint NOT NULL,
    layout integer NOT NULL,
    -- Changes up to this revision have been forgotten.
    forgotten bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);
INSERT INTO mayday_head (last, layout) VALUES (0, 1);

-- What the last minutes' groups of commits touched, for the other replicas' watches and for asking again after a lost answer.
CREATE TABLE mayday_changes (
    id uuid PRIMARY KEY,
    revision bigint NOT NULL,
    writer uuid NOT NULL,
    -- The revision before the group's first; none where the group was refused.
    base bigint,
    prefixes text[] NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX mayday_changes_revision ON mayday_changes (revision);
CREATE INDEX mayday_changes_at ON mayday_changes (at);

-- A group of commits in one call, so that no lock is ever held while a client (which may be frozen) is waited for.
-- The first statement takes the head's row lock; in READ COMMITTED each later one sees all that was committed before it.
CREATE FUNCTION mayday_commit(
    in_id uuid, in_writer uuid, in_layout integer, in_count bigint,
    need_keys text[], need_revisions bigint[],
    put_keys text[], put_at bigint[], put_json text[], put_bytes bytea[],
    gone_keys text[], in_prefixes text[],
    OUT out_base bigint, OUT out_wrong text[], OUT out_found bigint[]
) LANGUAGE plpgsql AS $$
DECLARE
    newest integer;
    upto bigint;
BEGIN
    UPDATE mayday_head SET last = last + in_count RETURNING last, layout INTO upto, newest;
    IF newest > in_layout + 1 THEN
        RAISE EXCEPTION USING ERRCODE = 'MD001', MESSAGE = newest::text;
    END IF;
    SELECT c.base INTO out_base FROM mayday_changes c WHERE c.id = in_id;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT array_agg(n.key), array_agg(n.found) INTO out_wrong, out_found FROM (
        SELECT u.key, u.wanted, (SELECT e.revision FROM mayday_entries e WHERE e.key = u.key) AS found
        FROM unnest(need_keys, need_revisions) AS u(key, wanted)
    ) n WHERE n.found IS DISTINCT FROM n.wanted;
    IF out_wrong IS NOT NULL THEN
        INSERT INTO mayday_changes (id, revision, writer, base, prefixes) VALUES (in_id, upto, in_writer, NULL, '{}');
        RETURN;
    END IF;
    out_base := upto - in_count;
    IF cardinality(put_keys) > 0 THEN
        INSERT INTO mayday_entries AS e (key, revision, json, bytes)
        SELECT u.key, upto - in_count + u.at, u.json::json, u.bytes
        FROM unnest(put_keys, put_at, put_json, put_bytes) AS u(key, at, json, bytes)
        ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, json = excluded.json, bytes = excluded.bytes;
    END IF;
    IF cardinality(gone_keys) > 0 THEN
        DELETE FROM mayday_entries e WHERE e.key = ANY (gone_keys);
    END IF;
    INSERT INTO mayday_changes (id, revision, writer, base, prefixes)
    VALUES (in_id, upto, in_writer, out_base, in_prefixes);
END $$;

-- Every record: `data` is what Mayday says, `version` the shape's.
CREATE VIEW mayday_records AS
SELECT key, revision, (json ->> 'v')::integer AS version, json -> 'd' AS data
FROM mayday_entries WHERE json IS NOT NULL;

CREATE VIEW mayday_incidents AS
SELECT d ->> 'id' AS id,
       d ->> 'phase' AS phase,
       d ->> 'severity' AS severity,
       d ->> 'service' AS service,
       d ->> 'team' AS team,
       d ->> 'alert_name' AS alert_name,
       d ->> 'description' AS description,
       d #>> '{channel,chat}' AS chat,
       d #>> '{channel,name}' AS channel,
       d ->> 'commander' AS commander,
       (d ->> 'firing')::bigint AS firing,
       (d ->> 'alerts')::bigint AS alerts,
       (d ->> 'started_at')::timestamptz AS started_at,
       (d ->> 'opened_at')::timestamptz AS opened_at,
       (d ->> 'acknowledged_at')::timestamptz AS acknowledged_at,
       (d ->> 'resolved_at')::timestamptz AS resolved_at,
       d AS data
FROM (SELECT key, json -> 'd' AS d FROM mayday_entries WHERE key >= 'incident/' AND key < 'incident0') AS incident
ORDER BY key;

-- As of the newest folded status; single steps since then stand in the journal, `run-event/<number>/…`.
CREATE VIEW mayday_runs AS
SELECT d #>> '{head,run}' AS id,
       CASE WHEN d ->> 'ended' IS NOT NULL THEN 'ended'
            WHEN d ->> 'paused' IS NOT NULL THEN 'paused'
            WHEN d ->> 'ask' IS NOT NULL THEN 'waiting'
            ELSE 'open' END AS state,
       d #>> '{ended,outcome}' AS outcome,
       d #>> '{ended,why}' AS why,
       d #>> '{head,playbook}' AS playbook,
       d #>> '{head,playbook_name}' AS playbook_name,
       d #>> '{head,version}' AS version,
       d #>> '{head,incident}' AS incident,
       d #> '{head,by}' AS requested_by,
       d #> '{head,parameters}' AS parameters,
       (d #>> '{head,at}')::timestamptz AS proposed_at,
       (d ->> 'at')::timestamptz AS changed_at,
       (d #>> '{ended,at}')::timestamptz AS ended_at,
       d AS data
FROM (SELECT key, json -> 'd' AS d FROM mayday_entries WHERE key >= 'run/' AND key < 'run0') AS run
ORDER BY key;

CREATE VIEW mayday_audit AS
SELECT split_part(link.key, '/', 2) AS chain,
       (link.json #>> '{d,seq}')::bigint AS seq,
       (link.json #>> '{d,at}')::timestamptz AS at,
       payload.json #> '{d,actor}' AS actor,
       payload.json #>> '{d,action}' AS action,
       payload.json #>> '{d,subject}' AS subject,
       payload.json #> '{d,detail}' AS detail,
       payload.json #> '{d,right}' AS "right",
       link.json #>> '{d,hash}' AS hash
FROM mayday_entries AS link
LEFT JOIN mayday_entries AS payload
       ON payload.key = 'audit-payload/' || substr(link.key, length('audit/') + 1)
WHERE link.key >= 'audit/' AND link.key < 'audit0'
ORDER BY link.key;
