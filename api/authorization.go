package api

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
)

// The scopes of a token (docs/api.md).
const (
	scopeAccounts     = "accounts=ro"
	scopeBalance      = "balance=ro"
	scopeTransactions = "transactions=ro"
	scopeAccesses     = "accesses=rw"
	scopeUser         = "user=rw"
	scopeOffline      = "offline"
)

var allScopes = []string{scopeAccounts, scopeBalance, scopeTransactions, scopeAccesses, scopeUser, scopeOffline}

// A caller is who a request acts for: a client, or a user through their token.
type caller struct {
	client uuid.UUID
	user   string
	family uuid.UUID // of the token
	scopes []string
}

func (a *caller) may(scope string) bool { return slices.Contains(a.scopes, scope) }

func (a *caller) mayAll(scopes []string) bool {
	for _, scope := range scopes {
		if !a.may(scope) {
			return false
		}
	}
	return true
}

const callerKey = "caller"

func callerOf(c echo.Context) *caller {
	a, _ := c.Get(callerKey).(*caller)
	return a
}

// guard lets a request through that is authorized and fits the contract.
func (s *Server) guard(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		o := s.contract.operation(c)
		if o == nil {
			return next(c)
		}
		address := networkOf(c.RealIP())
		if err := s.gates.checkAddress(address); err != nil {
			return err
		}
		if err := s.gates.checkToken(c); err != nil {
			return err
		}
		authorize := s.authorizeUser
		if o.client {
			authorize = s.authorizeClient
		}
		who, err := authorize(c)
		if err != nil {
			s.gates.failed(address, err)
			return err
		}
		pass, err := s.gates.enter(c, who)
		if err != nil {
			return err
		}
		defer pass.leave()
		if !who.mayAll(o.scopes) {
			return errForbidden
		}
		c.Set(callerKey, who)
		if err := o.check(c); err != nil {
			return err
		}
		return next(c)
	}
}

func (s *Server) authorizeClient(c echo.Context) (*caller, error) {
	id, secret, ok := c.Request().BasicAuth()
	client, err := uuid.Parse(id)
	if !ok || err != nil {
		return nil, errClient
	}
	if err := s.checkSecret(c.Request().Context(), client, secret); err != nil {
		return nil, err
	}
	return &caller{client: client}, nil
}

// checkSecret returns errClient where there is no such client, or its secret is another.
func (s *Server) checkSecret(ctx context.Context, client uuid.UUID, secret string) error {
	var hash []byte
	err := s.store.AuthPool.QueryRow(ctx, `SELECT secret_hash FROM clients WHERE id = $1`, client).Scan(&hash)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return errClient
	case err != nil:
		return unread("the client", err)
	case subtle.ConstantTimeCompare(hash, models.HashSecret(secret)) != 1:
		return errClient
	}
	return nil
}

// A bearer is who a token ($1) belongs to, if it is good.
const (
	bearerColumns = `t.user_id, u.client_id, t.family, t.scopes`
	bearerTables  = `tokens t JOIN token_families f ON f.id = t.family AND f.revoked_at IS NULL
		JOIN users u ON u.id = t.user_id AND u.deleted_at IS NULL`
	bearerIsGood = `t.hash = $1 AND t.kind = 'ACCESS' AND t.revoked_at IS NULL AND t.expires_at > now()`
)

func (s *Server) authorizeUser(c echo.Context) (*caller, error) {
	scheme, token, _ := strings.Cut(c.Request().Header.Get(echo.HeaderAuthorization), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nil, errUnauthorized
	}
	ctx, hash := c.Request().Context(), models.HashSecret(token)
	var who caller
	var err error
	if c.Path() == syncPath && c.Request().Method == http.MethodGet {
		err = s.authorizeWithSync(c, &who, hash)
	} else {
		err = s.store.AuthPool.QueryRow(ctx, `SELECT `+bearerColumns+` FROM `+bearerTables+` WHERE `+bearerIsGood, hash).
			Scan(&who.user, &who.client, &who.family, &who.scopes)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errUnauthorized
	}
	if err != nil {
		return nil, unread("the token", err)
	}
	return &who, nil
}

// unread is the error of an authorization that the database could not be asked for, or not in time.
func unread(what string, err error) error {
	err = fmt.Errorf("read %s: %w", what, err)
	if tookTooLong(err) {
		return &problem{status: http.StatusServiceUnavailable, code: banks.CodeTemporary, cause: err}
	}
	return err
}
