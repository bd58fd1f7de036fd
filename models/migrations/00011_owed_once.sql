-- +goose Up

-- What is owed for an access is looked for whenever something more is (models.Store.owe).
CREATE INDEX revocations_access ON revocations (access_id);

-- +goose Down
DROP INDEX revocations_access;
