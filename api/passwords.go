package api

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/crypto/argon2"
)

// passwords hashes with Argon2id (RFC 9106) and the parameters of OWASP's Password Storage Cheat Sheet: 19 MiB, two
// passes, one lane. Hashing takes memory and time on purpose. So half of the processors hash at once, and each client has
// few hashes waiting: one client's logins neither take all processors nor make others wait for long.
type passwords struct {
	slots chan struct{}

	mu     sync.Mutex
	hashes map[uuid.UUID]int // under way or waiting, by client
}

const (
	argonTime   = 2
	argonMemory = 19 * 1024 // KiB
	argonKey    = 32

	hashesPerClient = 16
)

func newPasswords() *passwords {
	return &passwords{slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), hashes: make(map[uuid.UUID]int)}
}

// hash returns a password's hash in PHC string form. It returns 1022 where too many of the client's hashes wait.
func (p *passwords) hash(ctx context.Context, client uuid.UUID, password string) (string, error) {
	var salt [16]byte
	rand.Read(salt[:]) // never fails
	key, err := p.derive(ctx, client, password, salt[:], argonTime, argonMemory)
	if err != nil {
		return "", err
	}
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=1$%s$%s", argonMemory, argonTime, encode(salt[:]), encode(key)), nil
}

// matches reports whether hash is of password. An empty hash takes as long and never matches: whoever guesses cannot
// tell by the clock which users there are. It returns 1022 where too many of the client's hashes wait.
func (p *passwords) matches(ctx context.Context, client uuid.UUID, hash, password string) (bool, error) {
	var memory, passes uint32
	var salt, key string
	if hash == "" {
		_, err := p.derive(ctx, client, password, make([]byte, 16), argonTime, argonMemory)
		return false, err
	}
	var rest string
	if n, _ := fmt.Sscanf(hash, "$argon2id$v=19$m=%d,t=%d,p=1$%s", &memory, &passes, &rest); n != 3 {
		return false, errors.New("a stored password hash is not of the expected form")
	}
	for i := range rest {
		if rest[i] == '$' {
			salt, key = rest[:i], rest[i+1:]
		}
	}
	rawSalt, err1 := base64.RawStdEncoding.DecodeString(salt)
	rawKey, err2 := base64.RawStdEncoding.DecodeString(key)
	if err := errors.Join(err1, err2); err != nil {
		return false, errors.New("a stored password hash is not of the expected form")
	}
	derived, err := p.derive(ctx, client, password, rawSalt, passes, memory)
	return subtle.ConstantTimeCompare(derived, rawKey) == 1, err
}

func (p *passwords) derive(ctx context.Context, client uuid.UUID, password string, salt []byte, passes, memory uint32) ([]byte, error) {
	if !p.enter(client) {
		return nil, tooFast(time.Second)
	}
	defer p.leave(client)
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.slots }()
	return argon2.IDKey([]byte(password), salt, passes, memory, 1, argonKey), nil
}

// enter counts a hash of a client, or reports that it has too many.
func (p *passwords) enter(client uuid.UUID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hashes[client] >= hashesPerClient {
		return false
	}
	p.hashes[client]++
	return true
}

func (p *passwords) leave(client uuid.UUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hashes[client]--; p.hashes[client] == 0 {
		delete(p.hashes, client)
	}
}
