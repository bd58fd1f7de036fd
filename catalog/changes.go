package catalog

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/models"
)

// Changes are what an import does to the catalog, in the order of the banks' names.
type Changes struct {
	Added    []Change
	Changed  []Change
	Vanished []Change // in the catalog and not in the file: they stay
}

// A Change is about a bank, or one of its access methods.
type Change struct {
	Bank     string    // its name, with its bank code where it has one
	ID       uuid.UUID // of the bank, or of the access method
	Method   string    // the access method's type; "": it is about the bank itself
	Fields   []string  // what changes, by the names of the file
	Accesses int       // of an access method: how many customers' accesses use it
	// Redirects says where the customers' secrets go to that went elsewhere before: a host, the roots that are trusted, an
	// OAuth client. Such a change of a method with accesses has to be confirmed.
	Redirects []string
}

func (c Change) String() string {
	what := "bank"
	if c.Method != "" {
		what = c.Method
	}
	line := fmt.Sprintf("%s %s of %s", what, c.ID, c.Bank)
	if c.Method == "" {
		line = fmt.Sprintf("bank %s %s", c.ID, c.Bank)
	}
	if len(c.Fields) > 0 {
		line += ": " + strings.Join(c.Fields, ", ")
	}
	if len(c.Redirects) > 0 {
		line += fmt.Sprintf(" [%s; %d accesses]", strings.Join(c.Redirects, ", "), c.Accesses)
	}
	return line
}

// Write lists all changes, one a line.
func (c Changes) Write(w io.Writer) error {
	for _, kind := range []struct {
		name string
		all  []Change
	}{{"added", c.Added}, {"changed", c.Changed}, {"vanished", c.Vanished}} {
		for _, change := range kind.all {
			if _, err := fmt.Fprintf(w, "%-8s  %s\n", kind.name, change); err != nil {
				return err
			}
		}
	}
	return nil
}

// redirecting are the changes that have to be confirmed.
func (c Changes) redirecting() (all []Change) {
	for _, change := range c.Changed {
		if len(change.Redirects) > 0 {
			all = append(all, change)
		}
	}
	return all
}

// Unconfirmed is an import that was refused because it would send secrets of customers elsewhere.
type Unconfirmed struct{ Changes []Change }

func (u *Unconfirmed) Error() string {
	const shown = 10
	var lines []string
	for _, c := range u.Changes[:min(shown, len(u.Changes))] {
		lines = append(lines, c.String())
	}
	if more := len(u.Changes) - shown; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return "the import would send secrets of customers elsewhere; it has to be confirmed:\n" + strings.Join(lines, "\n")
}

// known is what the catalog holds before an import.
type known struct {
	banks      map[uuid.UUID]models.Bank
	methods    map[uuid.UUID]models.AccessMethod
	superseded map[uuid.UUID]Superseded
}

func loadKnown(tx *gorm.DB) (k known, err error) {
	k = known{make(map[uuid.UUID]models.Bank), make(map[uuid.UUID]models.AccessMethod), make(map[uuid.UUID]Superseded)}
	var banks []models.Bank
	if err := tx.Find(&banks).Error; err != nil {
		return k, fmt.Errorf("read the banks: %w", err)
	}
	for _, b := range banks {
		k.banks[b.ID] = b
	}
	var methods []models.AccessMethod
	if err := tx.Find(&methods).Error; err != nil {
		return k, fmt.Errorf("read the access methods: %w", err)
	}
	for _, m := range methods {
		k.methods[m.ID] = m
	}
	var marks []struct {
		ID             uuid.UUID
		SupersededBy   uuid.UUID
		SupersededFrom civil.Date
		CarriesRest    bool
	}
	err = tx.Raw(`SELECT id, superseded_by, superseded_from, carries_rest FROM access_methods WHERE superseded_by IS NOT NULL`).Scan(&marks).Error
	if err != nil {
		return k, fmt.Errorf("read what is superseded: %w", err)
	}
	for _, m := range marks {
		k.superseded[m.ID] = Superseded{By: m.SupersededBy, From: m.SupersededFrom, Ends: !m.CarriesRest}
	}
	return k, nil
}

// compare holds a file against what is known.
func (k known) compare(tx *gorm.DB, store *models.Store, r *rows) (c Changes, err error) {
	banks, methods := r.banks, r.methods
	names := make(map[uuid.UUID]string, len(banks)+len(k.banks))
	for id, b := range k.banks {
		names[id] = called(b)
	}
	named, listed := make(map[uuid.UUID]bool, len(banks)), make(map[uuid.UUID]bool, len(methods))
	for _, b := range banks {
		names[b.ID], named[b.ID] = called(b), true
		before, there := k.banks[b.ID]
		change := Change{Bank: called(b), ID: b.ID}
		if !there {
			c.Added = append(c.Added, change)
			continue
		}
		if change.Fields, err = differences(bankOf(before), bankOf(b)); err != nil {
			return c, err
		}
		if len(change.Fields) > 0 {
			c.Changed = append(c.Changed, change)
		}
	}
	accesses, err := accessesOf(tx)
	if err != nil {
		return c, err
	}
	for _, m := range methods {
		listed[m.ID] = true
		change := Change{Bank: names[m.BankID], ID: m.ID, Method: m.Type, Accesses: accesses[m.ID]}
		before, there := k.methods[m.ID]
		if !there {
			c.Added = append(c.Added, change)
			continue
		}
		if err := compareMethods(store, before, m, &change); err != nil {
			return c, err
		}
		if mark, marked := r.superseded[m.ID]; marked && mark != k.superseded[m.ID] {
			change.Fields = append(change.Fields, "superseded")
		}
		if len(change.Fields) > 0 {
			c.Changed = append(c.Changed, change)
		}
	}
	for id, b := range k.banks {
		if !named[id] {
			c.Vanished = append(c.Vanished, Change{Bank: called(b), ID: id})
		}
	}
	for id, m := range k.methods {
		if !listed[id] {
			c.Vanished = append(c.Vanished, Change{Bank: names[m.BankID], ID: id, Method: m.Type, Accesses: accesses[id]})
		}
	}
	for _, all := range [][]Change{c.Added, c.Changed, c.Vanished} {
		slices.SortFunc(all, func(a, b Change) int {
			return cmp.Or(strings.Compare(a.Bank, b.Bank), strings.Compare(a.Method, b.Method), strings.Compare(a.ID.String(), b.ID.String()))
		})
	}
	return c, nil
}

