package models

import (
	"time"

	"github.com/google/uuid"
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

// A Token lets its bearer act for a user (ACCESS), or get new tokens (REFRESH).
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
