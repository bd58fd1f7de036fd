package fints

import (
	"context"

	"github.com/kontoflow/kontoflow/banks"
)

// maxFirst bounds the orders that one call sends to get the first page of an account.
const maxFirst = 7

// firstPage finds the order and the period that the bank gives the account's first page for. A bank
// that refuses the period is asked for a shorter one (banks.Ladder), at last without days. One
// that lists camt, and does not give it, or answers with no list, is asked for MT940. What worked
// is kept.
func (t *talk) firstPage(ctx context.Context, a *userAccount, orders []string, window banks.Window) (page banks.Page, err error) {
	var unlisted *banks.Page // an answer without a list
	var vague string         // an order that was refused for no reason that the bank says
	var refusal error        // of it
	for i, order := range orders {
		page, err = t.descend(ctx, a, order, window, nil)
		switch {
		case err == nil && page.Withheld == banks.NoList && page.Next == "":
			if unlisted == nil {
				kept := page
				unlisted = &kept
			}
		case err == nil:
			t.worked(a, order)
			return page, nil
		case !skippable(err):
			return page, err
		case vague == "" && causeOf(err) == causeUnknown:
			vague, refusal = order, err
		}
		if t.requests >= maxFirst && i+1 < len(orders) {
			break
		}
	}
	if unlisted != nil {
		return *unlisted, nil
	}
	if vague != "" && t.learnt().Refused[formKey(vague, a)] == 0 {
		shorter, again := t.descend(ctx, a, vague, window, refusal)
		if again == nil {
			t.worked(a, vague)
			return shorter, nil
		}
		if !skippable(again) {
			return shorter, again
		}
	}
	for _, order := range orders {
		key := formKey(order, a)
		note(t, &t.learnt().Refused, key, min(t.learnt().Refused[key]+1, hopelessAfter))
	}
	return page, err
}

// worked keeps that the bank gave statements of the account for the order, and forgets that it
// refused the order before.
func (t *talk) worked(a *userAccount, order string) {
	for _, other := range t.statementOrders(a) {
		if other == order {
			note(t, &t.learnt().Refused, formKey(order, a), 0)
			return
		}
		key := formKey(other, a) // was asked before it, and refused
		note(t, &t.learnt().Refused, key, min(t.learnt().Refused[key]+1, hopelessAfter))
	}
}

// descend asks for the first page in one order, and for a shorter period where the bank refuses the
// period. refused is the bank's refusal of the order before in this call, without a reason: the
// period may be the reason all the same.
func (t *talk) descend(ctx context.Context, a *userAccount, order string, window banks.Window, refused error) (page banks.Page, err error) {
	at := t.first(order, window)
	before := t.learnt().Reach[order]
	if err = refused; err == nil {
		if page, err = t.page(ctx, a, at); err == nil || !refusesPeriod(err) {
			return page, err
		}
	}
	ladder := t.ladder(at)
	for ended := false; t.requests < maxFirst && !ended; {
		if ended = !t.dialog.Open; ended { // by the refusal, and each new one is a login with the PIN: one more step
			ladder = banks.NewLadder(t.today(), at.From, true)
		}
		if !t.shorten(&at, ladder, err) {
			break
		}
		// Kept before it is sent: the answer may come with a TAN, in another call.
		note(t, &t.learnt().Reach, order, reachOf(at, ladder))
		if page, err = t.page(ctx, a, at); err == nil {
			return page, nil
		}
		if !refusesPeriod(err) && (!skippable(err) || causeOf(err) != causeUnknown) {
			break
		}
	}
	if skippable(err) || refusesPeriod(err) {
		note(t, &t.learnt().Reach, order, before)
	}
	return page, forGood(err)
}

// forGood makes sure that a refused period is not asked for again as what passes: words such as
// "not available" are words of refused periods, too.
func forGood(err error) error {
	if !refusesPeriod(err) || skippable(err) {
		return err
	}
	refused, _ := asRefusal(err)
	fault := *refused.fault
	fault.Kind, fault.Code = banks.Rejected, banks.CodeBankCannot
	return &refusal{fault: &fault, said: refused.said}
}

// ladder begins at a place. With the customer there, one of its requests is left for the one
// without days.
func (t *talk) ladder(at cursor) *banks.Ladder {
	l := banks.NewLadder(t.today(), at.From, !t.conv.Interactive)
	if t.conv.Interactive && !at.From.IsZero() {
		l.Spend()
	}
	return l
}

// shorten moves a place to the next shorter period, and at last to none. It reports false where
// there is nothing left.
func (t *talk) shorten(at *cursor, ladder *banks.Ladder, refusal error) bool {
	if at.NoPeriod {
		return false
	}
	said := ""
	if e := banks.AsError(refusal); e != nil {
		said = e.Message
	}
	if ladder.Down(said) {
		at.From = ladder.From()
		if !at.To.IsZero() {
			at.From = min(at.From, at.To)
		}
		return true
	}
	if at.From.IsZero() || !t.conv.Interactive && t.requests > 1 {
		return false
	}
	at.From, at.To, at.NoPeriod = 0, 0, true
	return true
}

// reachOf is what to keep of a period.
func reachOf(at cursor, ladder *banks.Ladder) int {
	if at.NoPeriod {
		return noPeriod
	}
	return ladder.Days()
}
