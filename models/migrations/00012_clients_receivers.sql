-- +goose Up

-- Clients take turns at a host, and what one of them has there says nothing about what another has.
ALTER TABLE notification_queues ADD COLUMN client_id uuid;
UPDATE notification_queues q SET client_id = u.client_id FROM users u WHERE u.id = q.user_id;
ALTER TABLE notification_queues ALTER COLUMN client_id SET NOT NULL;
DROP INDEX notification_queues_due;
CREATE INDEX notification_queues_due ON notification_queues (receiver, client_id, next_at);

-- +goose Down
DROP INDEX notification_queues_due;
CREATE INDEX notification_queues_due ON notification_queues (receiver, next_at);
ALTER TABLE notification_queues DROP COLUMN client_id;
