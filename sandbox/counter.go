package sandbox

import "maps"

// Counters say what the bank has seen.
type Counters struct {
	Logins     map[string]int            `json:"logins"`     // login → passwords checked
	WrongPINs  map[string]int            `json:"wrong_pins"` // login → passwords refused
	TANs       map[string]int            `json:"tans"`       // login → TANs accepted, each authorisation's only once
	WrongTANs  map[string]int            `json:"wrong_tans"` // login → TANs refused
	Challenges map[string]int            `json:"challenges"` // login → text messages, pictures and pushes that the customer was troubled with
	Consents   map[string]int            `json:"consents"`   // login → consents that became valid
	Polls      map[string]int            `json:"polls"`      // login → status calls while a decoupled request was open
	Unattended map[string]int            `json:"unattended"` // consent id → reads without the customer, ever
	Exceeded   map[string]int            `json:"exceeded"`   // consent id → of them: refused, because the daily limit was used up
	Calls      map[string]int            `json:"calls"`      // "demo/transactions" → calls
	ByLogin    map[string]map[string]int `json:"by_login"`   // login → endpoint → calls
}

func newCounters() Counters {
	return Counters{
		Logins: map[string]int{}, WrongPINs: map[string]int{}, TANs: map[string]int{}, WrongTANs: map[string]int{},
		Challenges: map[string]int{}, Consents: map[string]int{}, Polls: map[string]int{}, Unattended: map[string]int{}, Exceeded: map[string]int{}, Calls: map[string]int{}, ByLogin: map[string]map[string]int{},
	}
}

// count needs b.mu.
func (b *Bank) count(bank, login, endpoint string) {
	b.counters.Calls[bank+"/"+endpoint]++
	if login == "" {
		return
	}
	if b.counters.ByLogin[login] == nil {
		b.counters.ByLogin[login] = map[string]int{}
	}
	b.counters.ByLogin[login][endpoint]++
}

// Counters returns a copy of what was counted so far.
func (b *Bank) Counters() Counters {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.counters
	for _, m := range []*map[string]int{&c.Logins, &c.WrongPINs, &c.TANs, &c.WrongTANs, &c.Challenges, &c.Consents, &c.Polls, &c.Unattended, &c.Exceeded, &c.Calls} {
		*m = maps.Clone(*m)
	}
	c.ByLogin = maps.Clone(c.ByLogin)
	for login := range c.ByLogin {
		c.ByLogin[login] = maps.Clone(c.ByLogin[login])
	}
	return c
}
