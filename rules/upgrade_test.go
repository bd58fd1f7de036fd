package rules_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/rules"
)

func TestPlanUpgrade(t *testing.T) {
	t.Parallel()
	giro, savings, unknown := rules.UpgradingAccount{Type: banks.Giro, Supported: true},
		rules.UpgradingAccount{Type: banks.Savings, Supported: true}, rules.UpgradingAccount{Type: banks.Unknown, Supported: true}
	deleted := func(a rules.UpgradingAccount) rules.UpgradingAccount { a.Deleted = true; return a }
	unsupported := func(a rules.UpgradingAccount) rules.UpgradingAccount { a.Supported = false; return a }
	for name, c := range map[string]struct {
		accounts []rules.UpgradingAccount
		ends     bool
		all      bool // the new method reads every type
		plan     rules.UpgradePlan
	}{
		"no account yet":                        {plan: rules.UpgradePlan{Code: 40001, Moves: []bool{}}},
		"all are read":                          {accounts: []rules.UpgradingAccount{giro, giro}, plan: rules.UpgradePlan{Code: 40001, Moves: []bool{true, true}}},
		"some are":                              {accounts: []rules.UpgradingAccount{giro, savings}, plan: rules.UpgradePlan{Code: 40002, Moves: []bool{true, false}, Parts: true}},
		"some are, the old ends":                {accounts: []rules.UpgradingAccount{savings, giro}, ends: true, plan: rules.UpgradePlan{Code: 40003, Moves: []bool{false, true}, Parts: true}},
		"none is, the old ends":                 {accounts: []rules.UpgradingAccount{savings}, ends: true, plan: rules.UpgradePlan{Code: 40003, Moves: []bool{false}}},
		"a type that nobody told stays":         {accounts: []rules.UpgradingAccount{giro, unknown}, plan: rules.UpgradePlan{Code: 40002, Moves: []bool{true, false}, Parts: true}},
		"it goes along where the old ends":      {accounts: []rules.UpgradingAccount{giro, unknown}, ends: true, plan: rules.UpgradePlan{Code: 40001, Moves: []bool{true, true}}},
		"every type is read":                    {accounts: []rules.UpgradingAccount{giro, savings}, all: true, plan: rules.UpgradePlan{Code: 40001, Moves: []bool{true, true}}},
		"a deleted one that would stay":         {accounts: []rules.UpgradingAccount{giro, deleted(savings)}, plan: rules.UpgradePlan{Code: 40001, Moves: []bool{true, false}}},
		"only a deleted one would move":         {accounts: []rules.UpgradingAccount{deleted(giro), savings}, plan: rules.UpgradePlan{Code: 40002, Moves: []bool{true, false}}},
		"one that is not synchronized any more": {accounts: []rules.UpgradingAccount{giro, unsupported(giro)}, plan: rules.UpgradePlan{Code: 40002, Moves: []bool{true, false}, Parts: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			facts := rules.UpgradeFacts{Accounts: c.accounts, OldEnds: c.ends, NewTypes: []string{string(banks.Giro)}}
			if c.all {
				facts.NewTypes = nil
			}
			require.Equal(t, c.plan, rules.PlanUpgrade(facts))
		})
	}
}
