package xs2a

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
	WholeTimeout   time.Duration // a request with all of its answer; 0: 1 min
	MaxBanks       int           // connections of how many banks are kept open; 0: 256

	UserAgent string // of our requests, not the customer's; "": Kontoflow
	Now       func() time.Time
	Logger    *slog.Logger // nil: slog.Default. Debug: one line per request
}

// New returns the adapter for access methods of type API.
func New(options Options) banks.Adapter {
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{
		{&options.ConnectTimeout, 10 * time.Second},
		{&options.AnswerTimeout, 30 * time.Second},
		{&options.WholeTimeout, time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
	if options.MaxBanks <= 0 {
		options.MaxBanks = 256
	}
	if options.UserAgent == "" {
		options.UserAgent = "Kontoflow"
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
	return p.move(conv, func(t *talk) (banks.Step, error) { return t.authorize(ctx) })
}

func (p *provider) Answer(ctx context.Context, conv *banks.Conversation, answer banks.Answer) (banks.Step, error) {
	return p.move(conv, func(t *talk) (banks.Step, error) { return t.answer(ctx, answer) })
}

func (p *provider) Poll(ctx context.Context, conv *banks.Conversation) (banks.Step, error) {
	return p.move(conv, func(t *talk) (banks.Step, error) { return t.poll(ctx) })
}

func (p *provider) Accounts(ctx context.Context, conv *banks.Conversation) ([]banks.Account, error) {
	return with(p, conv, func(t *talk) ([]banks.Account, error) {
		accounts, err := t.accounts(ctx)
		return accounts, t.spent(ctx, err)
	})
}

func (p *provider) Transactions(ctx context.Context, conv *banks.Conversation, account banks.Account,
	window banks.Window, cursor string) (banks.Page, error) {
	return with(p, conv, func(t *talk) (banks.Page, error) {
		page, err := t.transactions(ctx, account, window, cursor)
		return page, t.spent(ctx, err)
	})
}

func (p *provider) Revoke(ctx context.Context, conv *banks.Conversation) error {
	_, err := with(p, conv, func(t *talk) (struct{}, error) { return struct{}{}, t.revoke(ctx) })
	return err
}

// A talk is one call of an Adapter method: the conversation opened, and what it takes to reach the bank.
type talk struct {
	*provider
	conv    *banks.Conversation
	bank    *bank
	dialect dialect
	lasting lasting
	former  *lasting // in force while the dialog is about the consent that is to follow it, which is in lasting; nil: it is not
	dialog  dialog
	resumed bool // nothing of this conversation was done in this process yet
	dirty   bool // lasting or dialog changed
	counted bool // the bank may have counted a read without the customer
}

func (p *provider) move(conv *banks.Conversation, do func(*talk) (banks.Step, error)) (banks.Step, error) {
	return with(p, conv, func(t *talk) (banks.Step, error) {
		step, err := do(t)
		if err != nil {
			return t.recover(err)
		}
		return step, nil
	})
}

// with opens the conversation, lets do happen, and writes the state back whether it went well or not.
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
	dialect, known := dialects[conv.Connection.Dialect]
	if !known {
		return nil, misconfigured(fmt.Errorf("unknown dialect %q", conv.Connection.Dialect))
	}
	bank, err := p.banks.Of(&conv.Connection)
	if err != nil {
		return nil, misconfigured(err)
	}
	t := &talk{provider: p, conv: conv, bank: bank, dialect: dialect, resumed: conv.Resumed}
	if t.lasting, t.dialog, err = load(conv); err != nil {
		return nil, misconfigured(err)
	}
	if t.dialog.Renewing {
		t.turnTo(t.lasting)
	}
	conv.Resumed = false
	return t, nil
}

// close writes the state back. Reading accounts and transactions leaves it as it was, so that separate copies of
// a conversation may read at the same time.
func (t *talk) close() error {
	atRest := t.atRest()
	t.conv.Granted, t.conv.Methods = atRest.granted(), atRest.SCA.shown()
	if !t.dirty {
		return nil
	}
	t.dialog.Renewing = t.former != nil
	var err error
	if t.conv.Lasting, err = json.Marshal(&atRest); err != nil {
		return fmt.Errorf("write lasting state: %w", err)
	}
	if t.conv.Dialog, err = json.Marshal(&t.dialog); err != nil {
		return fmt.Errorf("write dialog state: %w", err)
	}
	return nil
}

// today is the day at the bank. Banks of the Berlin Group family sit in Europe; consents and booking dates are
// days there, and an hour's difference does not matter to any of them.
func (t *talk) today() civil.Date { return civil.On(t.options.Now().UTC()) }
