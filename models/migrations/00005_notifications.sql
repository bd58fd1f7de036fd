-- +goose Up

-- Who wants to hear of what. Deliveries are sent by every worker (package notify).
CREATE TABLE notifications (
    id          uuid PRIMARY KEY,
    user_id     text NOT NULL REFERENCES users ON DELETE CASCADE,
    observe_key text NOT NULL,               -- a path of the API, such as /rest/transactions
    receiver    text NOT NULL,               -- host and port of notify_uri: all that operators see of it
    notify_uri  bytea NOT NULL,              -- sealed: clients put tokens into it
    state       text,                        -- the client's own words, sent along
    secrets     bytea NOT NULL,              -- sealed: models.SigningSecrets
    created_at  timestamptz NOT NULL
);
CREATE INDEX notifications_observed ON notifications (user_id, observe_key);

-- The outbox: one row per delivery, stored in the transaction of the change that it tells of, and deleted when it was
-- delivered. What one notification hears of one thing is a lane: its deliveries go out one after the other, by number.
-- Numbers are in the order of the changes, since a change is announced while the thing's own row is locked. Only the
-- first of a lane has a next_at.
CREATE TABLE notification_events (
    id              uuid PRIMARY KEY,        -- webhook-id: the same at every attempt
    number          bigint GENERATED ALWAYS AS IDENTITY,
    notification_id uuid NOT NULL REFERENCES notifications ON DELETE CASCADE,
    thing           uuid NOT NULL,           -- account, synchronization or access
    observe_key     text NOT NULL,           -- under which it was announced: the notification's may change
    data            jsonb NOT NULL,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,    -- what is not delivered until then is parked
    queued          boolean NOT NULL DEFAULT false,
    attempts        integer NOT NULL DEFAULT 0,
    last_error      text,                    -- of the last attempt, as one word: never what the receiver said
    next_at         timestamptz,             -- when the next attempt is due
    parked_at       timestamptz              -- given up; an operator may retry it
);
CREATE INDEX notification_events_fresh ON notification_events (number) WHERE NOT queued;
CREATE INDEX notification_events_lane ON notification_events (notification_id, thing, number) WHERE parked_at IS NULL;
CREATE INDEX notification_events_due ON notification_events (notification_id, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX notification_events_expiry ON notification_events (expires_at) WHERE parked_at IS NULL;
CREATE INDEX notification_events_parked ON notification_events (parked_at, number) WHERE parked_at IS NOT NULL;

-- The notifications that have something to deliver. A worker leases one, delivers, and says when it is due again. Who
-- changes what waits for a notification holds this row.
CREATE TABLE notification_queues (
    notification_id uuid PRIMARY KEY REFERENCES notifications ON DELETE CASCADE,
    receiver        text NOT NULL,
    next_at         timestamptz NOT NULL,    -- leased: when the lease ends
    lease           uuid                     -- of the round of deliveries that is under way
);
CREATE INDEX notification_queues_due ON notification_queues (receiver, next_at);

-- Whether the account's balance is another one than before the synchronization.
ALTER TABLE synchronization_accounts ADD COLUMN balance_changed boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE synchronization_accounts DROP COLUMN balance_changed;
DROP TABLE notification_queues, notification_events, notifications;
