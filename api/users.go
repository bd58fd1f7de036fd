package api

import (
	"cmp"
	"context"
	"errors"
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
	user := models.User{ClientID: callerOf(c).client, Email: body.Email, PasswordHash: hash, FullName: optional(cmp.Or(body.FullName, body.Name)), Language: optional(body.Language)}
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

// UpdateUser changes what the body names (PUT /rest/user): all of it, or nothing.
func (s *Server) UpdateUser(c echo.Context) error {
	body, err := bind[UserChange](c)
	if err != nil {
		return err
	}
	ctx, who := c.Request().Context(), callerOf(c)
	present, err := s.store.User(ctx, who.user)
	if err != nil {
		return err
	}
	if body.Email == present.Email {
		body.Email = "" // older clients send back all that they have read
	}
	if body.NewPassword != "" && body.Password == "" {
		return invalid("password", "is required with new_password")
	}
	if body.Email != "" || body.NewPassword != "" {
		if err := s.confirm(ctx, who, &present, body.Password, body.ClientSecret); err != nil {
			return err
		}
	}
	change := models.UserChange{FullName: optional(cmp.Or(body.FullName, body.Name)), Email: optional(body.Email), Language: optional(body.Language)}
	if body.NewPassword != "" {
		hash, err := s.passwords.hash(ctx, who.client, body.NewPassword)
		if err != nil {
			return err
		}
		change.PasswordHash = &hash
	}
	if err := s.store.UpdateUser(ctx, who.user, change, who.family); err != nil {
		return err
	}
	return s.GetUser(c)
}

// confirm checks that a request comes from more than a token that somebody may have stolen: its sender knows the user's
// password, or the secret of the user's client. Where both are sent, both must be right. A wrong password counts as a
// failed login (1010 once the user is locked).
func (s *Server) confirm(ctx context.Context, who *caller, user *models.User, password, clientSecret string) error {
	if password == "" && clientSecret == "" {
		return invalid("password", "is required, or client_secret instead")
	}
	if clientSecret != "" {
		err := s.checkSecret(ctx, who.client, clientSecret)
		if errors.Is(err, errClient) {
			return invalid("client_secret", "is not the client's")
		}
		if err != nil {
			return err
		}
	}
	if password == "" {
		return nil
	}
	right, err := s.login(ctx, who.client, user.ID, user.PasswordHash, password)
	if err != nil {
		return err
	}
	if !right {
		return invalid("password", "is not the present one")
	}
	return nil
}

// confirmDeletion is confirm, but for clients of the family: these delete a user with the token alone. What they send is
// checked all the same.
func (s *Server) confirmDeletion(ctx context.Context, who *caller, user *models.User, body UserDeletion) error {
	if body == (UserDeletion{}) {
		client, err := s.store.Client(ctx, who.client)
		if err != nil {
			return err
		}
		if client.Family {
			return nil
		}
	}
	return s.confirm(ctx, who, user, body.Password, body.ClientSecret)
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
	body, err := bind[UserDeletion](c)
	if err != nil {
		return err
	}
	ctx, who := c.Request().Context(), callerOf(c)
	user, err := s.store.User(ctx, who.user)
	if err != nil {
		return err
	}
	if err := s.confirmDeletion(ctx, who, &user, body); err != nil {
		return err
	}
	accesses, err := s.store.DeleteUser(ctx, who.user)
	if err != nil {
		return err
	}
	s.goOn(ctx, accesses...)
	return c.NoContent(http.StatusNoContent)
}
