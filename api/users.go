package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/kontoflow/kontoflow/models"
)

// CreateUser makes a user of the client (POST /auth/user).
func (s *Server) CreateUser(c echo.Context) error {
	body, err := bind[NewUser](c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	hash, err := s.passwords.hash(ctx, callerOf(c).client, body.Password)
	if err != nil {
		return err
	}
	user := models.User{ClientID: callerOf(c).client, Email: body.Email, PasswordHash: hash, FullName: optional(body.FullName), Language: optional(body.Language)}
	if err := s.store.CreateUser(ctx, &user); err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, CreatedUser{UserID: user.ID})
}

// GetUser returns the token's user (GET /rest/user).
func (s *Server) GetUser(c echo.Context) error {
	user, err := s.store.User(c.Request().Context(), callerOf(c).user)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, User{UserID: user.ID, Email: user.Email, FullName: text(user.FullName), Language: text(user.Language),
		CreatedAt: Timestamp(user.CreatedAt)})
}

// UpdateUser changes what the body names (PUT /rest/user).
func (s *Server) UpdateUser(c echo.Context) error {
	body, err := bind[UserChange](c)
	if err != nil {
		return err
	}
	ctx, who := c.Request().Context(), callerOf(c)
	var hash *string
	if body.NewPassword != "" {
		changed, err := s.newPassword(ctx, who, body)
		if err != nil {
			return err
		}
		hash = &changed
	}
	change := models.UserChange{FullName: optional(body.FullName), Email: optional(body.Email), Language: optional(body.Language), PasswordHash: hash}
	if err := s.store.UpdateUser(ctx, who.user, change, who.family); err != nil {
		return err
	}
	return s.GetUser(c)
}

func (s *Server) newPassword(ctx context.Context, who *caller, body UserChange) (string, error) {
	if body.Password == "" {
		return "", invalid("password", "is required with new_password")
	}
	present, err := s.store.User(ctx, who.user)
	if err != nil {
		return "", err
	}
	right, err := s.login(ctx, who.client, who.user, present.PasswordHash, body.Password)
	if err != nil {
		return "", err
	}
	if !right {
		return "", invalid("password", "is not the present one")
	}
	return s.passwords.hash(ctx, who.client, body.NewPassword)
}

// login compares a password with a user's hash and counts the try (1010 once the user is locked). Where there is no such
// user, the hash is empty: that takes as long, and is never right.
func (s *Server) login(ctx context.Context, client uuid.UUID, user, hash, password string) (bool, error) {
	right, err := s.passwords.matches(ctx, client, hash, password)
	if err != nil || user == "" {
		return false, err
	}
	return right, s.store.CountLogin(ctx, user, right)
}

// DeleteUser hides the user and everything below at once; consents at the banks and the rows follow (DELETE /rest/user).
func (s *Server) DeleteUser(c echo.Context) error {
	ctx := c.Request().Context()
	accesses, err := s.store.DeleteUser(ctx, callerOf(c).user)
	if err != nil {
		return err
	}
	s.goOn(ctx, accesses...)
	return c.NoContent(http.StatusNoContent)
}
