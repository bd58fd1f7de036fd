-- +goose Up

-- What could not be read of an account although its reading did not fail: in each synchronization, and in the last one.
ALTER TABLE synchronization_accounts
    ADD COLUMN unread     text,                        -- why its transactions are never asked for; NULL: they are
    ADD COLUMN withheld   text,                        -- why the answer covers nothing, or not everything; NULL: it does
    ADD COLUMN unreadable integer NOT NULL DEFAULT 0;  -- values that were left out or replaced
ALTER TABLE accounts
    ADD COLUMN unread     text,
    ADD COLUMN withheld   text,
    ADD COLUMN unreadable integer NOT NULL DEFAULT 0;

-- Balances in another currency than the account's were kept under the same type.
DELETE FROM balances b USING accounts k WHERE k.id = b.account_id AND k.currency <> 'XXX' AND b.currency <> k.currency;

-- +goose Down
ALTER TABLE accounts DROP COLUMN unread, DROP COLUMN withheld, DROP COLUMN unreadable;
ALTER TABLE synchronization_accounts DROP COLUMN unread, DROP COLUMN withheld, DROP COLUMN unreadable;
