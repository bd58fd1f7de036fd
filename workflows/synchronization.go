package workflows

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/rules"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// Synchronization reads one access of a customer at their bank:
//
//	QUEUED → RUNNING ⇄ AWAIT_AUTH → COMPLETED | FAILED
//
// An access whose method was superseded is upgraded instead (AccessUpgrade), and the synchronization fails with what
// became of it. A failed synchronization fails its run, with the error's code as the failure's type.
func Synchronization(ctx workflow.Context, in contract.SynchronizationInput) (contract.FinishOutcome, error) {
	s := synchronization{id: in.SyncID, answered: make(map[uuid.UUID]bool), restarted: make(map[uuid.UUID]bool)}
	s.listen(ctx)
	err := s.run(ctx)
	return s.finish(ctx, err)
}

// synchronization is the state of one run.
type synchronization struct {
	id        uuid.UUID
	step      int                // of authorization; a rerun of an activity recognises its step by the number
	answered  map[uuid.UUID]bool // challenges whose answers are stored
	restarted map[uuid.UUID]bool // challenges that the client gave up for another one
	upgraded  *contract.Upgrade  // what the upgrade did that ran instead of a reading
	open      bool               // something may be open at the bank
}

// run goes the way of a synchronization to its end.
func (s *synchronization) run(ctx workflow.Context) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	accounts, parallel, err := s.readAccounts(ctx)
	if err != nil {
		return err
	}
	return s.readTransactions(ctx, accounts, parallel)
}

// connect authorizes with the bank, asking the customer as often as the bank likes.
func (s *synchronization) connect(ctx workflow.Context) error {
	detail(ctx, "RUNNING: authorizing with the bank")
	s.step++
	s.open = true // until the bank's adapter says that it keeps nothing open
	outcome, err := call(withBank.options(ctx, "authorize with the bank"), contract.Connect, contract.AuthorizeInput{SyncID: s.id, Step: s.step})
	for err == nil && outcome.Status == banks.Challenged {
		outcome, err = s.ask(ctx, outcome.Challenge)
	}
	s.open = err != nil || outcome.Open
	if err == nil && outcome.Superseded != uuid.Nil {
		return s.upgrade(ctx, outcome.Superseded)
	}
	return err
}

// ask is AWAIT_AUTH: it waits for the customer, and goes on with the bank. Where the client wants another challenge instead,
// the bank is asked for it.
func (s *synchronization) ask(ctx workflow.Context, c contract.Challenge) (outcome contract.AuthorizeOutcome, err error) {
	detail(ctx, "AWAIT_AUTH: the bank asks the customer (%s), until %s", c.Type, c.ExpiresAt.Format(time.RFC3339))
	if err := workflow.UpsertTypedSearchAttributes(ctx, contract.SyncState.ValueSet(string(rules.AwaitAuth))); err != nil {
		return outcome, err
	}
	s.step++
	in := contract.AuthorizeInput{SyncID: s.id, Step: s.step, ChallengeID: c.ID}
	if c.Type == banks.Decoupled {
		outcome, err = s.awaitConfirmation(ctx, c, in)
	} else {
		outcome, err = s.awaitAnswer(ctx, c, in)
	}
	if typeOf(err) != contract.Restarted {
		return outcome, err
	}
	if err := s.running(ctx, "asking the bank for another challenge"); err != nil {
		return outcome, err
	}
	return call(withBank.options(ctx, "begin another challenge"), contract.Restart, in)
}

// errRestarted ends the wait for a challenge that the client gave up for another one.
var errRestarted = temporal.NewNonRetryableApplicationError("the client wants another challenge", contract.Restarted, nil)

