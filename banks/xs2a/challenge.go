package xs2a

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"image"
	_ "image/gif" // formats of photoTAN pictures
	_ "image/jpeg"
	_ "image/png"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/microcosm-cc/bluemonday"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
)

const (
	maxImage     = 256 << 10 // bytes of a photoTAN picture
	maxImageSide = 4096      // pixels
)

// pollEvery is the pace of a decoupled authorisation where the bank names none with Retry-After.
const pollEvery = 2 * time.Second

// ask opens a question to the customer.
func (t *talk) ask(q question) banks.Step {
	t.used()
	t.dialog.Ask, t.dirty = &q, true
	return t.asked()
}

// asked is the step of the open question.
func (t *talk) asked() banks.Step {
	challenge := t.dialog.Ask.Challenge
	return banks.Step{Status: banks.Challenged, Challenge: &challenge, PollAfter: t.dialog.Ask.PollAfter}
}

// askMethod lets the customer choose a method or a device. They are not asked where there is only
// one, and not for what they chose before: see offered.
func (t *talk) askMethod(ctx context.Context) (banks.Step, error) {
	all := t.dialog.Position.Methods
	t.offered()
	if len(all) == 1 {
		return banks.Step{}, t.choose(ctx, string(all[0].ID))
	}
	for i, id := range t.dialog.Replay {
		if all.find(id) != nil {
			t.dialog.Replay = append([]string{}, t.dialog.Replay[i+1:]...)
			return banks.Step{}, t.chooseAgain(ctx, id)
		}
	}
	return t.ask(question{Challenge: banks.Challenge{Type: banks.MethodSelection, AuthMethods: authMethods(all)}}), nil
}

// asksTAN reports whether challenge data wants something typed in.
func (p *position) asksTAN() bool {
	c := p.Challenge
	return c != nil && p.Approach != decoupled && p.Approach != redirected &&
		(c.pictured() || len(c.Data) > 0 || c.MaxLength != "" || c.Format != "")
}

func (t *talk) askTAN(ctx context.Context) (banks.Step, error) {
	p := &t.dialog.Position
	c := p.Challenge
	if c == nil {
		c = &challenge{}
	}
	chosen := p.Chosen
	if chosen == nil {
		chosen = &method{}
	}
	said := banks.Challenge{
		Type:           banks.Embedded,
		Label:          cmp.Or(lenient.PlainText(string(chosen.Name), 256), "TAN"),
		AdditionalInfo: lenient.PlainText(string(c.Additional), maxMessage),
	}
	if format := strings.ToLower(string(c.Format)); format == "integer" || format == "characters" {
		said.InputFormat = format
	}
	if n, err := strconv.Atoi(string(c.MaxLength)); err == nil && n > 0 && n <= maxText {
		said.MaxLength = n
	}
	if c.pictured() {
		picture, err := t.picture(ctx, c)
		switch {
		case err == nil:
			said.Format, said.Data = banks.FormatPhoto, picture
			return t.ask(question{Challenge: said}), nil
		case len(c.Data) == 0 && c.Additional == "":
			return banks.Step{}, err
		}
		// What the customer needs may stand beside it: a start code to type in, or what to do
		// without the picture.
		t.options.Logger.WarnContext(ctx, "a challenge is shown without its picture", "error", err)
	}
	if len(c.Data) > 0 && isFlicker(string(c.Data[0])) {
		said.Format, said.Data = banks.FormatHHD, string(c.Data[0])
		said.Version = hhdVersion(string(chosen.Version), said.Data)
		return t.ask(question{Challenge: said}), nil
	}
	said.Format, said.Data = words(cmp.Or(joined(c.Data), string(c.Additional), p.Message, string(chosen.Explanation)))
	said.Data = cmp.Or(said.Data, "TAN")
	return t.ask(question{Challenge: said}), nil
}

func (t *talk) askDecoupled() banks.Step {
	p := &t.dialog.Position
	said := p.Message
	if p.Challenge != nil && p.Challenge.Additional != "" {
		said = cmp.Or(said, string(p.Challenge.Additional))
	}
	if p.Chosen != nil {
		said = cmp.Or(said, string(p.Chosen.Explanation))
	}
	return t.ask(question{
		Challenge: banks.Challenge{Type: banks.Decoupled,
			Message: cmp.Or(lenient.PlainText(said, maxMessage), "Please confirm in your bank's app.")},
		PollAfter: pollEvery, NotBefore: t.options.Now().Add(pollEvery),
	})
}

