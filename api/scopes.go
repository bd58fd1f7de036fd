package api

import (
	"fmt"
	"slices"
	"strings"
)

// familyScopes are the words for scopes of the finX / figo Connect v4 family beside ours, and what each stands for here.
// Those that stand for nothing belong to what is not offered here, such as payments: they are known and not granted.
var familyScopes = map[string][]string{
	"accounts=rw":     {scopeAccounts, scopeAccesses},
	"accesses=ro":     {},
	"balance=rw":      {scopeBalance},
	"transactions=rw": {scopeTransactions},

	"user=ro": {}, "create_user": {},
	"payments=ro": {}, "payments=rw": {}, "submit_payments": {},
	"securities=ro": {}, "securities=rw": {},
	"standing_orders=ro": {}, "standing_orders=rw": {},
	"categorization=ro": {}, "categorization=rw": {},
	"banks=ro": {}, "banks=rw": {},
}

// wantedScopes reads the scope of a request for a token: ours, in the order of allScopes. An empty one wants all. What
// the family's words stand for is granted, and the answer's scope says what that is (RFC 6749, section 3.3).
func wantedScopes(text string) ([]string, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return allScopes, nil
	}
	var wanted []string
	for i, word := range words {
		stands, known := familyScopes[word]
		if slices.Contains(allScopes, word) {
			stands, known = []string{word}, true
		}
		if !known {
			return nil, invalid("scope", fmt.Sprintf("word %d is no scope", i+1))
		}
		wanted = append(wanted, stands...)
	}
	granted := narrow(allScopes, wanted)
	if len(granted) == 0 {
		return nil, invalid("scope", "names nothing that is offered here")
	}
	return granted, nil
}
