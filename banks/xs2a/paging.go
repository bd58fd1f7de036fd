package xs2a

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"hash/fnv"
	"net/url"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
)

const (
	maxPages = 10_000
	// maxTrail bounds the pages of a read that are remembered, so that a circle of links is
	// noticed.
	maxTrail = 2_000
	// farBack is how far a read without a beginning asks, in days: dateFrom is mandatory, and no
	// bank goes back further.
	farBack = 20 * 366
)

// cursor is our place between two pages.
type cursor struct {
	Link   string     `json:"link"`
	From   civil.Date `json:"from"`
	To     civil.Date `json:"to"`
	Page   int        `json:"page"`
	Both   bool       `json:"both,omitempty"`   // pending entries were asked for
	Closed bool       `json:"closed,omitempty"` // the caller named the end of the window
	Oldest civil.Date `json:"oldest,omitempty"` // booked entry seen so far

	Rows     bool           `json:"rows,omitempty"`     // the pages so far hold entries
	Pending  bool           `json:"pending,omitempty"`  // a page had a list of pending entries
	Withheld banks.Withheld `json:"withheld,omitempty"` // why the pages so far cover nothing
	File     bool           `json:"file,omitempty"`     // Link is a file for download
	Optional bool           `json:"optional,omitempty"` // the file stands beside a list that is empty
	Trail    []byte         `json:"trail,omitempty"`    // the pages read so far: eight bytes of hash for each
}

func (c cursor) String() string {
	raw, _ := json.Marshal(c) // strings and numbers only
	return base64.RawURLEncoding.EncodeToString(raw)
}

func readCursor(s string) (c cursor, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil {
		return c, misconfigured(banks.OwnError("the cursor cannot be read"))
	}
	return c, nil
}

// to ends a page with the place of the next one.
func (c cursor) to(page banks.Page, next *url.URL) (banks.Page, error) {
	if c.Page >= maxPages {
		return banks.Page{}, nonsense(readTransactions, "the pages never end")
	}
	c.Link, c.Page = next.String(), c.Page+1
	page.Next = c.String()
	return page, nil
}

// see keeps the day of the oldest booked entry.
func (c *cursor) see(entries []banks.Entry) {
	c.Rows = c.Rows || len(entries) > 0
	for i := range entries {
		if e := &entries[i]; !e.Pending && !e.BookingDate.IsZero() && (c.Oldest.IsZero() || e.BookingDate < c.Oldest) {
			c.Oldest = e.BookingDate
		}
	}
}

// withhold keeps the first reason why the read covers nothing.
func (c *cursor) withhold(why banks.Withheld) {
	if c.Withheld == "" {
		c.Withheld = why
	}
}

// visit adds a page to the trail.
func (c *cursor) visit(u *url.URL) {
	if len(c.Trail) < 8*maxTrail {
		c.Trail = binary.BigEndian.AppendUint64(c.Trail, trace(u))
	}
}

// visited reports whether a page is on the trail.
func (c *cursor) visited(u *url.URL) bool {
	of := trace(u)
	for i := 0; i+8 <= len(c.Trail); i += 8 {
		if binary.BigEndian.Uint64(c.Trail[i:]) == of {
			return true
		}
	}
	return false
}

func trace(u *url.URL) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(strings.TrimLeft(u.EscapedPath(), "/") + "?" + u.RawQuery))
	return h.Sum64()
}
