-- +goose Up

-- What is old enough to be forgotten is found by these, and what is gone is in them no more (models/forgetting.go).
CREATE INDEX synchronization_events_first ON synchronization_events (created_at) WHERE number = 1;
CREATE INDEX synchronizations_ended ON synchronizations (ended_at) WHERE ended_at IS NOT NULL;

-- An account that goes takes its rows along, and must not look for them in everybody's.
CREATE INDEX synchronization_accounts_account ON synchronization_accounts (account_id);

-- +goose Down
DROP INDEX synchronization_accounts_account, synchronizations_ended, synchronization_events_first;
