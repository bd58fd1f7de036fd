package rules

import (
	"slices"

	"github.com/kontoflow/kontoflow/banks"
)

// UpgradingAccount is an account of an access whose method is superseded.
type UpgradingAccount struct {
	Type      banks.AccountType
	Supported bool
	Deleted   bool // it goes where it would go, and counts for nothing
}

// UpgradeFacts are what an upgrade is planned from.
type UpgradeFacts struct {
	Accounts []UpgradingAccount
	NewTypes []string // the account types that the new method reads; none: all
	OldEnds  bool     // the old method reads nothing any more
}

// UpgradePlan is where the accounts go.
type UpgradePlan struct {
	// Code tells the client: 40001, the access takes the new method with all accounts; 40002, the access keeps the old
	// method, and the accounts that the new one reads move to another access; 40003, likewise, but the old method has
	// ended, so that the accounts which stay are not synchronized any more.
	Code  int
	Moves []bool // for each account
	Parts bool   // there is an account that moves to the other access: it is needed
}

// PlanUpgrade decides where the accounts of a superseded method go.
func PlanUpgrade(f UpgradeFacts) UpgradePlan {
	p := UpgradePlan{Code: banks.CodeUpgradeDirect, Moves: make([]bool, len(f.Accounts))}
	stays := false
	for i, a := range f.Accounts {
		p.Moves[i] = f.moves(a)
		p.Parts = p.Parts || p.Moves[i] && !a.Deleted
		stays = stays || !p.Moves[i] && !a.Deleted
	}
	switch {
	case !stays:
		p.Parts = false // the access itself moves
	case f.OldEnds:
		p.Code = banks.CodeUpgradePartial
	default:
		p.Code = banks.CodeUpgradeMulti
	}
	return p
}

// moves reports whether the new method reads the account. Of an account whose type the bank never told nobody knows: it
// stays where it is read. Where nothing reads it any more it goes along, since the next synchronization will tell.
func (f UpgradeFacts) moves(a UpgradingAccount) bool {
	return a.Supported && (len(f.NewTypes) == 0 || slices.Contains(f.NewTypes, string(a.Type)) || f.OldEnds && a.Type == banks.Unknown)
}
