-- +goose Up
-- What a method's protocol can do, as its adapter says (banks.Capabilities).
ALTER TABLE access_methods ADD COLUMN grants_consents boolean NOT NULL DEFAULT false;
UPDATE access_methods SET grants_consents = true WHERE protocol = 'XS2A';

-- +goose Down
ALTER TABLE access_methods DROP COLUMN grants_consents;
