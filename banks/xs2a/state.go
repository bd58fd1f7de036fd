package xs2a

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// lasting lives with the access: what the next synchronization needs so that nobody has to be asked again.
type lasting struct {
	ConsentID       string        `json:"consent_id,omitempty"`
	ConsentStatus   consentStatus `json:"consent_status,omitempty"` // as the bank last said
	ValidUntil      civil.Date    `json:"valid_until,omitempty"`    // inclusive
	FrequencyPerDay int           `json:"frequency_per_day,omitempty"`
	Asked           banks.Consent `json:"asked,omitzero"`    // what the consent was asked for
	Renewal         string        `json:"renewal,omitempty"` // the Conversation.Renew that it has fulfilled, or is to fulfil
	Token           *token        `json:"token,omitempty"`
	SCA             memory        `json:"sca,omitzero"`
	NoCardsOn       civil.Date    `json:"no_cards_on,omitempty"` // the day /card-accounts had nothing for us
	Cards           bool          `json:"cards,omitempty"`       // /card-accounts had something for us
	// What the bank was found to refuse, under this consent.
	HistoryDays   int  `json:"history_days,omitempty"`    // more days of history than these; 0: it has not refused any
	BookedOnly    bool `json:"booked_only,omitempty"`     // pending transactions
	NoWithBalance bool `json:"no_with_balance,omitempty"` // accounts with their balances
	// Next is a consent that is to follow this one when the customer has granted it; until then this one is in force. Where
	// tokens do not come with consents it has a copy of the access token, to be ended with. See talk.former.
	Next *lasting `json:"next,omitempty"`
}

// token is what the bank's authorization server gave us.
type token struct {
	Access  string    `json:"access"`
	Refresh string    `json:"refresh,omitempty"`
	Got     time.Time `json:"got,omitzero"`
	Expiry  time.Time `json:"expiry,omitzero"`
	URL     string    `json:"url,omitempty"` // token endpoint, for the refresh
}

// dialog lives with the synchronization: where the authorisation stands, and what may be under way.
type dialog struct {
	// About announces a request that must not be sent twice unknowingly. It is sealed before it is sent.
	About *announcement `json:"about,omitempty"`
	// Ask is the question that is open at the customer.
	Ask *question `json:"ask,omitempty"`
	// Begun says that the consent of this dialog was created.
	Begun bool `json:"begun,omitempty"`
	// ForReading says that the authorisation is one that the bank wants before a read, under a valid consent.
	ForReading bool `json:"for_reading,omitempty"`
	// Renewing says that the dialog is about lasting.Next.
	Renewing bool `json:"renewing,omitempty"`
	// RefreshToken says that the bank called the access token expired.
	RefreshToken bool `json:"refresh_token,omitempty"`
	// Restarts counts authorisations begun afresh because an answer of the bank was lost, or it failed. The
	// customer's own restarts do not count.
	Restarts int `json:"restarts,omitempty"`
	// Start holds the links that begin an authorisation, for such a restart.
	Start links `json:"start,omitempty"`
	// Picked are the methods and devices that the customer chose, so that a restart need not ask again.
	Picked []string `json:"picked,omitempty"`
	// Replay are the choices of the authorisation before a restart, in their order.
	Replay []string `json:"replay,omitempty"`
	// Medium is the name of the device among Picked; Only is the method where there was nothing to pick.
	Medium string  `json:"medium,omitempty"`
	Only   *method `json:"only,omitempty"`
	// Wish is the Conversation.ChooseMethod for which the customer was asked.
	Wish string `json:"wish,omitempty"`
	// Restarted is the Conversation.Restart that was fulfilled last.
	Restarted string `json:"restarted,omitempty"`
	// State is what the redirect of this authorisation comes back with.
	State string `json:"state,omitempty"`

	Position position `json:"position,omitzero"`
	OAuth    *grant   `json:"oauth,omitempty"`
}

