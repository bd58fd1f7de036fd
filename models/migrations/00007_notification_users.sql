-- +goose Up

-- Whose it is: what one user's receivers hold of a worker is bounded.
ALTER TABLE notification_queues ADD COLUMN user_id text;
UPDATE notification_queues q SET user_id = n.user_id FROM notifications n WHERE n.id = q.notification_id;
ALTER TABLE notification_queues ALTER COLUMN user_id SET NOT NULL;

-- +goose Down
ALTER TABLE notification_queues DROP COLUMN user_id;
