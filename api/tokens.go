package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/kontoflow/kontoflow/models"
)

// CreateToken gives tokens for a password, a refresh token, or a client's word (POST /auth/token).
func (s *Server) CreateToken(c echo.Context) error {
	body, err := bind[TokenRequest](c)
	if err != nil {
		return err
	}
	ctx, client := c.Request().Context(), callerOf(c).client
	wanted, err := wantedScopes(body.Scope)
	if err != nil {
		return err
	}
	var token *Token
	switch body.GrantType {
	case TokenRequestGrantTypePassword:
		token, err = s.tokenForPassword(ctx, client, body, wanted)
	case TokenRequestGrantTypeRefreshToken:
		token, err = s.tokenForRefresh(ctx, client, body, wanted)
	default:
		token, err = s.tokenForClient(ctx, client, body, wanted)
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, token)
}

func (s *Server) tokenForPassword(ctx context.Context, client uuid.UUID, body TokenRequest, scopes []string) (*Token, error) {
	switch {
	case body.Username == "":
		return nil, invalid("username", "is required")
	case body.Password == "":
		return nil, invalid("password", "is required")
	}
	user, err := s.store.UserByEmail(ctx, client, body.Username)
	if err != nil && !errors.Is(err, models.ErrNotFound) {
		return nil, err
	}
	right, err := s.login(ctx, client, user.ID, user.PasswordHash, body.Password)
	if err != nil {
		return nil, err
	}
	if !right {
		return nil, errUnauthorized
	}
	return s.issue(ctx, models.NewFamily{User: user.ID, PasswordHash: &user.PasswordHash, Scopes: scopes}, errUnauthorized)
}

func (s *Server) tokenForRefresh(ctx context.Context, client uuid.UUID, body TokenRequest, scopes []string) (*Token, error) {
	if body.RefreshToken == "" {
		return nil, invalid("refresh_token", "is required")
	}
	issued, err := s.store.RefreshTokens(ctx, client, body.RefreshToken, func(granted []string) ([]string, bool, error) {
		chosen := narrow(granted, scopes)
		if len(chosen) == 0 {
			return nil, false, invalid("scope", "names nothing that the token has")
		}
		return chosen, slices.Contains(chosen, scopeOffline), nil
	})
	if errors.Is(err, models.ErrTokenRefused) {
		return nil, errUnauthorized
	}
	if err != nil {
		return nil, err
	}
	return wireToken(issued), nil
}

func (s *Server) tokenForClient(ctx context.Context, client uuid.UUID, body TokenRequest, scopes []string) (*Token, error) {
	if body.UserID == "" {
		return nil, invalid("user_id", "is required")
	}
	user, err := s.store.UserOfClient(ctx, client, body.UserID)
	if err != nil {
		return nil, err
	}
	return s.issue(ctx, models.NewFamily{User: user.ID, Scopes: scopes}, errNotFound)
}

// issue starts a token family; a refresh token comes with the scope offline. gone is the error where the user was deleted
// or got a new password meanwhile.
func (s *Server) issue(ctx context.Context, family models.NewFamily, gone error) (*Token, error) {
	family.Refreshable = slices.Contains(family.Scopes, scopeOffline)
	issued, err := s.store.IssueTokens(ctx, family)
	if errors.Is(err, models.ErrNotFound) {
		return nil, gone
	}
	if err != nil {
		return nil, err
	}
	return wireToken(issued), nil
}

func wireToken(issued *models.IssuedTokens) *Token {
	return &Token{AccessToken: issued.Access, RefreshToken: issued.Refresh, TokenType: TokenTokenTypeBearer,
		ExpiresIn: int(models.AccessTokenLife.Seconds()), Scope: strings.Join(issued.Scopes, " ")}
}

// RevokeToken ends a token at once; a refresh token takes its whole family along (POST /auth/revoke).
func (s *Server) RevokeToken(c echo.Context) error {
	body, err := bind[RevokeRequest](c)
	if err != nil {
		return err
	}
	return s.revokeToken(c, body.Token)
}

// RevokeTokenByQuery is RevokeToken as older clients call it (GET /auth/revoke).
func (s *Server) RevokeTokenByQuery(c echo.Context, params RevokeTokenByQueryParams) error {
	return s.revokeToken(c, params.Token)
}

func (s *Server) revokeToken(c echo.Context, token string) error {
	if err := s.store.RevokeToken(c.Request().Context(), callerOf(c).client, token); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, Done{})
}

// narrow keeps of granted what is wanted.
func narrow(granted, wanted []string) []string {
	return slices.DeleteFunc(slices.Clone(granted), func(scope string) bool { return !slices.Contains(wanted, scope) })
}