// picture makes a data URI of a small PNG, JPEG or GIF: the first of the challenge's that is one.
func (t *talk) picture(ctx context.Context, c *challenge) (picture string, err error) {
	for _, image := range c.Images {
		var file []byte
		if file, err = decodePicture(image); err == nil {
			picture, err = dataURI(file)
		}
		if err == nil {
			return picture, nil
		}
	}
	if c.ImageLink == "" {
		return "", err
	}
	file, err := t.fetchPicture(ctx, string(c.ImageLink))
	if err != nil {
		return "", err
	}
	return dataURI(file)
}

const readPicture = "read the challenge's picture"

// decodePicture reads base64, with line breaks or not, or a data URI.
func decodePicture(encoded string) ([]byte, error) {
	if i := strings.Index(encoded, ";base64,"); strings.HasPrefix(encoded, "data:") && i > 0 {
		encoded = encoded[i+len(";base64,"):]
	}
	encoded = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == ' ' {
			return -1
		}
		return r
	}, encoded)
	if len(encoded) > base64.StdEncoding.EncodedLen(maxImage) {
		return nil, nonsense(readPicture, "it is too large")
	}
	file, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, nonsense(readPicture, "it is not base64")
	}
	return file, nil
}

func (t *talk) fetchPicture(ctx context.Context, link string) ([]byte, error) {
	u, err := t.bank.resolve(link)
	if err != nil {
		return nil, nonsense(readPicture, err.Error())
	}
	r, err := t.send(ctx, call{doing: readPicture, method: http.MethodGet, url: u, accept: "image/png, image/jpeg, image/gif",
		of: aboutAuthorisation, limit: maxImage})
	if err != nil {
		return nil, err
	}
	defer r.body.Close()
	file, err := io.ReadAll(r.body)
	if err != nil {
		return nil, unreadable(readPicture, err)
	}
	return file, nil
}

// dataURI wraps a picture by what it is, whatever the bank calls it.
func dataURI(file []byte) (string, error) {
	config, format, err := image.DecodeConfig(bytes.NewReader(file))
	if err != nil || config.Width > maxImageSide || config.Height > maxImageSide {
		return "", nonsense(readPicture, "it is no picture of a sensible size")
	}
	return "data:image/" + format + ";base64," + base64Of(file), nil
}

// isFlicker recognises a code for optical chipTAN: hexadecimal, and its first byte counts the ones
// that follow (HHD extension for unidirectional coupling, "LC").
func isFlicker(s string) bool {
	if len(s) < 12 || len(s) > 512 || len(s)%2 != 0 {
		return false
	}
	code, err := hex.DecodeString(s)
	return err == nil && int(code[0]) == len(code)-1
}

var hhdVersionIn = regexp.MustCompile(`1\.[0-9]`)

// hhdVersion takes the version from the method; else the code itself says: since 1.4 a control byte
// follows the start code's length, whose highest bit announces it.
func hhdVersion(method, code string) string {
	if v := hhdVersionIn.FindString(method); v != "" {
		return v
	}
	if length, err := strconv.ParseUint(code[2:4], 16, 8); err == nil && length&0x80 != 0 {
		return "1.4"
	}
	return "1.3"
}

func joined(lines many[text, upTo50]) string {
	var all []string
	for _, line := range lines {
		if line != "" {
			all = append(all, string(line))
		}
	}
	return lenient.Cut(strings.Join(all, "\n"), maxMessage)
}

var (
	looksLikeHTML = regexp.MustCompile(`<[a-zA-Z/!][^>]*>`)
	fewTags       = func() *bluemonday.Policy {
		p := bluemonday.NewPolicy()
		p.AllowElements("p", "br", "b", "strong", "i", "em", "u", "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "div", "span", "h3", "h4")
		return p
	}()
)

// words decides whether a bank's text is HTML, and makes either of them harmless.
func words(s string) (format, clean string) {
	if looksLikeHTML.MatchString(s) {
		return banks.FormatHTML, lenient.Markup(fewTags.Sanitize(lenient.Cut(s, maxMessage)))
	}
	return banks.FormatText, lenient.PlainText(s, maxMessage)
}
