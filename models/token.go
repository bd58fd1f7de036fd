package models

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// A Token lets its bearer act for a user (ACCESS), or get new tokens (REFRESH). It is good as long as it has not
// expired, is not revoked, and its family is neither.
type Token struct {
	ID        uuid.UUID
	UserID    string
	Kind      string // ACCESS | REFRESH
	Hash      []byte // HashSecret of the token
	Family    uuid.UUID
	Scopes    Strings
	ExpiresAt time.Time
	UsedAt    *time.Time
	RevokedAt *time.Time
	CreatedAt time.Time
}

// How long tokens live.
const (
	AccessTokenLife  = time.Hour
	RefreshTokenLife = 90 * 24 * time.Hour
	// TokenFamilyLife is how long a login can be refreshed.
	TokenFamilyLife = 365 * 24 * time.Hour
)

// Reasons why a token family is revoked.
const (
	revokedByClient   = "CLIENT"   // the client revoked its refresh token
	revokedForReuse   = "REUSE"    // a refresh token came a second time: two have it, and one of them stole it
	revokedByPassword = "PASSWORD" // the user has a new password
	revokedByDeletion = "DELETED"  // the user was deleted
)

// IssuedTokens are what a login, a grant or a refresh gives. Only their hashes are stored.
type IssuedTokens struct {
	Access  string
	Refresh string // empty where the family has none
	Scopes  []string
}

// ErrTokenRefused says that a token is not known, over, used or revoked.
var ErrTokenRefused = errors.New("the token is refused")

// A NewFamily is what a login or grant asks tokens for.
type NewFamily struct {
	User string
	// PasswordHash is the one that the password was checked against; nil: no password was. A login with a password that
	// is changed at the same moment fails.
	PasswordHash *string
	Scopes       []string
	Refreshable  bool
}

// IssueTokens starts a token family. It returns ErrNotFound where the user is gone or has another password by now.
func (s *Store) IssueTokens(ctx context.Context, f NewFamily) (issued *IssuedTokens, err error) {
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		// Shared with other logins, and in turns with a change of the password or a deletion (UpdateUser, DeleteUser): these
		// revoke the families that there are, and this one has to be among them.
		var user string
		err := tx.QueryRow(ctx, `SELECT id FROM users WHERE id = $1 AND deleted_at IS NULL
			AND ($2::text IS NULL OR password_hash = $2) FOR SHARE`, f.User, f.PasswordHash).Scan(&user)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("lock the user: %w", err)
		}
		family := NewID()
		_, err = tx.Exec(ctx, `INSERT INTO token_families (id, user_id, expires_at) VALUES ($1, $2, now() + make_interval(secs => $3))`,
			family, f.User, TokenFamilyLife.Seconds())
		if err != nil {
			return fmt.Errorf("store the token family: %w", err)
		}
		issued, err = putTokens(ctx, tx, f.User, family, f.Scopes, f.Refreshable)
		return err
	})
	return issued, err
}

// RefreshTokens spends a refresh token of a client's user. choose picks among the scopes that the token has, and says
// whether the new tokens can be refreshed again; its error leaves the token good. A token that was spent before revokes its family. Whatever is wrong with the token, the error
// is ErrTokenRefused.
func (s *Store) RefreshTokens(ctx context.Context, client uuid.UUID, token string, choose func(granted []string) (scopes []string, refreshable bool, err error)) (issued *IssuedTokens, err error) {
	refused := false
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		var t Token
		// The family's lock comes first: refreshes of a family and its revocation happen one after the other.
		err := tx.QueryRow(ctx, `
			SELECT t.id, t.user_id, t.family, t.scopes FROM tokens t
			JOIN token_families f ON f.id = t.family AND f.revoked_at IS NULL AND f.expires_at > now()
			JOIN users u ON u.id = t.user_id AND u.client_id = $2 AND u.deleted_at IS NULL
			WHERE t.hash = $1 AND t.kind = 'REFRESH' FOR UPDATE OF f`, HashSecret(token), client).Scan(&t.ID, &t.UserID, &t.Family, (*[]string)(&t.Scopes))
		if errors.Is(err, pgx.ErrNoRows) {
			refused = true
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the token: %w", err)
		}
		spent, err := spend(ctx, tx, t.ID)
		if err != nil {
			return err
		}
		if !spent {
			refused = true
			return revokeIfReused(ctx, tx, t)
		}
		scopes, refreshable, err := choose(t.Scopes)
		if err != nil {
			return err
		}
		issued, err = putTokens(ctx, tx, t.UserID, t.Family, scopes, refreshable)
		return err
	})
	if err == nil && refused {
		return nil, ErrTokenRefused
	}
	return issued, err
}