func called(b models.Bank) string {
	if b.BankCode != nil {
		return *b.BankCode + " " + b.Name
	}
	return b.Name
}

// accessesOf counts the accesses of each method.
func accessesOf(tx *gorm.DB) (map[uuid.UUID]int, error) {
	var rows []struct {
		ID uuid.UUID
		N  int
	}
	err := tx.Raw(`SELECT access_method_id AS id, count(*) AS n FROM accesses WHERE deleted_at IS NULL GROUP BY 1`).Scan(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("count the accesses: %w", err)
	}
	counts := make(map[uuid.UUID]int, len(rows))
	for _, r := range rows {
		counts[r.ID] = r.N
	}
	return counts, nil
}

// compareMethods notes what differs between a method as it is and as it is to be.
func compareMethods(store *models.Store, before, after models.AccessMethod, change *Change) error {
	was, err := store.OpenConnection(&before)
	if err != nil {
		return err
	}
	is, err := store.OpenConnection(&after)
	if err != nil {
		return err
	}
	if change.Fields, err = differences(methodOf(before), methodOf(after)); err != nil {
		return err
	}
	if before.Position != after.Position {
		change.Fields = append(change.Fields, "its place among the bank's")
	}
	connection, err := differences(was, is)
	if err != nil {
		return err
	}
	for _, field := range connection {
		change.Fields = append(change.Fields, "connection."+field)
	}
	if change.Accesses > 0 {
		change.Redirects = redirects(&was, &is)
	}
	return nil
}

// bankOf and methodOf are rows as a file would have them, so that differences have the file's names. Connections are
// compared by themselves.
func bankOf(m models.Bank) Bank {
	b := Bank{ID: m.ID, Kind: m.Kind, Name: m.Name, Country: m.Country, Supported: &m.Supported, Icon: m.Icon}
	if len(m.Languages) > 0 { // an empty list is none
		b.Language.Available = m.Languages
	}
	if m.BankCode != nil {
		b.BankCode = *m.BankCode
	}
	if m.BIC != nil {
		b.BIC = *m.BIC
	}
	return b
}

func methodOf(m models.AccessMethod) AccessMethod {
	return AccessMethod{ID: m.ID, Type: m.Type, InPSD2Scope: m.InPSD2Scope, SupportedAccountTypes: m.SupportedAccountTypes,
		ConfigurableConsent: m.ConfigurableConsent, RequiresAccountIdentifiers: m.RequiresAccountIdentifiers,
		CustomerAuthenticationFlows: m.CustomerAuthenticationFlows, Advice: m.Advice, Credentials: m.Credentials}
}

// differences are the names of the fields in which the JSON of two values of one type differs, in alphabetical order.
func differences(before, after any) (fields []string, err error) {
	var values [2]map[string]json.RawMessage
	for i, value := range []any{before, after} {
		encoded, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("compare: %w", err)
		}
		if err := json.Unmarshal(encoded, &values[i]); err != nil {
			return nil, fmt.Errorf("compare: %w", err)
		}
	}
	for name, value := range values[0] {
		if string(value) != string(values[1][name]) {
			fields = append(fields, name)
		}
	}
	for name := range values[1] {
		if _, there := values[0][name]; !there {
			fields = append(fields, name)
		}
	}
	slices.Sort(fields)
	return fields, nil
}

// redirects says which changes of a connection send what customers trust us with to somebody else.
func redirects(was, is *banks.Connection) (what []string) {
	if was.Protocol != is.Protocol {
		what = append(what, fmt.Sprintf("protocol %s → %s", was.Protocol, is.Protocol))
	}
	if a, b := host(was.URL), host(is.URL); a != b {
		what = append(what, fmt.Sprintf("host %s → %s", a, b))
	}
	if was.CAPEM != is.CAPEM || was.PasswordCAPEM != is.PasswordCAPEM {
		what = append(what, "trusted roots")
	}
	var before, after banks.OAuth
	if was.OAuth != nil {
		before = *was.OAuth
	}
	if is.OAuth != nil {
		after = *is.OAuth
	}
	if before.ClientID != after.ClientID || before.Flow != after.Flow {
		what = append(what, "OAuth client")
	}
	for _, address := range [][2]string{{before.MetadataURL, after.MetadataURL}, {before.AuthorizationURL, after.AuthorizationURL}, {before.TokenURL, after.TokenURL}} {
		if a, b := host(address[0]), host(address[1]); a != b {
			what = append(what, fmt.Sprintf("OAuth host %s → %s", cmp.Or(a, "none"), cmp.Or(b, "none")))
		}
	}
	return what
}

// host is the part of an address that says who is reached, without a path: however the name and the default port are
// written; "" for none.
func host(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	name, port := hostname(u), u.Port()
	if port != "" && port != map[string]string{"https": "443", "http": "80"}[u.Scheme] {
		name = net.JoinHostPort(name, port)
	}
	if u.Scheme != "https" {
		name = u.Scheme + "://" + name
	}
	return name
}

// hostname is the name alone, as names are compared.
func hostname(u *url.URL) string { return strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")) }
