package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"kontoflow/models"
)

const (
	accessTokenLife  = time.Hour
	refreshTokenLife = 90 * 24 * time.Hour
)

// CreateToken gives tokens for a password, a refresh token, or a client's word (POST /auth/token).
func (s *Server) CreateToken(c echo.Context) error {
	body, err := bind[TokenRequest](c)
	if err != nil {
		return err
	}
	ctx, client := c.Request().Context(), callerOf(c).client
	wanted := allScopes
	if body.Scope != "" {
		// A scope of the family that does not exist here cannot be granted: the answer's scope says so (RFC 6749, 3.3).
		wanted = narrow(allScopes, strings.Fields(body.Scope))
		if len(wanted) == 0 {
			return invalid("scope", "names no scope that there is")
		}
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
	var user, hash string
	err := s.store.Pool.QueryRow(ctx, `SELECT id, password_hash FROM users
		WHERE client_id = $1 AND lower(email) = lower($2) AND deleted_at IS NULL`, client, body.Username).Scan(&user, &hash)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("read the user: %w", err)
	}
	right, err := s.login(ctx, user, hash, body.Password)
	if err != nil {
		return nil, err
	}
	if !right {
		return nil, errUnauthorized
	}
	return s.issue(ctx, s.store.Pool, user, models.NewID(), scopes)
}

func (s *Server) tokenForRefresh(ctx context.Context, client uuid.UUID, body TokenRequest, scopes []string) (token *Token, err error) {
	if body.RefreshToken == "" {
		return nil, invalid("refresh_token", "is required")
	}
	hash := models.HashSecret(body.RefreshToken)
	err = pgx.BeginFunc(ctx, s.store.Pool, func(tx pgx.Tx) error {
		var user string
		var family uuid.UUID
		var granted []string
		err := tx.QueryRow(ctx, `
			UPDATE tokens t SET used_at = now() FROM users u
			WHERE t.hash = $1 AND t.kind = 'REFRESH' AND t.used_at IS NULL AND t.revoked_at IS NULL AND t.expires_at > now()
			  AND u.id = t.user_id AND u.client_id = $2 AND u.deleted_at IS NULL
			RETURNING t.user_id, t.family, t.scopes`, hash, client).Scan(&user, &family, &granted)
		if err != nil {
			return err
		}
		scopes = narrow(granted, scopes)
		if len(scopes) == 0 {
			return invalid("scope", "names nothing that the token has")
		}
		token, err = s.issue(ctx, tx, user, family, scopes)
		return err
	})
	if !errors.Is(err, pgx.ErrNoRows) {
		return token, err
	}
	// A refresh token that was used before is in two hands now, and one of them stole it.
	_, err = s.store.Pool.Exec(ctx, `
		UPDATE tokens SET revoked_at = now() WHERE revoked_at IS NULL AND family IN (
			SELECT t.family FROM tokens t JOIN users u ON u.id = t.user_id
			WHERE t.hash = $1 AND t.kind = 'REFRESH' AND t.used_at IS NOT NULL AND u.client_id = $2)`, hash, client)
	if err != nil {
		return nil, fmt.Errorf("revoke the family: %w", err)
	}
	return nil, errUnauthorized
}

func (s *Server) tokenForClient(ctx context.Context, client uuid.UUID, body TokenRequest, scopes []string) (*Token, error) {
	if body.UserID == "" {
		return nil, invalid("user_id", "is required")
	}
	var user string
	err := s.store.Pool.QueryRow(ctx, `SELECT id FROM users WHERE id = $1 AND client_id = $2 AND deleted_at IS NULL`,
		body.UserID, client).Scan(&user)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read the user: %w", err)
	}
	return s.issue(ctx, s.store.Pool, user, models.NewID(), scopes)
}

type execer interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// issue makes an access token and, for the scope offline, a refresh token. The user's expired tokens go.
func (s *Server) issue(ctx context.Context, db execer, user string, family uuid.UUID, scopes []string) (*Token, error) {
	const insert = `INSERT INTO tokens (id, user_id, kind, hash, family, scopes, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))`
	token := &Token{AccessToken: models.NewSecret("A"), TokenType: TokenTokenTypeBearer, ExpiresIn: int(accessTokenLife.Seconds()),
		Scope: strings.Join(scopes, " ")}
	var batch pgx.Batch
	batch.Queue(`DELETE FROM tokens WHERE user_id = $1 AND expires_at < now()`, user)
	batch.Queue(insert, models.NewID(), user, "ACCESS", models.HashSecret(token.AccessToken), family, scopes, accessTokenLife.Seconds())
	if slices.Contains(scopes, scopeOffline) {
		token.RefreshToken = models.NewSecret("R")
		batch.Queue(insert, models.NewID(), user, "REFRESH", models.HashSecret(token.RefreshToken), family, scopes, refreshTokenLife.Seconds())
	}
	if err := db.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("store the tokens: %w", err)
	}
	return token, nil
}

// RevokeToken ends a token at once; a refresh token takes its whole family along (POST /auth/revoke).
func (s *Server) RevokeToken(c echo.Context) error {
	body, err := bind[RevokeRequest](c)
	if err != nil {
		return err
	}
	_, err = s.store.Pool.Exec(c.Request().Context(), `
		UPDATE tokens t SET revoked_at = now()
		FROM tokens named JOIN users u ON u.id = named.user_id
		WHERE named.hash = $1 AND u.client_id = $2 AND t.revoked_at IS NULL
		  AND (t.id = named.id OR named.kind = 'REFRESH' AND t.family = named.family)`,
		models.HashSecret(body.Token), callerOf(c).client)
	if err != nil {
		return fmt.Errorf("revoke the token: %w", err)
	}
	return c.JSON(http.StatusOK, Done{})
}

// narrow keeps of granted what is wanted.
func narrow(granted, wanted []string) []string {
	return slices.DeleteFunc(slices.Clone(granted), func(scope string) bool { return !slices.Contains(wanted, scope) })
}
