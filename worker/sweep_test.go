package worker

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/testground"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
)

// down is a Temporal that is not there, and counts who asks.
type down struct {
	client.Client
	asked           func()
	starts, cancels int
}

func (d *down) ExecuteWorkflow(context.Context, client.StartWorkflowOptions, any, ...any) (client.WorkflowRun, error) {
	d.asked()
	d.starts++
	return nil, serviceerror.NewUnavailable("down")
}

func (d *down) CancelWorkflow(context.Context, string, string) error {
	d.cancels++
	return serviceerror.NewUnavailable("down")
}

// While Temporal is down, data that has to go goes all the same, and nobody waits for Temporal more than once for a kind
// of call.
func TestSweepWithoutTemporal(t *testing.T) {
	t.Parallel()
	store := testground.Store(t)
	tenant, _, err := store.CreateClient(t.Context(), "client")
	require.NoError(t, err)
	user := models.User{ID: "U1", ClientID: tenant.ID, Email: "jane@example.com", PasswordHash: "-", CreatedAt: time.Now()}
	require.NoError(t, store.DB.Create(&user).Error)
	bank := models.Bank{ID: models.NewID(), Kind: "BANK", Name: "Bank", Country: "DE"}
	require.NoError(t, store.DB.Create(&bank).Error)
	method := models.AccessMethod{ID: models.NewID(), BankID: bank.ID, Type: "API"}
	require.NoError(t, store.SealConnection(&method, banks.Connection{Protocol: "XS2A", URL: "https://bank.example"}))
	require.NoError(t, store.DB.Create(&method).Error)
	access := func() uuid.UUID {
		a := models.Access{ID: models.NewID(), UserID: user.ID, BankID: bank.ID, AccessMethodID: method.ID, Status: rules.AccessNew, CreatedAt: time.Now()}
		require.NoError(t, store.DB.Create(&a).Error)
		return a.ID
	}
	for range 3 {
		y := models.Synchronization{ID: models.NewID(), AccessID: access(), Status: rules.Queued, Trigger: rules.Manual, CreatedAt: time.Now()}
		require.NoError(t, store.DB.Create(&y).Error)
		require.NoError(t, store.RequestCancel(t.Context(), y.ID))
	}
	deleted := access()
	require.NoError(t, store.Transact(t.Context(), func(tx *gorm.DB) error {
		_, err := store.HideAccess(tx, deleted)
		return err
	}))

	temporal := &down{asked: func() {
		require.ErrorIs(t, store.DB.Take(&models.Access{}, "id = ?", deleted).Error, gorm.ErrRecordNotFound)
	}}
	s := sweep{Options: Options{Client: temporal, Store: store, TaskQueue: "none", Logger: slog.New(slog.DiscardHandler)}}
	s.once(t.Context(), time.Now().Add(time.Minute))
	require.Equal(t, 1, temporal.starts)
	require.Equal(t, 1, temporal.cancels)
}
