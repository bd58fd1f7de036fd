package e2e_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlainTAN(t *testing.T) {
	t.Parallel()
	c := newStack(t).newCustomer()
	access := c.access("demo", "demo")
	y := c.sync(access)
	require.Equal(t, "COMPLETED", y["status"], "%v\n%s", y, c.logs)
	require.NotEmpty(t, c.transactions())
}