// spend marks a refresh token as used. It reports false where it was used, revoked or has expired.
func spend(ctx context.Context, tx pgx.Tx, token uuid.UUID) (bool, error) {
	result, err := tx.Exec(ctx, `UPDATE tokens SET used_at = now()
		WHERE id = $1 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > now()`, token)
	if err != nil {
		return false, fmt.Errorf("spend the token: %w", err)
	}
	return result.RowsAffected() == 1, nil
}

func revokeIfReused(ctx context.Context, tx pgx.Tx, t Token) error {
	_, err := tx.Exec(ctx, `UPDATE token_families SET revoked_at = now(), revoked_because = $2
		WHERE id = $1 AND EXISTS (SELECT FROM tokens WHERE id = $3 AND used_at IS NOT NULL)`, t.Family, revokedForReuse, t.ID)
	if err != nil {
		return fmt.Errorf("revoke the token family: %w", err)
	}
	return nil
}

// putTokens stores new tokens of a family, none of which outlives it. The user's expired tokens go, and families of
// which no token is left.
func putTokens(ctx context.Context, tx pgx.Tx, user string, family uuid.UUID, scopes []string, refreshable bool) (*IssuedTokens, error) {
	const insert = `INSERT INTO tokens (id, user_id, kind, hash, family, scopes, expires_at)
		SELECT $1, $2, $3, $4, f.id, $6, least(now() + make_interval(secs => $7), f.expires_at) FROM token_families f WHERE f.id = $5`
	issued := &IssuedTokens{Access: NewSecret("A"), Scopes: scopes}
	var batch pgx.Batch
	batch.Queue(`DELETE FROM tokens WHERE user_id = $1 AND expires_at < now()`, user)
	batch.Queue(`DELETE FROM token_families f WHERE user_id = $1 AND id <> $2 AND NOT EXISTS (SELECT FROM tokens t WHERE t.family = f.id)`, user, family)
	batch.Queue(insert, NewID(), user, "ACCESS", HashSecret(issued.Access), family, scopes, AccessTokenLife.Seconds())
	if refreshable {
		issued.Refresh = NewSecret("R")
		batch.Queue(insert, NewID(), user, "REFRESH", HashSecret(issued.Refresh), family, scopes, RefreshTokenLife.Seconds())
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("store the tokens: %w", err)
	}
	return issued, nil
}

// RevokeToken ends a token of a client's users at once, and with a refresh token its whole family. A token that is not
// known is no error.
func (s *Store) RevokeToken(ctx context.Context, client uuid.UUID, token string) error {
	return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		var t Token
		err := tx.QueryRow(ctx, `SELECT t.id, t.kind, t.family FROM tokens t JOIN users u ON u.id = t.user_id
			WHERE t.hash = $1 AND u.client_id = $2`, HashSecret(token), client).Scan(&t.ID, &t.Kind, &t.Family)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the token: %w", err)
		}
		if t.Kind == "REFRESH" {
			_, err = tx.Exec(ctx, `UPDATE token_families SET revoked_at = now(), revoked_because = $2 WHERE id = $1 AND revoked_at IS NULL`, t.Family, revokedByClient)
		} else {
			_, err = tx.Exec(ctx, `UPDATE tokens SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL`, t.ID)
		}
		if err != nil {
			return fmt.Errorf("revoke the token: %w", err)
		}
		return nil
	})
}
