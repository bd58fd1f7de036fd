-- +goose Up

-- What is owed to banks: a relation that is over here has to be ended there, too. A row is written by the transaction
-- that ends the relation, and goes when the bank has done it. A deletion of access or user does not change what is owed.
DROP TABLE left_consents;
CREATE TABLE revocations (
    id               uuid PRIMARY KEY,       -- also the id of its workflow, with revoke- in front
    access_id        uuid NOT NULL,
    access_method_id uuid NOT NULL REFERENCES access_methods,  -- over which the bank is reached
    state            bytea NOT NULL,         -- sealed: the adapter's lasting state
    owed_until       timestamptz NOT NULL,   -- then the consent has ended by itself
    attempts         integer NOT NULL DEFAULT 0,
    attempted_at     timestamptz,
    created_at       timestamptz NOT NULL
);
CREATE INDEX revocations_age ON revocations (created_at);

-- Accesses that came from the same one stay known as such when that one is deleted: parted_from is the first of them.
ALTER TABLE accesses DROP CONSTRAINT accesses_parted_from_fkey;

-- An access that an upgrade left nothing to read has no other one before it, whatever becomes of its accounts.
CREATE OR REPLACE VIEW pending_upgrades AS
SELECT a.id AS access_id, a.access_method_id AS superseded_id, m.id AS access_method_id
FROM accesses a
JOIN access_methods o ON o.id = a.access_method_id
JOIN access_methods m ON m.id = o.superseded_by
WHERE o.superseded_from <= (now() AT TIME ZONE 'Europe/Berlin')::date
  AND a.status <> 'REVOKED'
  AND (NOT EXISTS (SELECT FROM accounts c WHERE c.access_id = a.id AND c.deleted_at IS NULL)
       OR EXISTS (SELECT FROM accounts c WHERE c.access_id = a.id AND c.deleted_at IS NULL AND c.supported
                  AND (NOT o.carries_rest OR m.supported_account_types = '{}' OR c.type = ANY (m.supported_account_types))));

-- +goose Down
CREATE OR REPLACE VIEW pending_upgrades AS
SELECT a.id AS access_id, a.access_method_id AS superseded_id, m.id AS access_method_id
FROM accesses a
JOIN access_methods o ON o.id = a.access_method_id
JOIN access_methods m ON m.id = o.superseded_by
WHERE o.superseded_from <= (now() AT TIME ZONE 'Europe/Berlin')::date
  AND (NOT EXISTS (SELECT FROM accounts c WHERE c.access_id = a.id AND c.deleted_at IS NULL)
       OR EXISTS (SELECT FROM accounts c WHERE c.access_id = a.id AND c.deleted_at IS NULL AND c.supported
                  AND (NOT o.carries_rest OR m.supported_account_types = '{}' OR c.type = ANY (m.supported_account_types))));
UPDATE accesses a SET parted_from = NULL WHERE NOT EXISTS (SELECT FROM accesses x WHERE x.id = a.parted_from);
ALTER TABLE accesses ADD CONSTRAINT accesses_parted_from_fkey FOREIGN KEY (parted_from) REFERENCES accesses ON DELETE SET NULL;
DROP TABLE revocations;
CREATE TABLE left_consents (
    id               uuid PRIMARY KEY,
    access_id        uuid NOT NULL,
    access_method_id uuid NOT NULL REFERENCES access_methods,
    state            bytea NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX left_consents_age ON left_consents (created_at);
