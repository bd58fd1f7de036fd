package api

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/crypto/argon2"
)

// passwords hashes with Argon2id (RFC 9106) and the parameters of OWASP's Password Storage Cheat Sheet: 19 MiB, two
// passes, one lane. Hashing takes memory and time on purpose, so only as many run at once as there are processors.
type passwords struct{ slots chan struct{} }

const (
	argonTime   = 2
	argonMemory = 19 * 1024 // KiB
	argonKey    = 32
)

func newPasswords() passwords { return passwords{make(chan struct{}, runtime.GOMAXPROCS(0))} }

// hash answers a password's hash in PHC string form.
func (p passwords) hash(ctx context.Context, password string) (string, error) {
	var salt [16]byte
	rand.Read(salt[:]) // never fails
	key, err := p.derive(ctx, password, salt[:], argonTime, argonMemory)
	if err != nil {
		return "", err
	}
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=1$%s$%s", argonMemory, argonTime, encode(salt[:]), encode(key)), nil
}

// matches reports whether hash is of password. An empty hash takes as long and never matches: whoever guesses cannot
// tell by the clock which users there are.
func (p passwords) matches(ctx context.Context, hash, password string) (bool, error) {
	var memory, time uint32
	var salt, key string
	if hash == "" {
		_, err := p.derive(ctx, password, make([]byte, 16), argonTime, argonMemory)
		return false, err
	}
	var rest string
	if n, _ := fmt.Sscanf(hash, "$argon2id$v=19$m=%d,t=%d,p=1$%s", &memory, &time, &rest); n != 3 {
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
	derived, err := p.derive(ctx, password, rawSalt, time, memory)
	return subtle.ConstantTimeCompare(derived, rawKey) == 1, err
}

func (p passwords) derive(ctx context.Context, password string, salt []byte, time, memory uint32) ([]byte, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.slots }()
	return argon2.IDKey([]byte(password), salt, time, memory, 1, argonKey), nil
}
