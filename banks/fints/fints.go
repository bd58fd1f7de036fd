package fints

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/internal/transport"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// Options of the adapter; the zero value is good for production.
type Options struct {
	ConnectTimeout time.Duration // TCP and TLS, each; 0: 10 s
	AnswerTimeout  time.Duration // until the bank's answer begins; 0: 30 s
	WholeTimeout   time.Duration // a request with all of its answer; 0: 2 min
	MaxBanks       int           // connections of how many banks are kept open; 0: 256

	Now    func() time.Time
	Logger *slog.Logger // nil: slog.Default. Debug: one line per message
}

// New returns the adapter for access methods of type FINTS.
func New(options Options) banks.Adapter {
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{
		{&options.ConnectTimeout, 10 * time.Second},
		{&options.AnswerTimeout, 30 * time.Second},
		{&options.WholeTimeout, 2 * time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
	if options.MaxBanks <= 0 {
		options.MaxBanks = 256
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	p := &provider{options: options}
	p.banks = transport.NewBanks(options.MaxBanks, p.dial)
	return p
}

type provider struct {
	options Options
	banks   *transport.Banks[*bank]
}

func (p *provider) Authorize(ctx context.Context, conv *banks.Conversation) (banks.Step, error) {
	return with(p, conv, func(t *talk) (banks.Step, error) { return t.authorize(ctx) })
}

func (p *provider) Answer(ctx context.Context, conv *banks.Conversation, answer banks.Answer) (banks.Step, error) {
	return with(p, conv, func(t *talk) (banks.Step, error) { return t.answer(ctx, answer) })
}

func (p *provider) Poll(ctx context.Context, conv *banks.Conversation) (banks.Step, error) {
	return with(p, conv, func(t *talk) (banks.Step, error) { return t.poll(ctx) })
}

func (p *provider) Accounts(ctx context.Context, conv *banks.Conversation) ([]banks.Account, error) {
	return with(p, conv, func(t *talk) ([]banks.Account, error) { return t.accounts(ctx) })
}

func (p *provider) Transactions(ctx context.Context, conv *banks.Conversation, account banks.Account,
	window banks.Window, cursor string) (banks.Page, error) {
	return with(p, conv, func(t *talk) (banks.Page, error) { return t.transactions(ctx, account, window, cursor) })
}

// Revoke forgets the customer-system id and everything else that the bank told us. FinTS has no
// consent that could be ended at the bank; an open dialog is ended.
func (p *provider) Revoke(ctx context.Context, conv *banks.Conversation) error {
	_, err := with(p, conv, func(t *talk) (struct{}, error) {
		t.hangUp(ctx)
		t.lasting, t.dialog, t.dirty = lasting{}, dialog{}, true
		return struct{}{}, nil
	})
	return err
}

// HangUp ends an open dialog. A bank that does not hear of it ends the dialog itself after some
// minutes.
func (p *provider) HangUp(ctx context.Context, conv *banks.Conversation) error {
	_, err := with(p, conv, func(t *talk) (struct{}, error) {
		t.hangUp(ctx)
		return struct{}{}, nil
	})
	return err
}

// A talk is one call of an Adapter method: the conversation opened, and what it takes to reach the
// bank.
type talk struct {
	*provider
	conv    *banks.Conversation
	bank    *bank
	lasting lasting
	dialog  dialog
	resumed bool // nothing of this conversation was done in this process yet
	dirty   bool // lasting or dialog changed
	// requests counts the orders that this call has sent to read.
	requests int
}

// with opens the conversation, lets do happen, and writes the state back whether it went well or
// not.
func with[T any](p *provider, conv *banks.Conversation, do func(*talk) (T, error)) (result T, err error) {
	t, err := p.open(conv)
	if err != nil {
		return result, classified(err)
	}
	result, err = do(t)
	if sealErr := t.close(); sealErr != nil {
		err = errors.Join(err, sealErr)
	}
	if err != nil {
		var none T
		return none, classified(err)
	}
	return result, nil
}

func (p *provider) open(conv *banks.Conversation) (*talk, error) {
	if conv.Connection.BankCode == "" {
		return nil, misconfigured(errors.New("the connection has no bank_code"))
	}
	bank, err := p.banks.Of(&conv.Connection)
	if err != nil {
		return nil, misconfigured(err)
	}
	t := &talk{provider: p, conv: conv, bank: bank, resumed: conv.Resumed}
	if t.lasting, t.dialog, err = load(conv); err != nil {
		return nil, misconfigured(err)
	}
	conv.Resumed = false
	return t, nil
}

// close writes the state back.
func (t *talk) close() error {
	t.conv.Granted = nil
	if t.lasting.Authorized {
		t.conv.Granted = &banks.Grant{}
	}
	t.conv.Methods = t.stored()
	if !t.dirty {
		return nil
	}
	var err error
	if t.conv.Lasting, err = json.Marshal(&t.lasting); err != nil {
		return fmt.Errorf("write lasting state: %w", err)
	}
	if t.conv.Dialog, err = json.Marshal(&t.dialog); err != nil {
		return fmt.Errorf("write dialog state: %w", err)
	}
	return nil
}

// today is the day at the bank: German banks keep German days.
func (t *talk) today() civil.Date { return civil.On(t.options.Now().In(germany)) }

// germany is the banks' time zone; a machine without zone data is an hour off around midnight.
var germany = func() *time.Location {
	if zone, err := time.LoadLocation("Europe/Berlin"); err == nil {
		return zone
	}
	return time.FixedZone("CET", 3600)
}()
