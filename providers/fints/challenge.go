package fints

import (
	"bytes"
	"cmp"
	"image"
	_ "image/gif" // formats of photoTAN pictures
	_ "image/jpeg"
	_ "image/png"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/microcosm-cc/bluemonday"

	"kontoflow/providers"
	"kontoflow/providers/hhd"
	"kontoflow/providers/lenient"
)

const (
	// pollEvery is the pace of a decoupled authentication where the BPD name none.
	pollEvery = 5 * time.Second
	// slowest is the slowest pace that a bank can set: three digits of seconds (data dictionary, "Wartezeit vor nächster
	// Statusabfrage").
	slowest = 999 * time.Second
)

// pace is how long to wait before a poll.
func (m *method) pace(seconds int) time.Duration {
	if seconds <= 0 {
		return pollEvery
	}
	return min(time.Duration(seconds)*time.Second, slowest)
}

// ask opens a question to the customer.
func (t *talk) ask(q question) (providers.Step, error) {
	if !t.conv.Interactive {
		return providers.Step{}, needsUser(providers.CodeActivationNeeded, "the bank wants the customer, who is not there")
	}
	t.dialog.Ask, t.dirty = &q, true
	return t.asked(), nil
}

// asked is the step of the open question.
func (t *talk) asked() providers.Step {
	challenge := t.dialog.Ask.Challenge
	return providers.Step{Status: providers.Challenged, Challenge: &challenge, PollAfter: t.dialog.Ask.PollAfter}
}

// chooseMethod lets the customer choose; where there is only one method there is nothing to choose.
func (t *talk) chooseMethod() (providers.Step, error) {
	all := t.methods()
	switch len(all) {
	case 0:
		for _, function := range t.lasting.Allowed {
			if function == oneStep {
				return t.announce(login, forReading), nil
			}
		}
		t.lasting.Allowed, t.dirty = nil, true
		return providers.Step{}, needsUser(providers.CodeTANNotActivated, "the customer has no TAN method that can be used")
	case 1:
		t.lasting.Method, t.lasting.Medium, t.dirty = all[0].Function, "", true
		return providers.Step{Status: providers.Moving}, nil
	}
	challenge := providers.Challenge{Type: providers.MethodSelection}
	for _, m := range all {
		info := map[string]string{"name": m.Name}
		if m.Of != "" {
			info["version"] = m.Of
		}
		challenge.AuthMethods = append(challenge.AuthMethods, providers.AuthMethod{ID: m.Function, Type: m.kind(), AdditionalInfo: info})
	}
	return t.ask(question{Challenge: challenge, For: forMethods})
}

// chooseMedium lets the customer choose the device or card.
func (t *talk) chooseMedium() (providers.Step, error) {
	m := t.method()
	switch len(t.dialog.Media) {
	case 0:
		return providers.Step{}, needsUser(providers.CodeTANNotActivated, "the customer has no TAN medium for the method")
	case 1:
		t.lasting.Medium, t.dirty = t.dialog.Media[0].Name, true
		return providers.Step{Status: providers.Moving}, nil
	}
	challenge := providers.Challenge{Type: providers.MethodSelection}
	for i, one := range t.dialog.Media {
		info := map[string]string{}
		if one.Phone != "" {
			info["phone"] = one.Phone
		}
		if one.Card != "" {
			info["card"] = one.Card
		}
		challenge.AuthMethods = append(challenge.AuthMethods,
			providers.AuthMethod{ID: strconv.Itoa(i + 1), Type: m.kind(), MediumName: one.Name, AdditionalInfo: info})
	}
	return t.ask(question{Challenge: challenge, For: forMedia})
}

// kind is the method's type as XS2A names it; what XS2A has no name for keeps the bank's.
func (m *method) kind() string {
	what := strings.ToLower(m.Kind + " " + m.ID + " " + m.Name)
	for _, k := range []struct{ word, kind string }{
		{"decoupled", "PUSH_OTP"}, {"push", "PUSH_OTP"}, {"qr", "PHOTO_OTP"}, {"photo", "PHOTO_OTP"}, {"hhd", "CHIP_OTP"}, {"chiptan", "CHIP_OTP"},
		{"mobiletan", "SMS_OTP"}, {"sms", "SMS_OTP"}, {"mtan", "SMS_OTP"},
	} {
		if strings.Contains(what, k.word) {
			return k.kind
		}
	}
	return cmp.Or(m.Kind, m.ID, m.Function)
}

// mediumClass is the class of the media that the method is used with (HITAB); "" any.
func (m *method) mediumClass() string {
	switch m.kind() {
	case "SMS_OTP":
		return "M"
	case "CHIP_OTP":
		return "G"
	}
	return ""
}

// askTAN makes a question of what the bank said with HITAN.
func (t *talk) askTAN() (providers.Step, error) {
	w, m := t.dialog.Waiting, t.method()
	if m == nil {
		return providers.Step{}, nonsense("ask for the TAN", "there is no method to make it with")
	}
	text := w.Challenge
	if text == "nochallenge" {
		text = ""
	}
	if w.Decoupled {
		first := m.pace(m.FirstPoll)
		return t.ask(question{PollAfter: first, NotBefore: t.options.Now().Add(first),
			Challenge: providers.Challenge{Type: providers.Decoupled, Message: cmp.Or(lenient.PlainText(text, maxMessage), "Please confirm in your bank's app.")}})
	}
	challenge := providers.Challenge{Type: providers.Embedded, Label: cmp.Or(m.Name, "TAN")}
	if m.MaxLength > 0 && m.MaxLength <= 99 {
		challenge.MaxLength = m.MaxLength
	}
	challenge.InputFormat = map[int]string{1: "integer", 2: "characters"}[m.Format]
	format, data, rest, err := m.present(text, w.HHDUC)
	if err != nil {
		return providers.Step{}, err
	}
	challenge.Format, challenge.Data = format, data
	if format == providers.FormatHHD {
		challenge.Version = string(hhd.V14)
		if f, err := hhd.ParseFlicker(flickerOf(text, w.HHDUC)); err == nil {
			challenge.Version = string(f.Version)
		}
	}
	if format == providers.FormatHHD || format == providers.FormatPhoto {
		challenge.AdditionalInfo = lenient.PlainText(rest, maxMessage)
	}
	return t.ask(question{Challenge: challenge})
}

// present finds the form of a challenge: a picture, a flicker code, or a text. rest is the text beside the first two.
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
			return providers.FormatPhoto, data, rest, nil
		}
		if flicker, err := hhd.ParseFlicker(string(source)); err == nil {
			return providers.FormatHHD, flicker.Code(), rest, nil
		}
		// Neither: the text alone has to do, and the customer types what it says into his device.
	}
	format, data = words(rest, m.Structured)
	if data == "" {
		format, data = providers.FormatText, "TAN"
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
	// A challenge may hold these and no other tags ("Sicherheitsverfahren PIN/TAN", data element "Challenge").
	structure = func() *bluemonday.Policy {
		p := bluemonday.NewPolicy()
		p.AllowElements("br", "p", "b", "i", "u", "ul", "ol", "li")
		return p
	}()
)

// words decides whether a challenge's text is HTML, and makes either harmless.
func words(s string, structured bool) (format, clean string) {
	if structured && anyTag.MatchString(s) {
		return providers.FormatHTML, lenient.Markup(structure.Sanitize(lenient.Cut(s, maxMessage)))
	}
	if anyTag.MatchString(s) {
		return providers.FormatText, lenient.PlainText(s, maxMessage)
	}
	return providers.FormatText, lenient.Text(s, maxMessage)
}
