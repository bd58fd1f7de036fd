package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/labstack/echo/v4"
	"gorm.io/gorm"

	"kontoflow/models"
)

const (
	wrongPasswords = 3         // in a row lock a user
	lockLapse      = time.Hour // then he may try again
)

// CreateUser makes a user of the client (POST /auth/user).
func (s *Server) CreateUser(c echo.Context) error {
	body, err := bind[NewUser](c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	hash, err := s.passwords.hash(ctx, body.Password)
	if err != nil {
		return err
	}
	var random [16]byte
	rand.Read(random[:]) // never fails
	id := "U" + hex.EncodeToString(random[:])
	_, err = s.store.Pool.Exec(ctx, `INSERT INTO users (id, client_id, email, password_hash, full_name, language) VALUES ($1, $2, $3, $4, $5, $6)`,
		id, callerOf(c).client, body.Email, hash, optional(body.FullName), optional(body.Language))
	if duplicate(err) {
		return errExists
	}
	if err != nil {
		return fmt.Errorf("store the user: %w", err)
	}
	return c.JSON(http.StatusCreated, CreatedUser{UserID: id})
}

// GetUser answers the token's user (GET /rest/user).
func (s *Server) GetUser(c echo.Context) error {
	var u User
	var name, language *string
	var created time.Time
	err := s.store.Pool.QueryRow(c.Request().Context(), `SELECT id, email, full_name, language, created_at FROM users WHERE id = $1`,
		callerOf(c).user).Scan(&u.UserID, &u.Email, &name, &language, &created)
	if err != nil {
		return fmt.Errorf("read the user: %w", err)
	}
	u.FullName, u.Language, u.CreatedAt = text(name), text(language), Timestamp(created)
	return c.JSON(http.StatusOK, u)
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
		changed, err := s.newPassword(ctx, who.user, body)
		if err != nil {
			return err
		}
		hash = &changed
	}
	err = pgx.BeginFunc(ctx, s.store.Pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE users SET full_name = coalesce($2, full_name), email = coalesce($3, email),
			language = coalesce($4, language), password_hash = coalesce($5, password_hash) WHERE id = $1`,
			who.user, optional(body.FullName), optional(body.Email), optional(body.Language), hash)
		if err != nil || hash == nil {
			return err
		}
		// Whoever knew the old password is out; the one who changed it stays.
		_, err = tx.Exec(ctx, `UPDATE tokens SET revoked_at = now() WHERE user_id = $1 AND family <> $2 AND revoked_at IS NULL`,
			who.user, who.family)
		return err
	})
	if duplicate(err) {
		return errExists
	}
	if err != nil {
		return fmt.Errorf("change the user: %w", err)
	}
	return s.GetUser(c)
}

func (s *Server) newPassword(ctx context.Context, user string, body UserChange) (string, error) {
	if body.Password == "" {
		return "", invalid("password", "is required with new_password")
	}
	var present string
	if err := s.store.Pool.QueryRow(ctx, `SELECT password_hash FROM users WHERE id = $1`, user).Scan(&present); err != nil {
		return "", fmt.Errorf("read the user: %w", err)
	}
	right, err := s.login(ctx, user, present, body.Password)
	if err != nil {
		return "", err
	}
	if !right {
		return "", invalid("password", "is not the present one")
	}
	return s.passwords.hash(ctx, body.NewPassword)
}

// login holds a password against a user's hash, and counts: some wrong ones in a row lock the user (1010) for a while.
// No user, no hash: never right, as slow.
func (s *Server) login(ctx context.Context, user, hash, password string) (bool, error) {
	right, err := s.passwords.matches(ctx, hash, password)
	if err != nil || user == "" {
		return false, err
	}
	const unlocked = `(locked_at IS NULL OR locked_at < now() - make_interval(secs => $2))`
	count := `UPDATE users SET failed_logins = 0, locked_at = NULL WHERE id = $1 AND ` + unlocked
	arguments := []any{user, lockLapse.Seconds()}
	if !right {
		count = `UPDATE users SET
			failed_logins = CASE WHEN locked_at IS NULL THEN failed_logins ELSE 0 END + 1,
			locked_at = CASE WHEN CASE WHEN locked_at IS NULL THEN failed_logins ELSE 0 END + 1 >= $3 THEN now() END
			WHERE id = $1 AND ` + unlocked
		arguments = append(arguments, wrongPasswords)
	}
	// The lock is looked at last: of many guesses at once, those that come after it fail, right or wrong.
	result, err := s.store.Pool.Exec(ctx, count, arguments...)
	if err != nil {
		return false, fmt.Errorf("count the login: %w", err)
	}
	if result.RowsAffected() == 0 {
		return false, errLocked
	}
	return right, nil
}

// DeleteUser hides the user and everything below at once; consents at the banks and the rows follow (DELETE /rest/user).
func (s *Server) DeleteUser(c echo.Context) error {
	ctx, who := c.Request().Context(), callerOf(c)
	var accesses []models.Ended
	err := s.store.Transact(ctx, func(tx *gorm.DB) error {
		// First, so that no access is made meanwhile. Without accesses there is nothing to wait for; else the last one's
		// removal takes the row along.
		if err := tx.Exec(`UPDATE users SET deleted_at = now() WHERE id = ?`, who.user).Error; err != nil {
			return err
		}
		var ids []uuid.UUID
		if err := tx.Raw(`SELECT id FROM accesses WHERE user_id = ? AND deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE`, who.user).Scan(&ids).Error; err != nil {
			return err
		}
		for _, id := range ids {
			ended, err := s.store.HideAccess(tx, id)
			if err != nil {
				return err
			}
			accesses = append(accesses, ended)
		}
		if err := tx.Exec(`UPDATE tokens SET revoked_at = now() WHERE user_id = ? AND revoked_at IS NULL`, who.user).Error; err != nil {
			return err
		}
		if err := models.DeleteNotifications(tx, who.user); err != nil {
			return err
		}
		return tx.Exec(`DELETE FROM users u WHERE id = ? AND NOT EXISTS (SELECT FROM accesses a WHERE a.user_id = u.id)`, who.user).Error
	})
	if err != nil {
		return fmt.Errorf("delete the user: %w", err)
	}
	s.goOn(ctx, accesses...)
	return c.JSON(http.StatusOK, Done{})
}

func duplicate(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && server.Code == "23505" // unique_violation
}
