-- +goose Up

-- Which accesses have an upgrade before them, to which method, and from when on: that is for whoever asks to compare with
-- his clock. It is read, not stored, so that it is right at every moment: when the day comes, when an operator changes his
-- mind, and when the upgrade is done. An access that an upgrade left nothing to read has no other one before it, nor has
-- one none of whose accounts would change its method or its fate.
CREATE OR REPLACE VIEW pending_upgrades AS
SELECT a.id AS access_id, a.access_method_id AS superseded_id, m.id AS access_method_id,
       o.superseded_from::timestamp AT TIME ZONE 'Europe/Berlin' AS superseded_from  -- the day begins in the banks' country
FROM accesses a
JOIN access_methods o ON o.id = a.access_method_id
JOIN access_methods m ON m.id = o.superseded_by
WHERE a.status <> 'REVOKED'
  AND (NOT EXISTS (SELECT FROM accounts c WHERE c.access_id = a.id AND c.deleted_at IS NULL)
       OR EXISTS (SELECT FROM accounts c WHERE c.access_id = a.id AND c.deleted_at IS NULL AND c.supported
                  AND (NOT o.carries_rest OR m.supported_account_types = '{}' OR c.type = ANY (m.supported_account_types))));

-- A synchronization is under way as long as it has no end (the checks of the table say that this is the same as not being
-- COMPLETED or FAILED), and an index serves only queries that say so in its own words.
DROP INDEX synchronizations_one_active, synchronizations_open;
CREATE UNIQUE INDEX synchronizations_one_active ON synchronizations (access_id) WHERE ended_at IS NULL;
CREATE INDEX synchronizations_open ON synchronizations (created_at, id) WHERE ended_at IS NULL;

-- +goose Down
DROP INDEX synchronizations_one_active, synchronizations_open;
CREATE UNIQUE INDEX synchronizations_one_active ON synchronizations (access_id)
    WHERE status IN ('QUEUED', 'RUNNING', 'AWAIT_AUTH');
CREATE INDEX synchronizations_open ON synchronizations (created_at)
    WHERE status IN ('QUEUED', 'RUNNING', 'AWAIT_AUTH');
DROP VIEW pending_upgrades;
CREATE VIEW pending_upgrades AS
SELECT a.id AS access_id, a.access_method_id AS superseded_id, m.id AS access_method_id
FROM accesses a
JOIN access_methods o ON o.id = a.access_method_id
JOIN access_methods m ON m.id = o.superseded_by
WHERE o.superseded_from <= (now() AT TIME ZONE 'Europe/Berlin')::date
  AND a.status <> 'REVOKED'
  AND (NOT EXISTS (SELECT FROM accounts c WHERE c.access_id = a.id AND c.deleted_at IS NULL)
       OR EXISTS (SELECT FROM accounts c WHERE c.access_id = a.id AND c.deleted_at IS NULL AND c.supported
                  AND (NOT o.carries_rest OR m.supported_account_types = '{}' OR c.type = ANY (m.supported_account_types))));
