package temporalclient

import (
	"context"
	"errors"
	"fmt"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"github.com/kontoflow/kontoflow/vault"
)

// ErrSealed says that a payload does not open: no key of the keyset sealed it, there is no keyset, or it was changed.
var ErrSealed = errors.New("a payload is sealed, and no key of TEMPORAL_CODEC_KEYS opens it")

// sealed is the encoding of sealed payloads, as Temporal's own samples call it.
const sealed = "binary/encrypted"

// place is the same for all: whoever opens a payload, such as the UI, does not always know of which run it is.
var place = vault.Context{Table: "temporal", Column: "payload"}

// A Codec seals payloads on their way to Temporal, and opens them on their way back. A sealed payload is the whole of the
// plain one, with its metadata, under AES-256-GCM by the primary key of a Tink keyset; which key that is stands in its
// first five bytes (Tink's prefix). The keyset's other keys open what they once sealed, and plain payloads stay as they are.
//
// It is a converter.PayloadCodec, safe for concurrent use. The zero Codec has no keys: it seals nothing, and opens nothing.
type Codec struct {
	vault *vault.Vault
	seals bool
}

// NewCodec makes a Codec of a cleartext Tink keyset in JSON (vault.NewKeyset). One that only opens seals nothing.
func NewCodec(keysetJSON string, onlyOpens bool) (*Codec, error) {
	v, err := vault.Open(keysetJSON)
	if err != nil {
		return nil, fmt.Errorf("TEMPORAL_CODEC_KEYS: %w", err)
	}
	return &Codec{vault: v, seals: !onlyOpens}, nil
}

// Encode seals payloads.
func (c *Codec) Encode(payloads []*common.Payload) ([]*common.Payload, error) {
	if !c.seals {
		return payloads, nil
	}
	all := make([]*common.Payload, len(payloads))
	for i, plain := range payloads {
		whole, err := proto.Marshal(plain)
		if err != nil {
			return nil, errors.New("a payload cannot be written") // the encoder's error may quote it
		}
		ciphertext, err := c.vault.Seal(whole, place)
		if err != nil {
			return nil, err
		}
		all[i] = &common.Payload{Metadata: map[string][]byte{converter.MetadataEncoding: []byte(sealed)}, Data: ciphertext}
	}
	return all, nil
}

// Decode opens those that are sealed, or answers ErrSealed.
func (c *Codec) Decode(payloads []*common.Payload) ([]*common.Payload, error) {
	all := make([]*common.Payload, len(payloads))
	for i, payload := range payloads {
		if string(payload.GetMetadata()[converter.MetadataEncoding]) != sealed {
			all[i] = payload
			continue
		}
		if c.vault == nil {
			return nil, ErrSealed
		}
		whole, err := c.vault.Open(payload.GetData(), place)
		if err != nil {
			return nil, ErrSealed
		}
		all[i] = &common.Payload{}
		if err := proto.Unmarshal(whole, all[i]); err != nil {
			return nil, ErrSealed
		}
	}
	return all, nil
}

// DataConverter is the default one with the codec around it.
//
// In a workflow's task a payload that does not open panics: that holds the workflow up until a worker comes along that has
// the key, where an error would fail its run, or drop a signal.
func (c *Codec) DataConverter() converter.DataConverter {
	return contextual{converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), c)}
}

// contextual tells workflow tasks from all else.
type contextual struct{ converter.DataConverter }

func (c contextual) WithContext(context.Context) converter.DataConverter { return c }

func (c contextual) WithWorkflowContext(converter.WorkflowContext) converter.DataConverter {
	return inWorkflow(c)
}

type inWorkflow struct{ converter.DataConverter }

func (w inWorkflow) FromPayload(payload *common.Payload, to any) error {
	return hold(w.DataConverter.FromPayload(payload, to))
}

func (w inWorkflow) FromPayloads(payloads *common.Payloads, to ...any) error {
	return hold(w.DataConverter.FromPayloads(payloads, to...))
}

func hold(err error) error {
	if errors.Is(err, ErrSealed) {
		panic(err)
	}
	return err
}