// awaitConfirmation waits until the bank knows that the customer confirmed in its app. A restart ends the wait.
func (s *synchronization) awaitConfirmation(ctx workflow.Context, c contract.Challenge, in contract.AuthorizeInput) (outcome contract.AuthorizeOutcome, err error) {
	l := confirmation
	l.attempt = c.ExpiresAt.Sub(workflow.Now(ctx)) + time.Minute
	waiting, stop := workflow.WithCancel(l.options(ctx, "wait for the confirmation in the bank's app"))
	confirmed := begin(waiting, contract.AwaitConfirmation, contract.AwaitConfirmationInput{
		AuthorizeInput: in, PollAfter: c.PollAfter, ExpiresAt: c.ExpiresAt})
	if err := workflow.Await(ctx, func() bool { return confirmed.IsReady() || s.restarted[c.ID] }); err != nil {
		return outcome, err
	}
	if !confirmed.IsReady() {
		stop() // it stores nothing any more: nobody waits for its end
		return outcome, errRestarted
	}
	if err := confirmed.Get(ctx, &outcome); err != nil {
		return outcome, err
	}
	return outcome, s.running(ctx, "the customer confirmed")
}

// awaitAnswer waits for the customer's answer, and hands it to the bank. A restart ends the wait.
func (s *synchronization) awaitAnswer(ctx workflow.Context, c contract.Challenge, in contract.AuthorizeInput) (outcome contract.AuthorizeOutcome, err error) {
	waiting, stop := workflow.WithCancel(ctx) // the deadline's timer would outlive the wait
	there, err := workflow.AwaitWithOptions(waiting, workflow.AwaitOptions{
		Timeout:      c.ExpiresAt.Sub(workflow.Now(ctx)),
		TimerOptions: workflow.TimerOptions{Summary: fmt.Sprintf("%s challenge %d waits for the customer", c.Type, s.step-1)},
	}, func() bool { return s.answered[c.ID] || s.restarted[c.ID] })
	stop()
	switch {
	case err != nil:
		return outcome, err
	case !there:
		return outcome, domainError(banks.CodeExpired)
	case s.restarted[c.ID]: // the database took one of the two
		return outcome, errRestarted
	}
	if err := s.running(ctx, "handing the answer to the bank"); err != nil {
		return outcome, err
	}
	return call(withBank.options(ctx, "hand the answer to the bank"), contract.Answer, in)
}

func (s *synchronization) running(ctx workflow.Context, what string) error {
	detail(ctx, "RUNNING: %s", what)
	return workflow.UpsertTypedSearchAttributes(ctx, contract.SyncState.ValueSet(string(rules.Running)))
}

// maxDemands bounds how often a bank may want the customer again while it is being read.
const maxDemands = 5

// readAccounts stores the list of accounts, and tells which of them to read.
func (s *synchronization) readAccounts(ctx workflow.Context) ([]uuid.UUID, int, error) {
	for range maxDemands {
		detail(ctx, "RUNNING: reading accounts")
		out, err := call(withBank.options(ctx, "read accounts and balances"), contract.ReadAccounts, s.id)
		if err != nil || !out.NeedsAuthorization {
			return out.Accounts, out.Parallel, err
		}
		if err := s.connect(ctx); err != nil {
			return nil, 0, err
		}
	}
	return nil, 0, domainError(banks.CodeConfirmAtBank)
}

// readTransactions reads the accounts, as many at once as the bank bears. An account that fails fails alone. Those
// for which the bank wants the customer first are read again after they were asked, once for all of them.
func (s *synchronization) readTransactions(ctx workflow.Context, accounts []uuid.UUID, parallel int) error {
	for demands := 0; len(accounts) > 0; demands++ {
		if demands > 0 {
			if demands > maxDemands {
				return domainError(banks.CodeConfirmAtBank)
			}
			if err := s.connect(ctx); err != nil {
				return err
			}
		}
		var err error
		if accounts, err = s.readEach(ctx, accounts, parallel); err != nil {
			return err
		}
	}
	return nil
}

// readEach reads accounts side by side, and answers those that need the customer.
func (s *synchronization) readEach(ctx workflow.Context, accounts []uuid.UUID, parallel int) (again []uuid.UUID, err error) {
	detail(ctx, "RUNNING: reading transactions of %d accounts", len(accounts))
	limit := workflow.NewSemaphore(ctx, int64(parallel))
	all := workflow.NewWaitGroup(ctx)
	done := 0
	for i, account := range accounts {
		if err := limit.Acquire(ctx, 1); err != nil {
			return nil, err
		}
		all.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer all.Done()
			defer limit.Release(1)
			options := reading.options(ctx, fmt.Sprintf("read transactions, account %d of %d", i+1, len(accounts)))
			out, failed := call(options, contract.ReadTransactions,
				contract.ReadTransactionsInput{SyncID: s.id, AccountID: account, LastAttempt: reading.attempts})
			done++
			detail(ctx, "RUNNING: transactions of %d of %d accounts read", done, len(accounts))
			switch {
			case failed != nil && (temporal.IsCanceledError(failed) || typeOf(failed) == contract.Ended):
				err = failed
			case out.NeedsAuthorization:
				again = append(again, account)
			}
			// Any other failure is the account's own: the activity, or at last Finish, records it.
		})
	}
	all.Wait(ctx)
	return again, err
}

