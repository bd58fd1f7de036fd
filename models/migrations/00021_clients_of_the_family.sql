-- +goose Up

-- A client of the finX / figo family knows less of this API than it asks for elsewhere: docs/security.md lists what a token
-- alone may do for it.
ALTER TABLE clients ADD COLUMN family boolean NOT NULL DEFAULT false;

-- +goose Down

ALTER TABLE clients DROP COLUMN family;