// An announcement is a request that is about to be sent, or was sent without an answer that we saw.
type announcement struct {
	Step      step   `json:"step"`
	RequestID string `json:"request_id"` // X-Request-ID, the same for every attempt
	Sent      bool   `json:"sent,omitempty"`
	Repeated  bool   `json:"repeated,omitempty"` // sent again after the bank was seen not to have it
	Failed    bool   `json:"failed,omitempty"`   // sent, and answered with an error of the bank's own (5xx)
	Failures  int    `json:"failures,omitempty"` // how often it failed so
}

// step names the requests that change something at the bank which cannot be taken back.
type step string

const (
	createConsent step = "CREATE_CONSENT"
	passwordToken step = "PASSWORD_TOKEN" // login and PIN for a token, before the consent
	sendPassword  step = "SEND_PASSWORD"
	sendTAN       step = "SEND_TAN"
	confirm       step = "CONFIRM" // confirmation code after a redirect
	exchangeCode  step = "EXCHANGE_CODE"
	refreshToken  step = "REFRESH_TOKEN"
)

// position is where an authorisation stands: what the bank's last answer allows as the next step.
type position struct {
	Links         links      `json:"links,omitempty"`
	Authorisation string     `json:"authorisation,omitempty"` // href of the authorisation resource
	Approach      approach   `json:"approach,omitempty"`      // where the bank said so
	SCAStatus     scaStatus  `json:"sca_status,omitempty"`
	Methods       methods    `json:"methods,omitempty"`
	NoMethods     bool       `json:"no_methods,omitempty"` // the bank lists methods, and there are none
	Chosen        *method    `json:"chosen,omitempty"`
	Challenge     *challenge `json:"challenge,omitempty"`
	Message       string     `json:"message,omitempty"`        // psuMessage
	PasswordTaken bool       `json:"password_taken,omitempty"` // it was sent in this authorisation, and not refused
	StatusBroken  bool       `json:"status_broken,omitempty"`  // the status link leads nowhere: the consent is asked
}

// approach is the bank's way of strong customer authentication, as the header ASPSP-SCA-Approach says.
type approach string

const (
	embedded   approach = "EMBEDDED"
	redirected approach = "REDIRECT"
	decoupled  approach = "DECOUPLED"
)

// A question is the open challenge as the caller got it, and what an answer to it needs.
type question struct {
	Challenge banks.Challenge `json:"challenge"`
	PollAfter time.Duration   `json:"poll_after,omitempty"` // DECOUPLED
	NotBefore time.Time       `json:"not_before,omitzero"`  // DECOUPLED: earliest next poll
}

// grant is an OAuth authorization under way.
type grant struct {
	PreStep  bool   `json:"pre_step,omitempty"` // before there is a consent
	Verifier string `json:"verifier"`           // PKCE, RFC 7636
	TokenURL string `json:"token_url"`
	Redirect string `json:"redirect"` // redirect_uri, the same in both requests
}

// expired reports whether the access token is about to be refused, as far as its lifetime says.
func (t *token) expired(now time.Time) bool {
	return !t.Expiry.IsZero() && now.After(t.Expiry.Add(-time.Minute))
}

// withoutRefresh is a copy that nobody refreshes.
func (t *token) withoutRefresh() *token {
	if t == nil {
		return nil
	}
	copied := *t
	copied.Refresh = ""
	return &copied
}

func (p *position) empty() bool {
	return len(p.Links) == 0 && p.Authorisation == "" && p.SCAStatus == ""
}

// fresh reports whether nothing of an authorisation has happened yet.
func (d *dialog) fresh() bool { return !d.Begun && d.Position.empty() }

// anew is a dialog that begins again: nothing is under way, and what the customer chose and wished
// for is not asked and done again.
func (d *dialog) anew() dialog {
	return dialog{Restarts: d.Restarts, Restarted: d.Restarted, Wish: d.Wish, Replay: append(slices.Clone(d.Picked), d.Replay...)}
}

