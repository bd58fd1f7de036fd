package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/kontoflow/kontoflow/internal/openapi"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/notify"
	"github.com/kontoflow/kontoflow/rules"
)

// ListNotifications lists the user's notifications (GET /rest/notifications).
func (s *Server) ListNotifications(c echo.Context) error {
	all, err := s.store.Notifications(c.Request().Context(), callerOf(c).user)
	if err != nil {
		return err
	}
	wire := make([]Notification, len(all))
	for i := range all {
		target, err := s.store.OpenTarget(&all[i])
		if err != nil {
			return err
		}
		wire[i] = wireNotification(&all[i], &target)
	}
	return c.JSON(http.StatusOK, map[string][]Notification{"notifications": wire})
}

// CreateNotification makes a notification, and shows its signing secret this once (POST /rest/notifications).
func (s *Server) CreateNotification(c echo.Context) error {
	body, err := bind[NewNotification](c)
	if err != nil {
		return err
	}
	ctx, who := c.Request().Context(), callerOf(c)
	key, err := s.checkObserved(ctx, who, body.ObserveKey, body.NotifyURI)
	if err != nil {
		return err
	}
	n, target, err := s.store.CreateNotification(ctx, who.user, key, body.NotifyURI, body.State)
	switch {
	case errors.Is(err, models.ErrTooMany):
		return errState
	case errors.Is(err, models.ErrNotFound):
		return errUnauthorized // the user was deleted meanwhile
	case err != nil:
		return err
	}
	wire := wireNotification(&n, &target)
	wire.Secret = target.Secret
	return c.JSON(http.StatusCreated, wire)
}

// GetNotification answers one notification (GET /rest/notifications/{id}).
func (s *Server) GetNotification(c echo.Context, notificationID NotificationID) error {
	id, err := parseID(notificationID)
	if err != nil {
		return err
	}
	n, err := s.store.Notification(c.Request().Context(), callerOf(c).user, id)
	if err != nil {
		return err
	}
	target, err := s.store.OpenTarget(&n)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, wireNotification(&n, &target))
}

// UpdateNotification changes what the body names; a new signing secret is shown this once
// (PUT /rest/notifications/{id}).
func (s *Server) UpdateNotification(c echo.Context, notificationID NotificationID) error {
	body, err := bind[NotificationChange](c)
	if err != nil {
		return err
	}
	id, err := parseID(notificationID)
	if err != nil {
		return err
	}
	ctx, who := c.Request().Context(), callerOf(c)
	key, err := s.checkObserved(ctx, who, body.ObserveKey, body.NotifyURI)
	if err != nil {
		return err
	}
	n, target, err := s.store.UpdateNotification(ctx, who.user, id, func(n *models.Notification, t *models.Target) error {
		// Also where it is to observe something else: or what waits could be turned to whoever has this token.
		if o, _ := parseObserveKey(n.ObserveKey); !who.may(o.scope) {
			return errForbidden
		}
		if key != "" {
			n.ObserveKey = key
		}
		if body.State != "" {
			n.State = &body.State
		}
		if body.NotifyURI != "" {
			t.URI = body.NotifyURI
		}
		if body.RotateSecret {
			return t.Rotate(s.store.Now())
		}
		return nil
	})
	if errors.Is(err, models.ErrTooMany) {
		return errState
	}
	if err != nil {
		return err
	}
	wire := wireNotification(&n, &target)
	if body.RotateSecret {
		wire.Secret = target.Secret
	}
	return c.JSON(http.StatusOK, wire)
}

// DeleteNotification deletes a notification, and what it has not delivered (DELETE /rest/notifications/{id}).
func (s *Server) DeleteNotification(c echo.Context, notificationID NotificationID) error {
	id, err := parseID(notificationID)
	if err != nil {
		return err
	}
	if err := s.store.DeleteNotification(c.Request().Context(), callerOf(c).user, id); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// checkObserved refuses with 1000 a key that nothing stands for and an address that deliveries do not go to, with 1002
// a key that names somebody else's account or access, and with 1007 one beyond the token's scope. Empty ones are not
// looked at. It answers the key with its id as we write ids.
func (s *Server) checkObserved(ctx context.Context, who *caller, key, uri string) (string, error) {
	problems := make(openapi.Problems)
	observed, known := parseObserveKey(key)
	if key != "" && !known {
		problems.Add("observe_key", "must be /rest/transactions, /rest/accounts/{id}/transactions, /rest/accounts/{id}/balance, "+
			"/rest/syncs, /rest/accesses or /rest/accesses/{id}")
	}
	if uri != "" {
		if err := notify.CheckURI(uri, s.loopbackReceivers); err != nil {
			problems.Add("notify_uri", err.Error())
		}
	}
	if len(problems) > 0 {
		return "", refuse(http.StatusBadRequest, problems)
	}
	if key == "" {
		return "", nil
	}
	if !who.may(observed.scope) {
		return "", errForbidden
	}
	if observed.of == "" {
		return observed.key, nil
	}
	var there bool
	err := s.store.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+observed.of+` WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL)`,
		observed.id, who.user).Scan(&there)
	if err != nil {
		return "", fmt.Errorf("look for what is observed: %w", err)
	}
	if !there {
		return "", &problem{status: http.StatusNotFound, code: rules.CodeNotFound, data: openapi.Problems{"observe_key": {"names nothing that is there"}}}
	}
	return observed.key, nil
}

// observed is what an observe key names.
type observed struct {
	key   string // with the id as we write ids
	scope string
	of    string    // table of the thing it is about; empty: all of the user's
	id    uuid.UUID // of that thing
}

func parseObserveKey(key string) (observed, bool) {
	switch key {
	case models.ObserveTransactions:
		return observed{key: key, scope: scopeTransactions}, true
	case models.ObserveSyncs, models.ObserveAccesses:
		return observed{key: key, scope: scopeAccesses}, true
	}
	path := strings.Split(key, "/")
	if len(path) < 4 {
		return observed{}, false
	}
	id, err := parseID(path[3])
	if err != nil {
		return observed{}, false
	}
	path[3] = "%s"
	o := observed{id: id}
	pattern := strings.Join(path, "/")
	switch pattern {
	case models.ObserveAccountTransactions:
		o.of, o.scope = "accounts", scopeTransactions
	case models.ObserveBalance:
		o.of, o.scope = "accounts", scopeBalance
	case models.ObserveAccess:
		o.of, o.scope = "accesses", scopeAccesses
	default:
		return o, false
	}
	o.key = fmt.Sprintf(pattern, id)
	return o, true
}

func wireNotification(n *models.Notification, t *models.Target) Notification {
	return Notification{NotificationID: n.ID, ObserveKey: n.ObserveKey, NotifyURI: t.URI, State: text(n.State)}
}
