package fints

import "github.com/kontoflow/kontoflow/banks"

// Protocol is the name that the catalog has for FinTS.
const Protocol = "FINTS"

func init() {
	banks.Register(banks.Registration{
		Protocol:     Protocol,
		MethodType:   "FINTS",
		Capabilities: banks.Capabilities{OneDialog: true, OneAddressEach: true},
		New: func(o banks.Options) banks.Adapter {
			return New(Options{ConnectTimeout: o.ConnectTimeout, AnswerTimeout: o.AnswerTimeout, WholeTimeout: o.WholeTimeout,
				MaxBanks: o.MaxBanks, Now: o.Now, Logger: o.Logger})
		},
	})
}