// idle reports whether nothing is under way.
func (d *dialog) idle() bool {
	return d.About == nil && d.Ask == nil && d.OAuth == nil && d.fresh() && !d.ForReading && !d.RefreshToken && d.State == ""
}

// consented reports whether the stored consent is valid as far as we know, and covers what is wanted.
func (l *lasting) consented(today civil.Date, wanted banks.Consent) bool {
	return l.live(today) && l.ConsentStatus == consentValid && covers(l.Asked, wanted)
}

// live reports whether there is a consent that is not over, as far as we know.
func (l *lasting) live(today civil.Date) bool {
	return l.ConsentID != "" && !l.ConsentStatus.over() && (l.ValidUntil.IsZero() || l.ValidUntil >= today)
}

// covers reports whether a consent asked for as a allows everything that b wants.
func covers(a, b banks.Consent) bool {
	for _, s := range scopes(b) {
		if !slices.Contains(scopes(a), s) {
			return false
		}
	}
	if b.Recurring && !a.Recurring {
		return false
	}
	if len(a.Accounts) == 0 {
		return true
	}
	for _, account := range b.Accounts {
		if !slices.Contains(a.Accounts, account) {
			return false
		}
	}
	return len(b.Accounts) > 0
}

// leaveConsent forgets the consent, and has it revoked where it may be valid at the bank, or become so.
func (t *talk) leaveConsent() error {
	leaves := t.lasting
	if t.tokenPerConsent() {
		t.lasting.Token = nil
	}
	t.lasting.forgetConsent()
	t.dirty = true
	return t.leave(leaves)
}

// leave has a consent revoked where it may be valid at the bank, or become so. A token that came with it, as OAuth integrated
// gives them, goes with it. Another one is the access's, and stays: the consent gets a copy of the access token only.
// Refreshed from two places, a refresh token that rotates ends all tokens (RFC 9700, section 4.14.2).
func (t *talk) leave(leaves lasting) error {
	if !leaves.live(t.today()) {
		return nil
	}
	leaves.Next, leaves.SCA = nil, memory{}
	if !t.tokenPerConsent() {
		leaves.Token = t.lasting.Token.withoutRefresh()
	}
	left, err := json.Marshal(&leaves)
	if err != nil {
		return fmt.Errorf("write lasting state: %w", err)
	}
	t.conv.Left = append(t.conv.Left, left)
	return nil
}

// forgetConsent drops the consent and keeps the rest.
func (l *lasting) forgetConsent() {
	l.ConsentID, l.ConsentStatus, l.ValidUntil, l.FrequencyPerDay, l.NoCardsOn = "", "", 0, 0, 0
	l.Asked, l.Renewal = banks.Consent{}, ""
	l.Cards, l.HistoryDays, l.BookedOnly, l.NoWithBalance = false, 0, false, false
}

func (l *lasting) granted() *banks.Grant {
	if l.ConsentID == "" || l.ConsentStatus != consentValid {
		return nil
	}
	g := &banks.Grant{FrequencyPerDay: l.FrequencyPerDay}
	if !l.ValidUntil.IsZero() {
		g.ValidUntil = l.ValidUntil.AddDays(1).Time() // validUntil is inclusive
	}
	return g
}

// load reads the conversation's state; none yet is the zero state.
func load(conv *banks.Conversation) (l lasting, d dialog, err error) {
	if len(conv.Lasting) > 0 {
		if err := json.Unmarshal(conv.Lasting, &l); err != nil {
			return l, d, fmt.Errorf("read lasting state: %w", err)
		}
	}
	if len(conv.Dialog) > 0 {
		if err := json.Unmarshal(conv.Dialog, &d); err != nil {
			return l, d, fmt.Errorf("read dialog state: %w", err)
		}
	}
	return l, d, nil
}

// maxTokenLife bounds what a bank may say about its tokens.
const maxTokenLife = 366 * 24 * time.Hour

func secondsOf(n int64) time.Duration {
	return time.Duration(min(n, int64(maxTokenLife/time.Second))) * time.Second
}
