-- +goose Up

-- What a person has given for one synchronization is forgotten when it ends: where he was, and what he answered.
-- The trigger lets nothing change after the end, this one time excepted.
ALTER TABLE synchronizations DISABLE TRIGGER edge;
UPDATE synchronizations SET psu = NULL WHERE ended_at IS NOT NULL AND psu IS NOT NULL;
ALTER TABLE synchronizations ENABLE TRIGGER edge;
ALTER TABLE synchronizations ADD CONSTRAINT synchronizations_psu_is_forgotten CHECK (ended_at IS NULL OR psu IS NULL);

-- That an answer is the same again is seen without it. One given before this migration counts as another one.
ALTER TABLE answers
    ALTER COLUMN value DROP NOT NULL,
    ADD COLUMN fingerprint bytea;            -- sealed: SHA-256 of the answer
UPDATE answers SET value = NULL WHERE challenge_id IN (
    SELECT c.id FROM challenges c JOIN synchronizations y ON y.id = c.sync_id WHERE y.ended_at IS NOT NULL);

-- +goose Down
DELETE FROM answers WHERE value IS NULL;
ALTER TABLE answers DROP COLUMN fingerprint, ALTER COLUMN value SET NOT NULL;
ALTER TABLE synchronizations DROP CONSTRAINT synchronizations_psu_is_forgotten;
