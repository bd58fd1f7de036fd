-- +goose Up
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- Who may call: clients (tenants) and their users ---------------------------------------------------------

CREATE TABLE clients (
    id          uuid PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    secret_hash bytea NOT NULL,              -- SHA-256 of a random secret
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    id            text PRIMARY KEY,          -- "U" and 32 hex digits
    client_id     uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    email         text NOT NULL,
    password_hash text NOT NULL,
    full_name     text,
    language      text,
    failed_logins integer NOT NULL DEFAULT 0,
    locked_at     timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    deleted_at    timestamptz                -- hidden at once, gone when its accesses are revoked at the banks
);
CREATE UNIQUE INDEX users_email ON users (client_id, lower(email)) WHERE deleted_at IS NULL;

CREATE TABLE tokens (
    id         uuid PRIMARY KEY,
    user_id    text NOT NULL REFERENCES users ON DELETE CASCADE,
    kind       text NOT NULL CHECK (kind IN ('ACCESS', 'REFRESH')),
    hash       bytea NOT NULL UNIQUE,        -- SHA-256 of the token
    family     uuid NOT NULL,                -- all tokens that stem from one login
    scopes     text[] NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,                  -- REFRESH: rotated away; seen again, the family is revoked
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX tokens_user ON tokens (user_id);
CREATE INDEX tokens_family ON tokens (family);
CREATE INDEX tokens_expiry ON tokens (expires_at);

-- What there is to connect: the catalog -------------------------------------------------------------------

CREATE TABLE banks (
    id        uuid PRIMARY KEY,
    kind      text NOT NULL CHECK (kind IN ('BANK', 'SERVICE')),
    name      text NOT NULL,
    country   text NOT NULL,
    bank_code text,
    bic       text,
    supported boolean NOT NULL,
    icon      jsonb,
    languages text[] NOT NULL DEFAULT '{}'
);
CREATE INDEX banks_name ON banks USING gin (lower(name) gin_trgm_ops);
CREATE INDEX banks_order ON banks (kind, lower(name), id);
CREATE INDEX banks_bank_code ON banks (bank_code text_pattern_ops);
CREATE INDEX banks_bic ON banks (upper(bic) text_pattern_ops);

CREATE TABLE access_methods (
    id                            uuid PRIMARY KEY,
    bank_id                       uuid NOT NULL REFERENCES banks ON DELETE CASCADE,
    position                      integer NOT NULL,
    type                          text NOT NULL CHECK (type IN ('API', 'FINTS', 'SCRAPING')),
    in_psd2_scope                 boolean NOT NULL,
    supported_account_types       text[] NOT NULL DEFAULT '{}',
    configurable_consent          boolean NOT NULL,
    requires_account_identifiers  boolean NOT NULL,
    customer_authentication_flows text[] NOT NULL DEFAULT '{}',
    advice                        jsonb,                      -- language → text
    credentials                   jsonb,                      -- credential fields, with labels by language
    protocol                      text NOT NULL,
    url                           text NOT NULL,
    connection                    bytea NOT NULL                -- sealed: providers.Connection, keys and all
);
CREATE INDEX access_methods_bank ON access_methods (bank_id, position);

-- A customer's bank accesses ------------------------------------------------------------------------------

CREATE TABLE accesses (
    id               uuid PRIMARY KEY,
    user_id          text NOT NULL REFERENCES users ON DELETE CASCADE,
    bank_id          uuid NOT NULL REFERENCES banks,
    access_method_id uuid NOT NULL REFERENCES access_methods,
    status           text NOT NULL DEFAULT 'NEW'
        CHECK (status IN ('NEW', 'ACTIVE', 'NEEDS_AUTH', 'UPGRADE_PENDING', 'REVOKED')),
    consent          jsonb,                  -- what the client asked for
    save_credentials boolean NOT NULL DEFAULT false,
    auth_methods     jsonb,                  -- as the bank last listed them
    bank_state       bytea,                  -- sealed: the adapter's lasting state (consent id, tokens)
    created_at       timestamptz NOT NULL DEFAULT now(),
    deleted_at       timestamptz             -- hidden at once, gone when its consent is revoked at the bank
);
CREATE INDEX accesses_user ON accesses (user_id, created_at);
CREATE INDEX accesses_deleted ON accesses (deleted_at) WHERE deleted_at IS NOT NULL;

-- A credential's value is always sealed, secret or not: logins name persons.
CREATE TABLE credentials (
    id         uuid PRIMARY KEY,
    access_id  uuid NOT NULL REFERENCES accesses ON DELETE CASCADE,
    sync_id    uuid,                         -- given for this one synchronization, and forgotten at its end
    key        text NOT NULL,
    is_secret  boolean NOT NULL,
    keep       boolean NOT NULL,             -- false: for the next synchronization only
    value      bytea NOT NULL,               -- sealed
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (access_id, key, sync_id)
);
CREATE INDEX credentials_sync ON credentials (sync_id) WHERE sync_id IS NOT NULL;

-- What the bank really granted. The consent's id at the bank is in the access's sealed bank_state.
CREATE TABLE consents (
    id                uuid PRIMARY KEY,
    access_id         uuid NOT NULL REFERENCES accesses ON DELETE CASCADE,
    status            text NOT NULL CHECK (status IN ('VALID', 'EXPIRED', 'REVOKED')),
    valid_until       timestamptz,           -- NULL: the bank did not say
    frequency_per_day integer,
    created_at        timestamptz NOT NULL DEFAULT now(),
    ended_at          timestamptz
);
CREATE UNIQUE INDEX consents_one_valid ON consents (access_id) WHERE status = 'VALID';

-- Synchronizations ----------------------------------------------------------------------------------------

CREATE TABLE synchronizations (
    id                    uuid PRIMARY KEY,  -- also the id of its workflow
    access_id             uuid NOT NULL REFERENCES accesses ON DELETE CASCADE,
    status                text NOT NULL DEFAULT 'QUEUED'
        CHECK (status IN ('QUEUED', 'RUNNING', 'AWAIT_AUTH', 'COMPLETED', 'FAILED')),
    trigger               text NOT NULL CHECK (trigger IN ('MANUAL', 'AUTO')),
    scope                 text[] NOT NULL,
    save_secrets          boolean,           -- true stores, false forgets, NULL leaves them alone
    disable_notifications boolean NOT NULL DEFAULT false,
    redirect_uri          text,
    state                 text,              -- the client's own, appended to redirect_uri
    psu                   bytea,             -- sealed: providers.PSU; NULL: the user is absent
    idempotency_key       text,
    request_hash          bytea,             -- of the body that came with the idempotency key
    created_at            timestamptz NOT NULL DEFAULT now(),
    started_at            timestamptz,
    ended_at              timestamptz,
    expires_at            timestamptz,       -- in AWAIT_AUTH: when the wait ends
    cancel_requested_at   timestamptz,
    error                 jsonb,             -- in FAILED: the API's error object
    accounts_total        integer NOT NULL DEFAULT 0,
    accounts_done         integer NOT NULL DEFAULT 0,
    transactions_added    integer NOT NULL DEFAULT 0,
    transactions_modified integer NOT NULL DEFAULT 0,
    transactions_removed  integer NOT NULL DEFAULT 0,
    CHECK ((status = 'FAILED') = (error IS NOT NULL)),
    CHECK ((status IN ('COMPLETED', 'FAILED')) = (ended_at IS NOT NULL)),
    CHECK ((status = 'AWAIT_AUTH') = (expires_at IS NOT NULL)),
    UNIQUE (access_id, idempotency_key)
);
CREATE UNIQUE INDEX synchronizations_one_active ON synchronizations (access_id)
    WHERE status IN ('QUEUED', 'RUNNING', 'AWAIT_AUTH');
CREATE INDEX synchronizations_by_access ON synchronizations (access_id, created_at DESC, id DESC);
CREATE INDEX synchronizations_open ON synchronizations (created_at)
    WHERE status IN ('QUEUED', 'RUNNING', 'AWAIT_AUTH');

-- One row per state change and progress, numbered within its synchronization: what the events resource streams.
CREATE TABLE synchronization_events (
    sync_id               uuid NOT NULL REFERENCES synchronizations ON DELETE CASCADE,
    number                integer NOT NULL,
    status                text NOT NULL,
    accounts_total        integer NOT NULL,
    accounts_done         integer NOT NULL,
    transactions_added    integer NOT NULL,
    transactions_modified integer NOT NULL,
    transactions_removed  integer NOT NULL,
    created_at            timestamptz NOT NULL,
    PRIMARY KEY (sync_id, number)
);

-- The state machine: QUEUED → RUNNING ⇄ AWAIT_AUTH → COMPLETED | FAILED. Whatever the code does, no other edge
-- is stored, and nothing changes after the end.
-- +goose StatementBegin
CREATE FUNCTION synchronization_edge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'QUEUED' THEN
            RAISE EXCEPTION 'a synchronization begins in QUEUED, not in %', NEW.status USING ERRCODE = 'check_violation';
        END IF;
    ELSIF OLD.status IN ('COMPLETED', 'FAILED') THEN
        RAISE EXCEPTION 'synchronization % has ended in %', OLD.id, OLD.status USING ERRCODE = 'check_violation';
    ELSIF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN (
        ('QUEUED', 'RUNNING'), ('RUNNING', 'AWAIT_AUTH'), ('AWAIT_AUTH', 'RUNNING'), ('RUNNING', 'COMPLETED'),
        ('QUEUED', 'FAILED'), ('RUNNING', 'FAILED'), ('AWAIT_AUTH', 'FAILED')) THEN
        RAISE EXCEPTION 'synchronization %: no edge from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION synchronization_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO synchronization_events
    SELECT NEW.id, coalesce(max(number), 0) + 1, NEW.status, NEW.accounts_total, NEW.accounts_done,
           NEW.transactions_added, NEW.transactions_modified, NEW.transactions_removed, clock_timestamp()
    FROM synchronization_events WHERE sync_id = NEW.id;
    PERFORM pg_notify('synchronization_changed', NEW.id::text);
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER edge BEFORE INSERT OR UPDATE ON synchronizations
    FOR EACH ROW EXECUTE FUNCTION synchronization_edge();
CREATE TRIGGER event_inserted AFTER INSERT ON synchronizations
    FOR EACH ROW EXECUTE FUNCTION synchronization_event();
CREATE TRIGGER event_updated AFTER UPDATE ON synchronizations
    FOR EACH ROW WHEN (
        (OLD.status, OLD.accounts_total, OLD.accounts_done, OLD.transactions_added, OLD.transactions_modified, OLD.transactions_removed)
        IS DISTINCT FROM
        (NEW.status, NEW.accounts_total, NEW.accounts_done, NEW.transactions_added, NEW.transactions_modified, NEW.transactions_removed))
    EXECUTE FUNCTION synchronization_event();

-- The conversation with the bank during one synchronization.
CREATE TABLE bank_sessions (
    sync_id    uuid PRIMARY KEY REFERENCES synchronizations ON DELETE CASCADE,
    dialog     bytea,                        -- sealed: the adapter's state of the dialog
    version    integer NOT NULL DEFAULT 0,   -- of dialog; of two attempts at one step, one stores
    steps      integer NOT NULL DEFAULT 0,   -- finished steps of the workflow with the bank
    outcome    jsonb,                        -- of the last finished step: a rerun answers it again
    failure    jsonb,                        -- what the bank said when a step failed, until the synchronization ends
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE challenges (
    id            uuid PRIMARY KEY,
    sync_id       uuid NOT NULL REFERENCES synchronizations ON DELETE CASCADE,
    ordinal       integer NOT NULL,
    type          text NOT NULL CHECK (type IN ('METHOD_SELECTION', 'EMBEDDED', 'REDIRECT', 'DECOUPLED')),
    status        text NOT NULL CHECK (status IN ('OPEN', 'ANSWERED', 'CLOSED')),
    content       bytea NOT NULL,            -- sealed: providers.Challenge
    redirect_hash bytea UNIQUE,              -- REDIRECT: SHA-256 of the state that our callback expects
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    UNIQUE (sync_id, ordinal)
);
CREATE UNIQUE INDEX challenges_one_open ON challenges (sync_id) WHERE status = 'OPEN';

CREATE TABLE answers (
    challenge_id uuid PRIMARY KEY REFERENCES challenges ON DELETE CASCADE,
    value        bytea NOT NULL,             -- sealed: providers.Answer
    created_at   timestamptz NOT NULL DEFAULT now()
);

-- Accounts and what is on them ----------------------------------------------------------------------------

CREATE TABLE accounts (
    id             uuid PRIMARY KEY,
    user_id        text NOT NULL REFERENCES users ON DELETE CASCADE,
    access_id      uuid NOT NULL REFERENCES accesses ON DELETE CASCADE,
    bank_id        uuid NOT NULL REFERENCES banks,
    identity       text NOT NULL,            -- IBAN or number, and currency: what stays when resource ids change
    resource_id    text NOT NULL,            -- the bank's handle under the present consent
    card           boolean NOT NULL DEFAULT false,
    iban           text,
    account_number text,
    bank_code      text,
    bic            text,
    name           text,
    owner          text,
    renamed        boolean NOT NULL DEFAULT false,  -- name and owner were set by the client: the bank's do not replace them
    type           text NOT NULL,
    currency       text,
    auto_sync      boolean NOT NULL DEFAULT true,
    supported      boolean NOT NULL DEFAULT true,   -- false: readable, but no longer synchronized
    position       integer NOT NULL DEFAULT 0,
    read_until     date,                     -- last day that a complete reading covered; NULL: never read completely
    attempted_at   timestamptz,
    succeeded_at   timestamptz,
    error          jsonb,                    -- of the last attempt; NULL: it succeeded
    created_at     timestamptz NOT NULL DEFAULT now(),
    deleted_at     timestamptz,              -- by the client: its data is gone, and it does not come back
    UNIQUE (access_id, identity)
);
CREATE INDEX accounts_user ON accounts (user_id, created_at);

CREATE TABLE balances (
    account_id  uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    type        text NOT NULL,               -- as XS2A names them
    amount      numeric NOT NULL,
    currency    text,
    date        date,
    observed_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, type)
);

-- What happened to one account in one synchronization; also where its paging resumes.
CREATE TABLE synchronization_accounts (
    sync_id               uuid NOT NULL REFERENCES synchronizations ON DELETE CASCADE,
    account_id            uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    position              integer NOT NULL,
    status                text NOT NULL CHECK (status IN ('PENDING', 'COMPLETED', 'FAILED')),
    error                 jsonb,
    pages                 integer NOT NULL DEFAULT 0,  -- stored pages of a first reading
    cursor                bytea,                       -- sealed: where the next page begins
    transactions_added    integer NOT NULL DEFAULT 0,
    transactions_modified integer NOT NULL DEFAULT 0,
    transactions_removed  integer NOT NULL DEFAULT 0,
    PRIMARY KEY (sync_id, account_id)
);

CREATE TABLE transactions (
    id                   uuid PRIMARY KEY,   -- ours, never derived from the bank's data
    account_id           uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    day                  date NOT NULL,      -- what it is ordered by: booked_at, else settled_at, else the day it was first seen
    booked               boolean NOT NULL,
    booked_at            date,
    settled_at           date,
    amount               numeric NOT NULL,
    currency             text NOT NULL,
    name                 text,
    account_number       text,
    bank_code            text,
    bank_name            text,
    iban                 text,
    bic                  text,
    purpose              text,
    type                 text NOT NULL,
    booking_text         text,
    booking_key          text,
    transaction_code     text,
    end_to_end_reference text,
    mandate_reference    text,
    creditor_id          text,
    customer_reference   text,
    sepa_purpose_code    text,
    additional_info      jsonb,
    created_at           timestamptz NOT NULL,
    modified_at          timestamptz NOT NULL,
    created_by           uuid NOT NULL,      -- the synchronization that first saw it
    modified_by          uuid NOT NULL,      -- the one that last changed it
    missed_by            uuid,               -- the synchronization whose complete reading lacked it; lacking again, it is removed
    removed_at           timestamptz,        -- gone at the bank
    bank_transaction_id  text,               -- as the bank sent them, placeholders and all
    entry_reference      text,
    facts                bytea NOT NULL      -- reconcile.Facts: what reconciliation compares
);
CREATE INDEX transactions_by_day ON transactions (account_id, day, id);
CREATE INDEX transactions_by_change ON transactions (account_id, modified_at);
CREATE INDEX transactions_pending ON transactions (account_id) WHERE NOT booked AND removed_at IS NULL;
CREATE INDEX transactions_removed ON transactions (account_id, removed_at) WHERE removed_at IS NOT NULL;

-- What the bank said about a transaction, whenever it said something new: the evidence for every match.
CREATE TABLE observations (
    transaction_id      uuid NOT NULL REFERENCES transactions ON DELETE CASCADE,
    sync_id             uuid NOT NULL,
    change              text NOT NULL CHECK (change IN ('ADDED', 'RELABELLED', 'MODIFIED', 'MISSING', 'REMOVED')),
    bank_transaction_id text,
    entry_reference     text,
    booked              boolean NOT NULL,
    booked_at           date,
    settled_at          date,
    amount              numeric NOT NULL,
    observed_at         timestamptz NOT NULL
);
CREATE INDEX observations_transaction ON observations (transaction_id);

-- +goose Down
DROP TABLE observations, transactions, synchronization_accounts, balances, accounts, answers, challenges, bank_sessions,
    synchronization_events, synchronizations, consents, credentials, accesses, access_methods, banks, tokens, users, clients;
DROP FUNCTION synchronization_edge(), synchronization_event();
