package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
)

// CheckOptions say how addresses are asked.
type CheckOptions struct {
	Adapters map[string]banks.Adapter // by Connection.Protocol; those that are Probers are used
	Pace     time.Duration            // between two requests to one host; 0: a second
}

// What is wrong with an address.
const (
	Dead        = "DEAD"        // it cannot be reached, or does not speak the protocol
	Certificate = "CERTIFICATE" // it is not for this host, not valid now, or of an unknown authority
	Elsewhere   = "ELSEWHERE"   // the bank says that it is reached at another host
)

// A Finding is an address of the catalog that is wrong.
type Finding struct {
	Address string // without query
	Problem string // Dead, Certificate, Elsewhere
	Detail  string // why, or the hosts that the bank names
	Banks   int    // supported banks that are reached there
	Example string // one of them
}

// A CheckReport says what was found.
type CheckReport struct {
	Asked    int
	Findings []Finding // by address
}

// an address is asked once, for all banks that are reached there in the same way.
type address struct {
	connection banks.Connection
	banks      int
	example    string
}

// Check asks the addresses of all supported banks, without any customer: each distinct host, and in FinTS, where hosts have
// several servers, each distinct address. Hosts are asked side by side, and each at the given pace, whatever its ports.
func Check(ctx context.Context, store *models.Store, options CheckOptions) (CheckReport, error) {
	hosts, err := addresses(ctx, store, options.Adapters)
	if err != nil {
		return CheckReport{}, err
	}
	return ask(ctx, hosts, options)
}

// ask asks the addresses, which come by host.
func ask(ctx context.Context, hosts map[string][]*address, options CheckOptions) (CheckReport, error) {
	const atOnce = 8
	pace := cmp.Or(options.Pace, time.Second)
	var (
		report CheckReport
		mu     sync.Mutex
		all    sync.WaitGroup
		turns  = make(chan struct{}, atOnce)
	)
	for _, there := range hosts {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			for i, a := range there {
				if i > 0 && !wait(ctx, pace) {
					return
				}
				found := probe(ctx, options.Adapters[a.connection.Protocol].(banks.Prober), a, pace)
				mu.Lock()
				report.Asked++
				if found != nil {
					report.Findings = append(report.Findings, *found)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.SortFunc(report.Findings, func(a, b Finding) int { return strings.Compare(a.Address, b.Address) })
	return report, ctx.Err()
}

func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// addresses are those to ask, by host.
func addresses(ctx context.Context, store *models.Store, known map[string]banks.Adapter) (map[string][]*address, error) {
	var stored []models.Bank
	if err := models.WithMethods(store.DB.WithContext(ctx)).Where("supported").Order("bank_code, id").Find(&stored).Error; err != nil {
		return nil, fmt.Errorf("read the banks: %w", err)
	}
	all := collection{hosts: make(map[string][]*address), distinct: make(map[string]*address)}
	for _, b := range stored {
		for i := range b.AccessMethods {
			m := &b.AccessMethods[i]
			if _, able := known[m.Protocol].(banks.Prober); !able {
				continue
			}
			c, err := store.OpenConnection(m)
			if err != nil {
				return nil, err
			}
			all.add(c, called(b))
		}
	}
	return all.hosts, nil
}

// A collection has each address once.
type collection struct {
	hosts    map[string][]*address
	distinct map[string]*address
}

func (l *collection) add(c banks.Connection, bank string) {
	at := host(c.URL)
	key := c.Protocol + " " + at + " " + c.CAPEM
	if u, err := url.Parse(c.URL); err == nil {
		at = hostname(u)
		if c.Capabilities().OneAddressEach {
			key += " " + cmp.Or(u.EscapedPath(), "/")
		}
	}
	if l.distinct[key] == nil {
		l.distinct[key] = &address{connection: c, example: bank}
		l.hosts[at] = append(l.hosts[at], l.distinct[key])
	}
	l.distinct[key].banks++
}

// probe asks an address; nil: nothing is wrong with it. A dialog that needs a second request keeps to the pace as well.
func probe(ctx context.Context, p banks.Prober, a *address, pace time.Duration) *Finding {
	c := a.connection
	if pace >= time.Second {
		c.RequestsPerSecond = 1
	}
	named, err := p.Probe(ctx, &c)
	if ctx.Err() != nil {
		return nil
	}
	found := &Finding{Address: withoutQuery(c.URL), Banks: a.banks, Example: a.example}
	switch {
	case errors.Is(err, banks.ErrUntrusted):
		found.Problem, found.Detail = Certificate, banks.ErrUntrusted.Error()
	case err != nil:
		found.Problem, found.Detail = Dead, err.Error()
	default:
		elsewhere := otherHosts(c.URL, named)
		if len(elsewhere) == 0 {
			return nil
		}
		found.Problem, found.Detail = Elsewhere, strings.Join(elsewhere, ", ")
	}
	return found
}

// otherHosts are the hosts that a bank names, where the one it was asked at is not among them.
func otherHosts(asked string, named []string) (hosts []string) {
	u, err := url.Parse(asked)
	if err != nil {
		return nil
	}
	for _, one := range named {
		if !strings.Contains(one, "://") {
			one = "https://" + one // some banks leave it out
		}
		n, err := url.Parse(one)
		if err != nil || n.Hostname() == "" {
			continue
		}
		if hostname(n) == hostname(u) {
			return nil
		}
		if name := hostname(n); !slices.Contains(hosts, name) {
			hosts = append(hosts, name)
		}
	}
	return hosts
}

func withoutQuery(address string) string {
	address, _, _ = strings.Cut(address, "?")
	return address
}
