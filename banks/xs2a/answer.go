package xs2a

import (
	"cmp"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/go-faster/jx"

	"github.com/kontoflow/kontoflow/banks/formats/lenient"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// An answer is what consents and authorisations answer with: one shape for all, since every field
// may be there or not, and the links say what it means.
type answer struct {
	ConsentID     text          `json:"consentId"`
	ConsentStatus consentStatus `json:"consentStatus"`
	ValidUntil    text          `json:"validUntil"`
	Frequency     text          `json:"frequencyPerDay"`

	AuthorisationID text       `json:"authorisationId"`
	SCAStatus       scaStatus  `json:"scaStatus"`
	Methods         methods    `json:"scaMethods"`
	Chosen          *method    `json:"chosenScaMethod"`
	Challenge       *challenge `json:"challengeData"`
	Message         text       `json:"psuMessage"`
	Links           links      `json:"_links"`
}

func (a *answer) validUntil() civil.Date {
	day := string(a.ValidUntil)
	if len(day) > 10 {
		day = day[:10] // a date-time where a date belongs
	}
	d, err := civil.Parse(day)
	if err != nil {
		return 0
	}
	return d
}

func (a *answer) frequency() int {
	n, err := strconv.Atoi(string(a.Frequency))
	if err != nil || n < 0 {
		return 0
	}
	return min(n, 1000)
}

// links is the bank's _links: name → href.
type links map[string]string

// maxLinks bounds the links of one answer.
const maxLinks = 64

func (l *links) UnmarshalJSON(b []byte) error {
	*l = nil
	d := jx.DecodeBytes(b)
	if d.Next() != jx.Object {
		return nil // null, or nonsense: no links
	}
	n := 0
	err := d.ObjBytes(func(d *jx.Decoder, key []byte) error {
		if n++; n > maxLinks {
			return errEnough
		}
		name, href := lenient.Cut(string(key), 128), ""
		err := readLink(d, &href)
		if *l == nil {
			*l = links{}
		}
		(*l)[name] = href // an empty href still says something: "scaOAuth": null
		return err
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// first returns the href of the first of names that is there.
func (l links) first(names ...string) (href string, ok bool) {
	name, href := l.pick(names...)
	return href, name != ""
}

// pick is first with the name; "" none is there.
func (l links) pick(names ...string) (name, href string) {
	for _, name := range names {
		if href := l[name]; href != "" {
			return name, href
		}
	}
	return "", ""
}

// starting are those that begin an authorisation.
func (l links) starting() links {
	var start links
	for name, href := range l {
		if strings.HasPrefix(name, "startAuthorisation") {
			if start == nil {
				start = links{}
			}
			start[name] = href
		}
	}
	return start
}

// offersOAuth reports whether the bank sends the customer to its authorization server. The link may
// be null.
func (l links) offersOAuth() bool {
	_, ok := l["scaOAuth"]
	return ok
}

// method is a way of strong customer authentication (authenticationObject).
type method struct {
	ID          text `json:"authenticationMethodId"`
	Type        text `json:"authenticationType"`
	Version     text `json:"authenticationVersion,omitempty"`
	Name        text `json:"name,omitempty"`
	Explanation text `json:"explanation,omitempty"`
}

// methods is a list of them; one alone may come without its brackets, and one without an id cannot
// be chosen.
type methods []method

func (m *methods) UnmarshalJSON(b []byte) error {
	var all many[method, upTo50]
	if err := all.UnmarshalJSON(b); err != nil {
		return err
	}
	*m = nil
	if len(b) > 0 && b[0] == '[' {
		*m = methods{} // an empty list says that there are none
	}
	for _, one := range all {
		if one.ID != "" && len(one.ID) <= maxID {
			*m = append(*m, one)
		}
	}
	return nil
}

func (m methods) find(id string) *method {
	for i := range m {
		if string(m[i].ID) == id {
			return &m[i]
		}
	}
	return nil
}

// challenge is the bank's challengeData. Older versions of the interface spell some fields
// otherwise.
type challenge struct {
	Images     []string           `json:"image,omitempty"` // base64; one where the bank keeps to the specification
	ImageLink  text               `json:"imageLink,omitempty"`
	Data       many[text, upTo50] `json:"data,omitempty"`
	MaxLength  text               `json:"otpMaxLength,omitempty"`
	Format     text               `json:"otpFormat,omitempty"` // characters | integer, in any case
	Additional text               `json:"additionalInformation,omitempty"`
}

// maxImages bounds how many pictures of a challenge are looked at.
const maxImages = 4

func (c *challenge) UnmarshalJSON(b []byte) error {
	var raw struct {
		Image           json.RawMessage    `json:"image"`
		ImageLink       text               `json:"imageLink"`
		Data            many[text, upTo50] `json:"data"`
		MaxLength       text               `json:"otpMaxLength"`
		MaxLengthOpt    text               `json:"optMaxLength"`
		MaxLengthLenght text               `json:"otpMaxLenght"`
		Format          text               `json:"otpFormat"`
		FormatOpt       text               `json:"optFormat"`
		Additional      text               `json:"additionalInformation"`
		AdditionalInfo  text               `json:"additionalInfo"`
		Aditional       text               `json:"aditionalInformation"`
	}
	if json.Unmarshal(b, &raw) != nil {
		return nil
	}
	var images many[string, upTo50]
	_ = json.Unmarshal(raw.Image, &images)
	for _, image := range images {
		if image != "" && len(c.Images) < maxImages {
			c.Images = append(c.Images, image)
		}
	}
	c.Data, c.ImageLink = raw.Data, raw.ImageLink
	c.MaxLength = cmp.Or(raw.MaxLength, raw.MaxLengthOpt, raw.MaxLengthLenght)
	c.Format = cmp.Or(raw.Format, raw.FormatOpt)
	c.Additional = cmp.Or(raw.Additional, raw.AdditionalInfo, raw.Aditional)
	return nil
}

func (c *challenge) empty() bool {
	return c == nil || !c.pictured() && len(c.Data) == 0 && c.MaxLength == "" && c.Format == "" && c.Additional == ""
}

// pictured reports whether there should be a picture.
func (c *challenge) pictured() bool { return len(c.Images) > 0 || c.ImageLink != "" }

// tppMessage is one of the bank's error messages.
type tppMessage struct {
	Category text `json:"category"`
	Code     text `json:"code"`
	Text     text `json:"text"`
	Detail   text `json:"detail"`
}

// complaint is the body of an error, in all the shapes that are seen: an object with tppMessages
// (json), an RFC 7807 problem with the code beside it, or a bare array of messages.
type complaint struct {
	Messages many[tppMessage, upTo50] `json:"tppMessages"`
	Links    links                    `json:"_links"`
	Code     text                     `json:"code"`
	Title    text                     `json:"title"`
	Detail   text                     `json:"detail"`
	Error    text                     `json:"error"`      // OAuth
	Return   text                     `json:"returnCode"` // of a login for a token
}

func readComplaint(body []byte) (c complaint) {
	trimmed := strings.TrimSpace(string(body))
	if strings.HasPrefix(trimmed, "[") {
		_ = json.Unmarshal([]byte(trimmed), &c.Messages)
		return c
	}
	_ = json.Unmarshal([]byte(trimmed), &c)
	return c
}

// code is the first error code that looks like one.
func (c *complaint) code() string {
	for _, m := range c.Messages {
		if code := errorCode(string(m.Code)); code != "" && !strings.EqualFold(string(m.Category), "WARNING") {
			return code
		}
	}
	if code := errorCode(string(c.Code)); code != "" {
		return code
	}
	return cmp.Or(errorCode(strings.ToUpper(string(c.Error))), errorCode(strings.ToUpper(string(c.Return))))
}

// words are the bank's own, for the customer.
func (c *complaint) words() string {
	for _, m := range c.Messages {
		if m.Text != "" {
			return lenient.PlainText(string(m.Text), maxText)
		}
		if m.Detail != "" {
			return lenient.PlainText(string(m.Detail), maxText)
		}
	}
	if c.Detail != "" {
		return lenient.PlainText(string(c.Detail), maxText)
	}
	return lenient.PlainText(string(c.Title), maxText)
}

// errorCode lets only codes through, so that they may be logged: a bank could put anything there.
// Many digits are an account number.
func errorCode(s string) string {
	if s == "" || len(s) > 64 {
		return ""
	}
	digits := 0
	for _, r := range s {
		if r >= '0' && r <= '9' {
			digits++
		}
		if digits > 4 {
			return ""
		}
		if (r < 'A' || r > 'Z') && r != '_' && (r < '0' || r > '9') {
			return ""
		}
	}
	return s
}
