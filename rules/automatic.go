package rules

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Automatic synchronization: once a day, at the access's own time of the day, where nothing speaks against it.

// DailyReads is how often a bank has to let an access be read in any 24 hours without its customer (RTS Art. 36(5)(b)).
const DailyReads = 4

// A Reason is why automatic synchronization of an access is off (docs/api.md); "": it is on.
type Reason string

// Of several reasons it is the first in this order: what the client has to do something about before the others matter.
const (
	UpgradePending     Reason = "UPGRADE_PENDING"      // the method is over, with its consent and its secrets
	Disabled           Reason = "DISABLED"             // by the client, who deleted every account or wants none read by itself
	WrongCredentials   Reason = "WRONG_CREDENTIALS"    // the bank refused the login or the PIN: tried again, they may block the customer
	NeedsUserEachTime  Reason = "NEEDS_USER_EACH_TIME" // the bank wants strong customer authentication at every login
	ConsentExpired     Reason = "CONSENT_EXPIRED"      // or spent, or revoked: the bank lets nobody read before the customer was there
	NoStoredSecrets    Reason = "NO_STORED_SECRETS"    // the customer may leave them on the same occasion
	UserActionRequired Reason = "USER_ACTION_REQUIRED" // whatever else the bank wants of the customer
)

// AutoFacts are what is known of an access.
type AutoFacts struct {
	Status            AccessStatus
	Superseded        bool   // its method is, by one that the access can take
	Unwanted          bool   // there is no account that the client wants to be read by itself
	StoppedBy         Reason // what the last synchronization ended with; "": nothing that stops
	NeedsUserEachTime bool
	GrantsConsents    bool      // its bank lets nobody read without a consent
	Consent           *Consent  // in force
	OneTime           bool      // the client asked for a consent that is good for one time
	SecretsMissing    bool      // the method has some, and they are not stored. They are also the customer's leave, where a consent opens everything
	NextSyncAt        time.Time // when automatic synchronization looks at the access
	Reads             Reads
}

// A Consent is one that is in force at a bank.
type Consent struct {
	ValidUntil      time.Time // zero: the bank did not say
	FrequencyPerDay int       // how often a day it lets itself be read without the customer; 0: the bank did not say
}

// Reads are when an access was read without its customer in the last 24 hours: when each reading ended. One that runs ends
// now.
type Reads []time.Time

// An Autonomy is how it stands about an access's automatic synchronization.
type Autonomy struct {
	Reason     Reason
	NextSyncAt time.Time // on: when it runs next; the present: as soon as those before it let it; zero: the consent ends before
	Remaining  int       // reads without the customer that are left in the 24 hours up to now
	RetryAt    time.Time // none left: when there is one again
}

// Decide says whether an access may be synchronized without its customer, and when.
func (f AutoFacts) Decide(now time.Time) Autonomy {
	a := Autonomy{Reason: f.reason(now)}
	allowed := DailyReads
	if f.Consent != nil && f.Consent.FrequencyPerDay > 0 {
		allowed = min(allowed, f.Consent.FrequencyPerDay)
	}
	if a.Remaining = max(0, allowed-len(f.Reads)); a.Remaining == 0 {
		// As many have to get older than a day as there are too many, and one more.
		reads := slices.Clone(f.Reads)
		slices.SortFunc(reads, time.Time.Compare)
		a.RetryAt = reads[len(reads)-allowed].Add(24 * time.Hour)
	}
	a.NextSyncAt = latest(now, f.NextSyncAt, a.RetryAt)
	if f.Consent != nil && f.Consent.endsBy(a.NextSyncAt) {
		a.NextSyncAt = time.Time{}
	}
	return a
}

func (f AutoFacts) reason(now time.Time) Reason {
	noConsent := f.Consent == nil || f.Consent.endsBy(now) || f.OneTime
	switch {
	case f.Superseded:
		return UpgradePending
	case f.Unwanted:
		return Disabled
	case f.StoppedBy == WrongCredentials:
		return WrongCredentials
	case f.NeedsUserEachTime:
		return NeedsUserEachTime
	case f.GrantsConsents && f.Status != AccessNew && noConsent:
		return ConsentExpired
	case f.SecretsMissing:
		return NoStoredSecrets
	case f.Status != AccessActive || f.StoppedBy != "":
		return UserActionRequired
	}
	return ""
}

func (c *Consent) endsBy(at time.Time) bool { return !c.ValidUntil.IsZero() && !c.ValidUntil.After(at) }

func latest(first time.Time, others ...time.Time) time.Time {
	for _, t := range others {
		if t.After(first) {
			first = t
		}
	}
	return first
}

// freshFor is how long what was read is fresh enough to pass over a slot later on the same day.
const freshFor = 6 * time.Hour

// NextSlot is the first of an access's daily slots after its data was read, so that every day has a reading: a slot is
// passed over only where its day has one already, and a late one. The slot follows from the access's random id: it stays,
// and accesses are spread evenly over the day (UTC).
func NextSlot(access uuid.UUID, read time.Time) time.Time {
	const day = 24 * time.Hour
	read = read.UTC()
	midnight := read.Truncate(day)
	slot := midnight.Add(time.Duration(binary.BigEndian.Uint64(access[8:])%uint64(day/time.Millisecond)) * time.Millisecond)
	if slot.Sub(read) < freshFor { // passed, or soon
		slot = slot.Add(day)
	}
	return slot
}
