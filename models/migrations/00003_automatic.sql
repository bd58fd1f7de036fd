-- +goose Up

-- Every access has a time at which automatic synchronization looks at it next, whether it may be synchronized then or
-- not: what is due is found by one index, and whether it may run is decided when it is due (models/automatic.go).
ALTER TABLE accesses
    ADD COLUMN next_sync_at      timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN auto_failures     integer NOT NULL DEFAULT 0,    -- of automatic synchronizations since one of any kind succeeded
    ADD COLUMN stopped_by        text CHECK (stopped_by IN ('WRONG_CREDENTIALS', 'USER_ACTION_REQUIRED')),  -- until a manual one succeeds
    ADD COLUMN upgrade_announced uuid;                          -- the access method whose coming its owner was told of
CREATE INDEX accesses_due ON accesses (bank_id, next_sync_at) WHERE deleted_at IS NULL;

-- Unattended reads are what banks count: at most four of an access in any 24 hours (RTS Art. 36(5)(b)). One counts from
-- its beginning until 24 hours after its end.
ALTER TABLE synchronizations ADD COLUMN unattended boolean NOT NULL DEFAULT false;
CREATE INDEX synchronizations_unattended ON synchronizations (access_id, ended_at) WHERE unattended;
CREATE INDEX synchronizations_automatic ON synchronizations (access_id) WHERE trigger = 'AUTO' AND ended_at IS NULL;

-- Owners hear of a consent's end seven days ahead, once for every end.
ALTER TABLE consents ADD COLUMN warned_of timestamptz;          -- the valid_until that the owner was warned of
CREATE INDEX consents_unwarned ON consents (valid_until) WHERE status = 'VALID' AND warned_of IS DISTINCT FROM valid_until;
CREATE INDEX consents_ending ON consents (valid_until) WHERE status = 'VALID';

-- +goose Down
DROP INDEX consents_ending, consents_unwarned, synchronizations_automatic, synchronizations_unattended, accesses_due;
ALTER TABLE consents DROP COLUMN warned_of;
ALTER TABLE synchronizations DROP COLUMN unattended;
ALTER TABLE accesses DROP COLUMN upgrade_announced, DROP COLUMN stopped_by, DROP COLUMN auto_failures, DROP COLUMN next_sync_at;
