-- +goose Up

-- All tokens that stem from one login or grant. Every use of a token reads this row, and every refresh locks it: so a
-- family that is revoked is over at once, with the tokens that a refresh is just making.
CREATE TABLE token_families (
    id              uuid PRIMARY KEY,
    user_id         text NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL,     -- no refresh goes beyond it
    revoked_at      timestamptz,
    revoked_because text CHECK (revoked_because IN ('CLIENT', 'REUSE', 'PASSWORD', 'DELETED')),
    CHECK ((revoked_at IS NULL) = (revoked_because IS NULL))
);
CREATE INDEX token_families_user ON token_families (user_id);

INSERT INTO token_families (id, user_id, created_at, expires_at)
SELECT family, min(user_id), min(created_at), min(created_at) + interval '365 days' FROM tokens GROUP BY family;

UPDATE token_families f SET revoked_at = t.revoked_at, revoked_because = 'CLIENT'
FROM tokens t WHERE t.family = f.id AND t.kind = 'REFRESH' AND t.revoked_at IS NOT NULL;

ALTER TABLE tokens ADD FOREIGN KEY (family) REFERENCES token_families ON DELETE CASCADE;

-- +goose Down

ALTER TABLE tokens DROP CONSTRAINT tokens_family_fkey;
DROP TABLE token_families;
