-- +goose Up

-- Accounts of an access may share number and currency: models/recognise.go tells them apart.
ALTER TABLE accounts DROP CONSTRAINT accounts_access_id_identity_key;
CREATE INDEX accounts_access ON accounts (access_id, position);

-- What the bank calls an account is known although the client has named it otherwise.
ALTER TABLE accounts ADD COLUMN listed_name text;
UPDATE accounts SET listed_name = name WHERE NOT renamed;

-- +goose Down
ALTER TABLE accounts DROP COLUMN listed_name;
DROP INDEX accounts_access;
DELETE FROM accounts k WHERE EXISTS (SELECT FROM accounts o
    WHERE o.access_id = k.access_id AND o.identity = k.identity AND (o.created_at, o.id) < (k.created_at, k.id));
ALTER TABLE accounts ADD CONSTRAINT accounts_access_id_identity_key UNIQUE (access_id, identity);
