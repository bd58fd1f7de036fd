package fints

import (
	"bytes"
	"cmp"
	"image"
	_ "image/gif" // formats of photoTAN pictures
	_ "image/jpeg"
	_ "image/png"
	"regexp"
	"strings"
	"time"

	"github.com/microcosm-cc/bluemonday"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/banks/formats/hhd"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
)

const (
	// pollEvery is the pace of a decoupled authentication where the BPD name none.
	pollEvery = 5 * time.Second
	// slowest is the slowest pace that a bank can set: three digits of seconds (data dictionary,
	// "Wartezeit vor nächster Statusabfrage").
	slowest = 999 * time.Second
	// usualValidity is how long a challenge is taken to be valid where the bank does not say, and
	// longestValidity the longest that is believed.
	usualValidity   = 5 * time.Minute
	longestValidity = time.Hour
)

// pace is the least wait before a poll, as the bank gives it.
func pace(seconds int) time.Duration {
	if seconds <= 0 {
		return pollEvery
	}
	return min(time.Duration(seconds)*time.Second, slowest)
}

// wait is how long to wait before the next poll for an order. The bank's times are its least. Where
// it allows only so many polls they are spread over the time that the challenge is valid: close
// together at first, since most customers confirm at once, and the last one shortly before the end.
func (m *method) wait(w *waiting, now time.Time) time.Duration {
	least := pace(m.NextPoll)
	if w.Polls == 0 {
		least = pace(m.FirstPoll)
	}
	if m.MaxPolls <= 0 || w.Polls >= m.MaxPolls {
		return least
	}
	valid := usualValidity
	if until := w.Until.Sub(w.Since); !w.Until.IsZero() && until > 0 && until <= longestValidity {
		valid = until
	}
	part := float64(w.Polls+1) / float64(m.MaxPolls)
	due := w.Since.Add(time.Duration(float64(valid) * 0.95 * part * part * part))
	return max(least, due.Sub(now))
}

// validUntil reads until when the challenge of HITAN is valid; zero: the bank did not say.
func (t *talk) validUntil(s *syntax.Segment) time.Time {
	until, err := time.ParseInLocation("20060102 150405", s.Get(5, 0)+" "+s.Get(5, 1), germany)
	if err != nil {
		return time.Time{}
	}
	return until
}

// ask opens a question to the customer.
func (t *talk) ask(q question) (banks.Step, error) {
	if !t.conv.Interactive {
		return banks.Step{}, needsUser(banks.CodeActivationNeeded, "the bank wants the customer, who is not there")
	}
	t.dialog.Ask, t.dirty = &q, true
	return t.asked(), nil
}

// asked is the step of the open question.
func (t *talk) asked() banks.Step {
	challenge := t.dialog.Ask.Challenge
	return banks.Step{Status: banks.Challenged, Challenge: &challenge, PollAfter: t.dialog.Ask.PollAfter}
}

// askTAN makes a question of what the bank said with HITAN.
func (t *talk) askTAN() (banks.Step, error) {
	w, m := t.dialog.Waiting, t.method()
	if m == nil {
		return banks.Step{}, nonsense("ask for the TAN", "there is no method to make it with")
	}
	text := w.Challenge
	if text == "nochallenge" {
		text = ""
	}
	if w.Decoupled {
		now := t.options.Now()
		first := m.wait(w, now)
		return t.ask(question{PollAfter: first, NotBefore: now.Add(first),
			Challenge: banks.Challenge{Type: banks.Decoupled, Message: cmp.Or(lenient.PlainText(text, maxMessage), "Please confirm in your bank's app.")}})
	}
	challenge := banks.Challenge{Type: banks.Embedded, Label: cmp.Or(m.Name, "TAN")}
	if m.MaxLength > 0 && m.MaxLength <= 99 {
		challenge.MaxLength = m.MaxLength
	}
	challenge.InputFormat = map[int]string{1: "integer", 2: "characters"}[m.Format]
	format, data, rest, err := m.present(text, w.HHDUC)
	if err != nil {
		return banks.Step{}, err
	}
	challenge.Format, challenge.Data = format, data
	if format == banks.FormatHHD {
		challenge.Version = string(hhd.V14)
		if f, err := hhd.ParseFlicker(flickerOf(text, w.HHDUC)); err == nil {
			challenge.Version = string(f.Version)
		}
	}
	if format == banks.FormatHHD || format == banks.FormatPhoto {
		challenge.AdditionalInfo = lenient.PlainText(rest, maxMessage)
	}
	return t.ask(question{Challenge: challenge})
}

// present finds the form of a challenge: a picture, a flicker code, or a text. rest is the text
// beside the first two.
func (m *method) present(text string, hhduc []byte) (format, data, rest string, err error) {
	rest = text
	if i := strings.Index(text, "CHLGUC"); i >= 0 {
		rest = text[:i]
		if _, after, found := strings.Cut(text, "CHLGTEXT"); found && len(after) >= 4 {
			rest += after[4:] // four digits count the characters
		}
	}
	source := hhduc
	if len(source) == 0 && rest != text {
		source = []byte(text)
	}
	if len(source) > 0 {
		if picture, err := hhd.ParseMatrix(source); err == nil {
			if data, err = dataURI(picture); err != nil {
				return "", "", "", err
			}
			return banks.FormatPhoto, data, rest, nil
		}
		if flicker, err := hhd.ParseFlicker(string(source)); err == nil {
			return banks.FormatHHD, flicker.Code(), rest, nil
		}
		// Neither: the text alone has to do, and the customer types what it says into their device.
	}
	format, data = words(rest, m.Structured)
	if data == "" {
		format, data = banks.FormatText, "TAN"
	}
	return format, data, "", nil
}

func flickerOf(text string, hhduc []byte) string {
	if len(hhduc) > 0 {
		return string(hhduc)
	}
	return text
}

// maxImageSide bounds a picture, in pixels.
const maxImageSide = 4096

func dataURI(m hhd.Matrix) (string, error) {
	config, format, err := image.DecodeConfig(bytes.NewReader(m.Image))
	if err != nil || config.Width > maxImageSide || config.Height > maxImageSide {
		return "", nonsense("read the challenge's picture", "it is no picture of a sensible size")
	}
	m.MIME = "image/" + format // what it is, whatever it is called
	return m.DataURI(), nil
}

var (
	anyTag = regexp.MustCompile(`</?[a-zA-Z][^>]*>`)
	// A challenge may hold these and no other tags ("Sicherheitsverfahren PIN/TAN", data element
	// "Challenge").
	structure = func() *bluemonday.Policy {
		p := bluemonday.NewPolicy()
		p.AllowElements("br", "p", "b", "i", "u", "ul", "ol", "li")
		return p
	}()
)

// words decides whether a challenge's text is HTML, and makes either harmless.
func words(s string, structured bool) (format, clean string) {
	if structured && anyTag.MatchString(s) {
		return banks.FormatHTML, lenient.Markup(structure.Sanitize(lenient.Cut(s, maxMessage)))
	}
	if anyTag.MatchString(s) {
		return banks.FormatText, lenient.PlainText(s, maxMessage)
	}
	return banks.FormatText, lenient.Text(s, maxMessage)
}
