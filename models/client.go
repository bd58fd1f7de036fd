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
	"gorm.io/gorm/clause"
)

// A Client is a tenant: a backend service. It sees its own users only.
type Client struct {
	ID         uuid.UUID
	Name       string
	SecretHash []byte // SHA-256; the secret is 256 random bits, so a slow hash would add nothing
	Family     bool   // written for the finX / figo family of APIs (docs/security.md)
	CreatedAt  time.Time
}

// A ClientChange is what an operator decides about a client; nil leaves it.
type ClientChange struct {
	Family *bool
}

func (c ClientChange) apply(client *Client) {
	if c.Family != nil {
		client.Family = *c.Family
	}
}

// ErrExists says that something of this name is there already.
var ErrExists = errors.New("exists already")

// CreateClient makes a client and returns its secret, which is shown this once. ErrExists: the name is taken.
func (s *Store) CreateClient(ctx context.Context, name string, changes ...ClientChange) (Client, string, error) {
	secret := NewSecret("")
	c := Client{ID: NewID(), Name: name, SecretHash: HashSecret(secret), CreatedAt: s.Now()}
	for _, change := range changes {
		change.apply(&c)
	}
	err := s.DB.WithContext(ctx).Create(&c).Error
	if errors.Is(err, gorm.ErrDuplicatedKey) {
		return c, "", fmt.Errorf("client %q: %w", name, ErrExists)
	}
	return c, secret, err
}

// ChangeClient changes what an operator decides about a client. It counts from the next request on. ErrNotFound.
func (s *Store) ChangeClient(ctx context.Context, id uuid.UUID, change ClientChange) (c Client, err error) {
	return c, s.Transact(ctx, func(tx *gorm.DB) error {
		if err := tx.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Take(&c, "id = ?", id).Error; err != nil {
			return found(err, "the client")
		}
		change.apply(&c)
		return tx.Save(&c).Error
	})
}

// Client finds a client by id. ErrNotFound.
func (s *Store) Client(ctx context.Context, id uuid.UUID) (c Client, err error) {
	return c, found(s.DB.WithContext(ctx).Take(&c, "id = ?", id).Error, "the client")
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
