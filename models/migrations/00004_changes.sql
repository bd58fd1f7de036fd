-- +goose Up

-- What happened to a user's transactions, in one order (models/feed.go).
CREATE TABLE feeds (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id   text NOT NULL UNIQUE REFERENCES users ON DELETE CASCADE,
    position  bigint NOT NULL DEFAULT 0,     -- of the last change; whoever adds one locks the row for it
    compacted bigint NOT NULL DEFAULT 0      -- up to here, changes that later ones made superfluous are forgotten
);

-- No foreign keys: removals are told of transactions that are gone, and a check of every row's feed would cost more than
-- the row.
CREATE TABLE transaction_changes (
    feed           bigint NOT NULL,
    position       bigint NOT NULL,
    transaction_id uuid NOT NULL,
    change         text NOT NULL CHECK (change IN ('ADDED', 'MODIFIED', 'REMOVED')),
    changed_at     timestamptz NOT NULL,
    PRIMARY KEY (feed, position)
);
CREATE INDEX transaction_changes_transaction ON transaction_changes (transaction_id, change, position);
CREATE INDEX transaction_changes_age ON transaction_changes (changed_at) WHERE change <> 'ADDED';

-- +goose StatementBegin
CREATE FUNCTION feed_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM transaction_changes WHERE feed = OLD.id;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER deleted AFTER DELETE ON feeds FOR EACH ROW EXECUTE FUNCTION feed_deleted();

-- What is stored already was added.
INSERT INTO feeds (user_id, position)
SELECT k.user_id, count(*) FROM transactions t JOIN accounts k ON k.id = t.account_id
WHERE k.deleted_at IS NULL AND t.removed_at IS NULL GROUP BY k.user_id;

INSERT INTO transaction_changes (feed, position, transaction_id, change, changed_at)
SELECT f.id, row_number() OVER (PARTITION BY f.id ORDER BY t.created_at, t.id), t.id, 'ADDED', t.created_at
FROM transactions t JOIN accounts k ON k.id = t.account_id JOIN feeds f ON f.user_id = k.user_id
WHERE k.deleted_at IS NULL AND t.removed_at IS NULL;

-- +goose Down
DROP TABLE transaction_changes, feeds;
DROP FUNCTION feed_deleted();
