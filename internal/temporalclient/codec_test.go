package temporalclient_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"github.com/kontoflow/kontoflow/internal/temporalclient"
	"github.com/kontoflow/kontoflow/internal/testground"
	"github.com/kontoflow/kontoflow/vault"
)

const canary = "canary-4711"

func plainPayloads(t *testing.T) []*common.Payload {
	word, err := converter.GetDefaultDataConverter().ToPayload(canary)
	require.NoError(t, err)
	nothing, err := converter.GetDefaultDataConverter().ToPayload(nil)
	require.NoError(t, err)
	return []*common.Payload{word, nothing, {}}
}

func encode(t *testing.T, codec *temporalclient.Codec) []*common.Payload {
	sealed, err := codec.Encode(plainPayloads(t))
	require.NoError(t, err)
	return sealed
}

func requireOpens(t *testing.T, codec *temporalclient.Codec, payloads []*common.Payload) {
	t.Helper()
	opened, err := codec.Decode(payloads)
	require.NoError(t, err)
	want := plainPayloads(t)
	require.Len(t, opened, len(want))
	for i := range want {
		require.True(t, proto.Equal(want[i], opened[i]), "%v", opened[i])
	}
}

func TestPayloadsAreSealed(t *testing.T) {
	t.Parallel()
	codec := testground.Codec(t, testground.Keyset(t))
	sealed := encode(t, codec)
	for _, payload := range sealed {
		require.Equal(t, "binary/encrypted", string(payload.Metadata["encoding"]))
		require.Len(t, payload.Metadata, 1)
		require.NotContains(t, string(payload.Data), canary)
		require.NotContains(t, string(payload.Data), "json/plain")
	}
	requireOpens(t, codec, sealed)
	requireOpens(t, codec, plainPayloads(t)) // written before
}

func TestOtherPayloadsDoNotOpen(t *testing.T) {
	t.Parallel()
	codec := testground.Codec(t, testground.Keyset(t))
	changed := encode(t, codec)
	changed[0].Data[len(changed[0].Data)-1] ^= 1
	cut := encode(t, codec)
	cut[0].Data = cut[0].Data[:3]
	for name, payloads := range map[string][]*common.Payload{"another key": encode(t, testground.Codec(t, testground.Keyset(t))), "changed": changed, "cut": cut} {
		_, err := codec.Decode(payloads)
		require.ErrorIs(t, err, temporalclient.ErrSealed, name)
		require.Equal(t, temporalclient.ErrSealed.Error(), err.Error(), "it says nothing else")
	}
	_, err := new(temporalclient.Codec).Decode(encode(t, codec))
	require.ErrorIs(t, err, temporalclient.ErrSealed)
	_, err = temporalclient.NewCodec(canary, false)
	require.ErrorContains(t, err, "TEMPORAL_CODEC_KEYS")
	require.NotContains(t, err.Error(), canary)
}

func TestKeysAreRotated(t *testing.T) {
	t.Parallel()
	first := testground.Keyset(t)
	staged, err := vault.Stage(first)
	require.NoError(t, err)
	second, err := vault.Rotate(staged)
	require.NoError(t, err)
	requireOpens(t, testground.Codec(t, staged), encode(t, testground.Codec(t, first)))
	requireOpens(t, testground.Codec(t, first), encode(t, testground.Codec(t, staged)))
	requireOpens(t, testground.Codec(t, staged), encode(t, testground.Codec(t, second)))
	requireOpens(t, testground.Codec(t, second), encode(t, testground.Codec(t, first)))
	_, err = testground.Codec(t, first).Decode(encode(t, testground.Codec(t, second)))
	require.ErrorIs(t, err, temporalclient.ErrSealed)
}

func TestCodecThatOnlyOpens(t *testing.T) {
	t.Parallel()
	keys := testground.Keyset(t)
	codec, err := temporalclient.NewCodec(keys, true)
	require.NoError(t, err)
	requireOpens(t, codec, encode(t, testground.Codec(t, keys)))
	requireOpens(t, new(temporalclient.Codec), encode(t, codec)) // they are plain
}

// Only a workflow's task is held up by a payload that does not open: everything else gets an error.
func TestSealedPayloadHoldsWorkflowsUp(t *testing.T) {
	t.Parallel()
	sealed := &common.Payloads{Payloads: encode(t, testground.Codec(t, testground.Keyset(t)))}
	dc := testground.Codec(t, testground.Keyset(t)).DataConverter()
	var to string
	require.ErrorIs(t, dc.FromPayload(sealed.Payloads[0], &to), temporalclient.ErrSealed)
	aware := dc.(converter.ContextAware)
	require.ErrorIs(t, aware.WithContext(t.Context()).FromPayloads(sealed, &to), temporalclient.ErrSealed)
	inWorkflow := aware.WithWorkflowContext(nil)
	require.PanicsWithError(t, temporalclient.ErrSealed.Error(), func() { _ = inWorkflow.FromPayloads(sealed, &to) })
	require.PanicsWithError(t, temporalclient.ErrSealed.Error(), func() { _ = inWorkflow.FromPayload(sealed.Payloads[0], &to) })
	require.NoError(t, inWorkflow.FromPayload(plainPayloads(t)[0], &to))
	require.Equal(t, canary, to)
}
