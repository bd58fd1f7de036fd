package xs2a

import "github.com/kontoflow/kontoflow/banks"

// Protocol is the name that the catalog has for XS2A.
const Protocol = "XS2A"

func init() {
	banks.Register(banks.Registration{
		Protocol:     Protocol,
		MethodType:   "API",
		Capabilities: banks.Capabilities{GrantsConsents: true},
		New: func(o banks.Options) banks.Adapter {
			return New(Options{ConnectTimeout: o.ConnectTimeout, AnswerTimeout: o.AnswerTimeout, WholeTimeout: o.WholeTimeout,
				MaxBanks: o.MaxBanks, Now: o.Now, Logger: o.Logger})
		},
	})
}
