// Package protocols imports the adapters that are part of Kontoflow, so that they are registered (banks.Register). Whoever
// adds an adapter adds a line here.
package protocols

import (
	_ "github.com/kontoflow/kontoflow/banks/fints"
	_ "github.com/kontoflow/kontoflow/banks/xs2a"
)
