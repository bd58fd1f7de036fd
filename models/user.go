package models

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"
)

// A User is a customer of a client.
type User struct {
	ID           string // "U" and 32 hex digits
	ClientID     uuid.UUID
	Email        string
	PasswordHash string
	FullName     *string
	Language     *string
	FailedLogins int
	LockedAt     *time.Time
	CreatedAt    time.Time
	DeletedAt    *time.Time
}

const userColumns = `id, client_id, email, password_hash, full_name, language, created_at`

func scanUser(row pgx.Row) (u User, err error) {
	err = row.Scan(&u.ID, &u.ClientID, &u.Email, &u.PasswordHash, &u.FullName, &u.Language, &u.CreatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return u, ErrNotFound
	}
	if err != nil {
		return u, fmt.Errorf("read the user: %w", err)
	}
	return u, nil
}

// CreateUser stores a new user of a client and gives it an id. It returns ErrExists where the client has a user of that
// e-mail address.
func (s *Store) CreateUser(ctx context.Context, u *User) error {
	var random [16]byte
	rand.Read(random[:]) // never fails
	u.ID = "U" + hex.EncodeToString(random[:])
	// Not an error of the database for an address that is taken: it would quote the address in the database's log.
	result, err := s.Pool.Exec(ctx, `INSERT INTO users (id, client_id, email, password_hash, full_name, language)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`, u.ID, u.ClientID, u.Email, u.PasswordHash, u.FullName, u.Language)
	if err != nil {
		return fmt.Errorf("store the user: %w", err)
	}
	if result.RowsAffected() == 0 {
		return ErrExists
	}
	return nil
}

// User finds a user by id.
func (s *Store) User(ctx context.Context, id string) (User, error) {
	return scanUser(s.Pool.QueryRow(ctx, `SELECT `+userColumns+` FROM users WHERE id = $1`, id))
}

// UserOfClient finds a client's user by id.
func (s *Store) UserOfClient(ctx context.Context, client uuid.UUID, id string) (User, error) {
	return scanUser(s.Pool.QueryRow(ctx, `SELECT `+userColumns+` FROM users WHERE id = $1 AND client_id = $2 AND deleted_at IS NULL`, id, client))
}

// UserByEmail finds a client's user by e-mail address, in any case.
func (s *Store) UserByEmail(ctx context.Context, client uuid.UUID, email string) (User, error) {
	return scanUser(s.Pool.QueryRow(ctx, `SELECT `+userColumns+` FROM users WHERE client_id = $1 AND lower(email) = lower($2) AND deleted_at IS NULL`,
		client, email))
}

// A UserChange is what UpdateUser changes; nil leaves it.
type UserChange struct {
	FullName, Email, Language *string
	PasswordHash              *string
}

// UpdateUser changes a user. A new password revokes all tokens but those of the family given: whoever knew the former
// password is out, and the one who changed it stays. It returns ErrExists where the e-mail address is taken.
func (s *Store) UpdateUser(ctx context.Context, id string, change UserChange, family uuid.UUID) error {
	err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE users SET full_name = coalesce($2, full_name), email = coalesce($3, email),
			language = coalesce($4, language), password_hash = coalesce($5, password_hash) WHERE id = $1`,
			id, change.FullName, change.Email, change.Language, change.PasswordHash)
		if err != nil || change.PasswordHash == nil {
			return err
		}
		// The user's row is locked now, so no login is under way that this statement does not see (IssueTokens).
		_, err = tx.Exec(ctx, `UPDATE token_families SET revoked_at = now(), revoked_because = $3
			WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL`, id, family, revokedByPassword)
		return err
	})
	var server *pgconn.PgError
	if errors.As(err, &server) && server.Code == "23505" { // unique_violation
		return ErrExists
	}
	if err != nil {
		return fmt.Errorf("change the user: %w", err)
	}
	return nil
}

// ErrLocked says that a user is locked after too many wrong passwords.
var ErrLocked = errors.New("the user is locked")

const (
	wrongPasswords = 3         // in a row lock a user
	lockLapse      = time.Hour // then they may try again
)

// CountLogin counts a login of a user. A right password starts the count anew; several wrong ones in a row lock the
// user for an hour. It returns ErrLocked while they are locked. Of many guesses at once, those that are counted after
// the lock fail, right or wrong.
func (s *Store) CountLogin(ctx context.Context, id string, right bool) error {
	const unlocked = `(locked_at IS NULL OR locked_at < now() - make_interval(secs => $2))`
	count := `UPDATE users SET failed_logins = 0, locked_at = NULL WHERE id = $1 AND ` + unlocked
	arguments := []any{id, lockLapse.Seconds()}
	if !right {
		count = `UPDATE users SET
			failed_logins = CASE WHEN locked_at IS NULL THEN failed_logins ELSE 0 END + 1,
			locked_at = CASE WHEN CASE WHEN locked_at IS NULL THEN failed_logins ELSE 0 END + 1 >= $3 THEN now() END
			WHERE id = $1 AND ` + unlocked
		arguments = append(arguments, wrongPasswords)
	}
	result, err := s.Pool.Exec(ctx, count, arguments...)
	if err != nil {
		return fmt.Errorf("count the login: %w", err)
	}
	if result.RowsAffected() == 0 {
		return ErrLocked
	}
	return nil
}

// DeleteUser hides a user and everything below at once, and ends their tokens. It returns the accesses that were
// hidden: their consents at the banks have to be revoked, and the rows are removed after that.
func (s *Store) DeleteUser(ctx context.Context, id string) (accesses []Ended, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		// First, so that no access is made meanwhile. Without accesses there is nothing to wait for; else the last one's
		// removal takes the row along.
		if err := tx.Exec(`UPDATE users SET deleted_at = now() WHERE id = ?`, id).Error; err != nil {
			return err
		}
		var ids []uuid.UUID
		if err := tx.Raw(`SELECT id FROM accesses WHERE user_id = ? AND deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE`, id).Scan(&ids).Error; err != nil {
			return err
		}
		for _, access := range ids {
			ended, err := s.HideAccess(tx, access)
			if err != nil {
				return err
			}
			accesses = append(accesses, ended)
		}
		err := tx.Exec(`UPDATE token_families SET revoked_at = now(), revoked_because = ? WHERE user_id = ? AND revoked_at IS NULL`,
			revokedByDeletion, id).Error
		if err != nil {
			return err
		}
		if err := DeleteNotifications(tx, id); err != nil {
			return err
		}
		return tx.Exec(`DELETE FROM users u WHERE id = ? AND NOT EXISTS (SELECT FROM accesses a WHERE a.user_id = u.id)`, id).Error
	})
	if err != nil {
		return nil, fmt.Errorf("delete the user: %w", err)
	}
	return accesses, nil
}