// finish stores how it ended, also when the run was cancelled, and ends the run likewise.
func (s *synchronization) finish(ctx workflow.Context, failed error) (out contract.FinishOutcome, err error) {
	code := codeOf(failed)
	detail(ctx, "finishing")
	disconnected, _ := workflow.NewDisconnectedContext(ctx)
	options := finishing.options(disconnected, "store how it ended")
	out, err = call(options, contract.Finish, contract.FinishInput{SyncID: s.id, Code: code, Open: s.open})
	if err != nil {
		if typeOf(err) == contract.Ended { // deleted meanwhile, with its access
			return out, domainError(banks.CodeCancelled)
		}
		return out, err
	}
	attributes := []temporal.SearchAttributeUpdate{contract.SyncState.ValueSet(string(out.Status))}
	if out.Code != 0 {
		attributes = append(attributes, contract.SyncErrorCode.ValueSet(strconv.Itoa(out.Code)))
	}
	if err := workflow.UpsertTypedSearchAttributes(disconnected, attributes...); err != nil {
		return out, err
	}
	s.drain(ctx)
	detail(ctx, "%s: %d accounts, %d transactions added, %d modified, %d removed", out.Status, out.Accounts,
		out.TransactionsAdded, out.TransactionsModified, out.TransactionsRemoved)
	switch {
	case s.upgraded != nil:
		return out, domainError(out.Code, s.upgraded)
	case out.Status == rules.Failed:
		return out, domainError(out.Code)
	}
	return out, nil
}

// listen notes which challenges are answered or restarted. What does not belong to an open challenge is never looked at.
func (s *synchronization) listen(ctx workflow.Context) {
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var signal contract.Answered
			if !workflow.GetSignalChannel(ctx, contract.ChallengeAnswered).Receive(ctx, &signal) {
				return
			}
			s.answered[signal.ChallengeID] = true
		}
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var signal contract.GivenUp
			if !workflow.GetSignalChannel(ctx, contract.ChallengeRestarted).Receive(ctx, &signal) {
				return
			}
			s.restarted[signal.ChallengeID] = true
		}
	})
}

// drain takes what signals are left, so that the end of the run does not leave any unseen.
func (s *synchronization) drain(ctx workflow.Context) {
	for _, name := range []string{contract.ChallengeAnswered, contract.ChallengeRestarted} {
		for workflow.GetSignalChannel(ctx, name).ReceiveAsync(nil) {
		}
	}
}

// detail tells the operator in the Temporal UI what goes on. It costs no event.
func detail(ctx workflow.Context, format string, args ...any) {
	workflow.SetCurrentDetails(ctx, fmt.Sprintf(format, args...))
}

// domainError is the failure of a run that ended as the API's error code says, with the code's data: ids only.
func domainError(code int, data ...any) error {
	return temporal.NewApplicationErrorWithOptions(fmt.Sprintf("the synchronization failed with %d", code), strconv.Itoa(code),
		temporal.ApplicationErrorOptions{NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign, Details: data})
}

// codeOf is the API's code for what ended a run: 0 for success.
func codeOf(err error) int {
	switch {
	case err == nil:
		return 0
	case temporal.IsCanceledError(err):
		return banks.CodeCancelled
	}
	if code, e := strconv.Atoi(typeOf(err)); e == nil {
		return code
	}
	var timeout *temporal.TimeoutError
	if errors.As(err, &timeout) {
		return banks.CodeTemporary
	}
	return banks.CodeInternal
}

// typeOf is the type of the application error inside err, or "".
func typeOf(err error) string {
	var application *temporal.ApplicationError
	if errors.As(err, &application) {
		return application.Type()
	}
	return ""
}
