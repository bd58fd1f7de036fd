package models

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/kontoflow/kontoflow/vault"
)

// The sealed columns: each ciphertext opens in its own row and column only.
func credentialPlace(id uuid.UUID) vault.Context  { return place("credentials", "value", id) }
func connectionPlace(id uuid.UUID) vault.Context  { return place("access_methods", "connection", id) }
func bankStatePlace(id uuid.UUID) vault.Context   { return place("accesses", "bank_state", id) }
func psuPlace(id uuid.UUID) vault.Context         { return place("synchronizations", "psu", id) }
func dialogPlace(id uuid.UUID) vault.Context      { return place("bank_sessions", "dialog", id) }
func challengePlace(id uuid.UUID) vault.Context   { return place("challenges", "content", id) }
func answerPlace(id uuid.UUID) vault.Context      { return place("answers", "value", id) }
func fingerprintPlace(id uuid.UUID) vault.Context { return place("answers", "fingerprint", id) }
func revocationPlace(id uuid.UUID) vault.Context  { return place("revocations", "state", id) }
func targetPlace(id uuid.UUID) vault.Context      { return place("notifications", "target", id) }
func cursorPlace(sync, account uuid.UUID) vault.Context {
	return vault.Context{Table: "synchronization_accounts", Column: "cursor", Row: sync.String() + "/" + account.String()}
}

func place(table, column string, id uuid.UUID) vault.Context {
	return vault.Context{Table: table, Column: column, Row: id.String()}
}

// seal writes v as sealed JSON.
func seal(v *vault.Vault, value any, at vault.Context) ([]byte, error) {
	plain, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("seal %s: not representable as JSON", at)
	}
	return v.Seal(plain, at)
}

// open reads sealed JSON into value; an empty column leaves value as it is.
func open(v *vault.Vault, sealed []byte, at vault.Context, value any) error {
	if len(sealed) == 0 {
		return nil
	}
	plain, err := v.Open(sealed, at)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(plain, value); err != nil {
		return fmt.Errorf("open %s: not the expected JSON", at) // the decoder's error quotes what it read
	}
	return nil
}
