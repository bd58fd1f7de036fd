-- +goose Up

-- An access method that another one supersedes: from that day on, its accesses are upgraded by the next synchronization
-- that a client starts.
ALTER TABLE access_methods
    ADD COLUMN superseded_by   uuid REFERENCES access_methods,
    ADD COLUMN superseded_from date,
    ADD COLUMN carries_rest    boolean NOT NULL DEFAULT true,  -- superseded: still reads what the other one does not
    ADD CHECK ((superseded_by IS NULL) = (superseded_from IS NULL)),
    ADD CHECK (superseded_by <> id);

-- Which accesses have an upgrade before them, and to which method. It is read, not stored, so that it is right at every
-- moment: when the day comes, when an operator changes his mind, and when the upgrade is done. An access none of whose
-- accounts would change its method or its fate has none.
CREATE VIEW pending_upgrades AS
SELECT a.id AS access_id, a.access_method_id AS superseded_id, m.id AS access_method_id
FROM accesses a
JOIN access_methods o ON o.id = a.access_method_id
JOIN access_methods m ON m.id = o.superseded_by
WHERE o.superseded_from <= (now() AT TIME ZONE 'Europe/Berlin')::date
  AND (NOT EXISTS (SELECT FROM accounts c WHERE c.access_id = a.id AND c.deleted_at IS NULL)
       OR EXISTS (SELECT FROM accounts c WHERE c.access_id = a.id AND c.deleted_at IS NULL AND c.supported
                  AND (NOT o.carries_rest OR m.supported_account_types = '{}' OR c.type = ANY (m.supported_account_types))));

-- The access that an access's accounts were parted from by an upgrade: each of the two leaves the other's alone.
ALTER TABLE accesses ADD COLUMN parted_from uuid REFERENCES accesses ON DELETE SET NULL;
CREATE INDEX accesses_parted_from ON accesses (parted_from) WHERE parted_from IS NOT NULL;

-- What upgraded accesses leave behind at their banks, until it is revoked there. A deletion of the access does not
-- change what is owed.
CREATE TABLE left_consents (
    id               uuid PRIMARY KEY,
    access_id        uuid NOT NULL,
    access_method_id uuid NOT NULL REFERENCES access_methods,  -- over which it was granted
    state            bytea NOT NULL,                           -- sealed: login and the adapter's lasting state
    created_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX left_consents_age ON left_consents (created_at);

-- +goose Down
DROP TABLE left_consents;
DROP INDEX accesses_parted_from;
ALTER TABLE accesses DROP COLUMN parted_from;
DROP VIEW pending_upgrades;
ALTER TABLE access_methods DROP COLUMN superseded_by, DROP COLUMN superseded_from, DROP COLUMN carries_rest;
