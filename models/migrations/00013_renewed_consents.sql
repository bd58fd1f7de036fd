-- +goose Up

-- The client wants a new consent although one is in force.
ALTER TABLE synchronizations ADD COLUMN renew_consent boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE synchronizations DROP COLUMN renew_consent;
