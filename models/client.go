package models

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// A Client is a tenant: a backend service. It sees its own users only.
type Client struct {
	ID         uuid.UUID
	Name       string
	SecretHash []byte // SHA-256; the secret is 256 random bits, so a slow hash would add nothing
	CreatedAt  time.Time
}

// ErrExists says that something of this name is there already.
var ErrExists = errors.New("exists already")

// CreateClient makes a client and returns its secret, which is shown this once.
func (s *Store) CreateClient(ctx context.Context, name string) (Client, string, error) {
	secret := NewSecret("")
	c := Client{ID: NewID(), Name: name, SecretHash: HashSecret(secret), CreatedAt: s.Now()}
	err := s.DB.WithContext(ctx).Create(&c).Error
	if errors.Is(err, gorm.ErrDuplicatedKey) {
		return c, "", fmt.Errorf("client %q: %w", name, ErrExists)
	}
	return c, secret, err
}

// Clients lists all clients by name.
func (s *Store) Clients(ctx context.Context) ([]Client, error) {
	var all []Client
	return all, s.DB.WithContext(ctx).Order("name").Find(&all).Error
}

// NewSecret makes 256 random bits behind a prefix, fit for URLs and headers.
func NewSecret(prefix string) string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// HashSecret is how a NewSecret is stored and found again.
func HashSecret(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}
