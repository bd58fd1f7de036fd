package banks

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// A Registration is what an adapter says of its protocol. Everything outside the adapter asks for what a protocol can do,
// and never for its name. An adapter registers in an init function; package banks/protocols imports those that are part of
// Kontoflow.
type Registration struct {
	Protocol     string // Connection.Protocol, as the catalog names it
	MethodType   string // the API's word for an access method of the protocol: API, FINTS
	Capabilities Capabilities
	New          func(Options) Adapter
}

// Capabilities are how a protocol differs from others. The zero value is a protocol with a login at every synchronization,
// whose accounts may be read side by side.
type Capabilities struct {
	// GrantsConsents: banks grant consents, which stay with them until they are revoked or end. Nothing is read without one,
	// and what the customer authorized once is good for several synchronizations.
	GrantsConsents bool
	// OneDialog: all accounts of an access are read in one dialog, one after the other.
	OneDialog bool
	// OneAddressEach: each address is a bank's own. Else one host serves many banks below different paths, and asking the
	// host once says enough of all.
	OneAddressEach bool
}

// Options are what adapters share. Zero values stand for an adapter's own defaults.
type Options struct {
	ConnectTimeout time.Duration // TCP and TLS, each
	AnswerTimeout  time.Duration // until the bank's answer begins
	WholeTimeout   time.Duration // a request with all of its answer
	MaxBanks       int           // connections of how many banks are kept open
	Now            func() time.Time
	Logger         *slog.Logger
}

var registry = struct {
	sync.RWMutex
	byProtocol map[string]Registration
}{byProtocol: make(map[string]Registration)}

// Register makes a protocol known. It panics where one of that name is known already.
func Register(r Registration) {
	registry.Lock()
	defer registry.Unlock()
	if _, known := registry.byProtocol[r.Protocol]; known || r.Protocol == "" || r.New == nil {
		panic(fmt.Sprintf("banks: the protocol %q is registered twice, or not whole", r.Protocol))
	}
	registry.byProtocol[r.Protocol] = r
}

// Registered returns what is known of a protocol; false: nothing.
func Registered(protocol string) (Registration, bool) {
	registry.RLock()
	defer registry.RUnlock()
	r, known := registry.byProtocol[protocol]
	return r, known
}

// Protocols lists all protocols that are known, by name.
func Protocols() []Registration {
	registry.RLock()
	defer registry.RUnlock()
	all := make([]Registration, 0, len(registry.byProtocol))
	for _, name := range slices.Sorted(maps.Keys(registry.byProtocol)) {
		all = append(all, registry.byProtocol[name])
	}
	return all
}

// Adapters makes an adapter for every protocol that is known, by Connection.Protocol.
func Adapters(o Options) map[string]Adapter {
	adapters := make(map[string]Adapter)
	for _, r := range Protocols() {
		adapters[r.Protocol] = r.New(o)
	}
	return adapters
}
