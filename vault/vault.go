// Package vault seals what the database must not show: credentials, tokens, consents, bank sessions, answers.
//
// A ciphertext is AES-256-GCM under the primary key of a Tink keyset, and bound to the place it was made for: table,
// column and row are its associated data, so that one copied to another column or another customer's row does not
// open. The keyset's other keys open what they once sealed; Reseal moves it to the primary.
package vault

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// ErrSealed says that a ciphertext does not open: another keyset sealed it, it belongs to another place, or it was
// changed. AES-GCM cannot tell which.
var ErrSealed = errors.New("ciphertext does not open here")

// A Context is the place a ciphertext belongs to. All three parts are public: they appear in errors.
type Context struct {
	Table  string // "accesses"
	Column string // "lasting"
	Row    string // the row's primary key; it must be known before sealing and never change
}

// A Vault seals and opens. It is safe for concurrent use.
type Vault struct {
	aead    tink.AEAD
	primary [5]byte // what every ciphertext of the primary key begins with
}

// Open makes a vault of a cleartext Tink keyset in JSON, as NewKeyset writes it. Its errors never quote the keyset.
func Open(keysetJSON string) (*Vault, error) {
	handle, err := read(keysetJSON)
	if err != nil {
		return nil, err
	}
	return New(handle)
}

// New makes a vault of a keyset that was read elsewhere, such as one wrapped by a key management service
// (keyset.Read with the service's AEAD).
func New(handle *keyset.Handle) (*Vault, error) {
	primary, err := handle.Primary()
	if err != nil {
		return nil, fmt.Errorf("keyset has no usable primary key: %w", err)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("keyset holds a key that is not for authenticated encryption: %w", err)
	}
	v := &Vault{aead: primitive}
	v.primary[0] = 1 // Tink's wire format: version 1, then the key id
	binary.BigEndian.PutUint32(v.primary[1:], primary.KeyID())
	return v, nil
}

// Seal encrypts plaintext for its place. The result is 33 bytes longer.
func (v *Vault) Seal(plaintext []byte, context Context) ([]byte, error) {
	var buf [128]byte
	ciphertext, err := v.aead.Encrypt(plaintext, context.bind(buf[:0]))
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", context, err)
	}
	return ciphertext, nil
}

// Open decrypts what Seal made for the same place, or answers ErrSealed.
func (v *Vault) Open(ciphertext []byte, context Context) ([]byte, error) {
	var buf [128]byte
	plaintext, err := v.aead.Decrypt(ciphertext, context.bind(buf[:0]))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", context, ErrSealed)
	}
	return plaintext, nil
}

// Prefix is what every ciphertext of the primary key begins with: 5 bytes.
func (v *Vault) Prefix() []byte { return v.primary[:] }

// Reseal moves a ciphertext to the primary key. One that is there already comes back as it is, and false.
func (v *Vault) Reseal(ciphertext []byte, context Context) ([]byte, bool, error) {
	if len(ciphertext) >= len(v.primary) && [5]byte(ciphertext) == v.primary {
		return ciphertext, false, nil
	}
	plaintext, err := v.Open(ciphertext, context)
	if err != nil {
		return nil, false, err
	}
	resealed, err := v.Seal(plaintext, context)
	if err != nil {
		return nil, false, err
	}
	return resealed, true, nil
}

func (c Context) String() string { return c.Table + "." + c.Column + " of " + c.Row }

// bind writes the associated data. Lengths in front keep ("ab","c") and ("a","bc") apart.
func (c Context) bind(b []byte) []byte {
	for _, part := range [...]string{c.Table, c.Column, c.Row} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}

// NewKeyset makes a cleartext keyset in JSON with one fresh AES-256-GCM key. It is a secret: it belongs into the
// configuration of the API and the worker, and nowhere else.
func NewKeyset() (string, error) {
	manager := keyset.NewManager()
	id, err := manager.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	return write(manager, id)
}

// Stage adds a fresh key that opens but does not seal yet. Roll the result out to every process, then Rotate: no
// process ever meets a ciphertext whose key it lacks.
func Stage(keysetJSON string) (string, error) {
	handle, err := read(keysetJSON)
	if err != nil {
		return "", err
	}
	primary, err := handle.Primary()
	if err != nil {
		return "", fmt.Errorf("keyset has no usable primary key: %w", err)
	}
	manager := keyset.NewManagerFromHandle(handle)
	if _, err := manager.Add(aead.AES256GCMKeyTemplate()); err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	return write(manager, primary.KeyID())
}

// Rotate makes the newest key the primary one, and adds a fresh one for it where the newest is the primary already.
func Rotate(keysetJSON string) (string, error) {
	handle, err := read(keysetJSON)
	if err != nil {
		return "", err
	}
	newest, err := handle.Entry(handle.Len() - 1)
	if err != nil {
		return "", fmt.Errorf("read the newest key: %w", err)
	}
	manager, id := keyset.NewManagerFromHandle(handle), newest.KeyID()
	if newest.IsPrimary() || newest.KeyStatus() != keyset.Enabled {
		if id, err = manager.Add(aead.AES256GCMKeyTemplate()); err != nil {
			return "", fmt.Errorf("make a key: %w", err)
		}
	}
	return write(manager, id)
}

// Retire takes away the keys that are older than the primary one. What they sealed opens no more.
func Retire(keysetJSON string) (string, error) {
	handle, err := read(keysetJSON)
	if err != nil {
		return "", err
	}
	manager := keyset.NewManagerFromHandle(handle)
	for i := range handle.Len() {
		entry, err := handle.Entry(i)
		if err != nil {
			return "", fmt.Errorf("read a key: %w", err)
		}
		if entry.IsPrimary() {
			return write(manager, entry.KeyID())
		}
		if err := manager.Delete(entry.KeyID()); err != nil {
			return "", fmt.Errorf("take a key away: %w", err)
		}
	}
	return "", errors.New("keyset has no usable primary key")
}

func read(keysetJSON string) (*keyset.Handle, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(strings.NewReader(keysetJSON)))
	if err != nil {
		// The parser's words quote its input, which is key material.
		return nil, errors.New("not a Tink keyset in JSON")
	}
	return handle, nil
}

func write(manager *keyset.Manager, primary uint32) (string, error) {
	if err := manager.SetPrimary(primary); err != nil {
		return "", fmt.Errorf("choose the primary key: %w", err)
	}
	handle, err := manager.Handle()
	if err != nil {
		return "", fmt.Errorf("make a keyset: %w", err)
	}
	var json strings.Builder
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&json)); err != nil {
		return "", fmt.Errorf("write the keyset: %w", err)
	}
	return json.String(), nil
}
