-- +goose Up

-- The customer is to choose the TAN method and medium anew: the id of whatever wished for it last, the synchronization or a
-- restarted challenge.
ALTER TABLE synchronizations ADD COLUMN choose_method uuid;

-- Days of history that the client asks for; NULL: as far back as the bank gives.
ALTER TABLE synchronizations ADD COLUMN sync_period integer CHECK (sync_period BETWEEN 1 AND 3650);

-- The first day that the account was read for; NULL: as far back as the bank gives.
ALTER TABLE accounts ADD COLUMN read_from date;

-- RESTARTED: the client gave the question up, and the workflow has not begun another one yet. Then it is CLOSED.
ALTER TABLE challenges DROP CONSTRAINT challenges_status_check;
ALTER TABLE challenges ADD CONSTRAINT challenges_status_check CHECK (status IN ('OPEN', 'ANSWERED', 'RESTARTED', 'CLOSED'));
ALTER TABLE challenges ADD COLUMN restarted_at timestamptz;
ALTER TABLE challenges ADD COLUMN restart_choosing boolean; -- the restart was to be with a choice of the method
CREATE INDEX challenges_restarted ON challenges (restarted_at) WHERE status = 'RESTARTED';

-- The bank wants the customer at every login, as the adapter's state says.
ALTER TABLE accesses ADD COLUMN needs_user_each_time boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE accesses DROP COLUMN needs_user_each_time;
DROP INDEX challenges_restarted;
UPDATE challenges SET status = 'CLOSED' WHERE status = 'RESTARTED';
ALTER TABLE challenges DROP CONSTRAINT challenges_status_check;
ALTER TABLE challenges ADD CONSTRAINT challenges_status_check CHECK (status IN ('OPEN', 'ANSWERED', 'CLOSED'));
ALTER TABLE challenges DROP COLUMN restarted_at, DROP COLUMN restart_choosing;
ALTER TABLE accounts DROP COLUMN read_from;
ALTER TABLE synchronizations DROP COLUMN choose_method, DROP COLUMN sync_period;
