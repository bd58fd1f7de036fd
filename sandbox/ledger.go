package sandbox

// A Ledger is what the bank has of one account today, whatever protocol it is read over: what tests hold against what
// a client has come to know.
type Ledger struct {
	IBAN      string // of a card: of the account that pays its bill
	MaskedPAN string // cards only
	Number    string
	Currency  string
	Balance   int64   // booked, in cents
	Entries   []Entry // pending ones first, then booked ones in the order of their days
}

// Ledgers lists a customer's accounts with the history that the bank shows.
func (b *Bank) Ledgers(login string) ([]Ledger, error) {
	b.mu.Lock()
	c, now, today := b.customer(login), b.now(), b.today()
	if c == nil {
		b.mu.Unlock()
		return nil, ErrNoCustomer
	}
	accounts, how := append([]*account(nil), c.accounts...), edition{today: today, reform: c.reform}
	b.mu.Unlock()

	ledgers := make([]Ledger, len(accounts))
	for i, a := range accounts {
		ledgers[i] = Ledger{IBAN: a.iban, MaskedPAN: a.pan, Number: a.number, Currency: a.currency, Balance: a.balance(now)}
		list := a.pending(today)
		for day := a.shown(today); day <= today; day++ {
			list = a.posted(list, day, now)
		}
		entries := make([]Entry, len(list))
		for n := range list {
			entries[n] = a.describe(&list[n], how)
		}
		ledgers[i].Entries = entries
	}
	return ledgers, nil
}
