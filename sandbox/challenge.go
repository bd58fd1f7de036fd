package sandbox

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"strconv"
)

// method is a way of strong customer authentication.
type method struct {
	id          string // 1 to 35 characters
	kind        string // authenticationType
	version     string
	name        string
	explanation string
	form        form
	devices     []device // where there are several, one is chosen after the method
	blurred     bool     // over XS2A there is a picture, too, and it cannot be read
}

type device struct{ id, name string }

// form is what the challenge looks like.
type form int

const (
	text form = iota
	photo
	flicker
	push
	markup
)

var (
	smsTAN   = method{id: "sms", kind: "SMS_OTP", name: "mTAN an ***67", explanation: "TAN per SMS", form: text}
	photoTAN = method{id: "photo", kind: "PHOTO_OTP", name: "photoTAN", explanation: "Bild mit der App aufnehmen", form: photo}
	chipTAN  = method{id: "chip", kind: "CHIP_OTP", version: "HHD1.4", name: "chipTAN optisch", explanation: "Karte ***21 im TAN-Generator", form: flicker}
	pushTAN  = method{id: "push", kind: "PUSH_OTP", name: "App-Freigabe", explanation: "Freigabe in der Banking-App", form: push}

	blurredTAN = method{id: "sms", kind: "PHOTO_OTP", name: "photoTAN", explanation: "Bild mit der App aufnehmen", form: text, blurred: true}

	markupTAN = method{id: "web", kind: "SMS_OTP", name: "TAN mit Auftragsdaten", explanation: "TAN per SMS", form: markup}

	smsTANDevices = method{id: "sms", kind: "SMS_OTP", name: "mTAN", explanation: "TAN per SMS", form: text,
		devices: []device{{"sms-1", "Handy von Jürgen ***67"}, {"sms-2", "Diensthandy ***12"}, {"sms-3", "Prepaid ***99"}}}
	chipTANCards = method{id: "chip", kind: "CHIP_OTP", version: "HHD1.4", name: "chipTAN optisch", explanation: "Karte im TAN-Generator", form: flicker,
		devices: []device{{"chip-1", "girocard ***21"}, {"chip-2", "girocard ***22"}}}
)

const tanPrompt = "Bitte geben Sie die TAN ein, die Sie für den Kontozugriff erhalten haben."

const markupChallenge = `<p>Kontozugriff für <b>Kontoflow</b><br>Startcode 4711</p><script>alert(1)</script><img src="https://elsewhere.invalid/x.png" onerror="alert(2)"><a href="javascript:alert(3)">Hilfe</a>`

// matrix draws the coloured dots of a photoTAN for key. It looks like one and codes nothing.
func matrix(key uint64) []byte {
	const dots, size = 32, 5
	colours := []color.Color{color.White, color.RGBA{0x00, 0x6e, 0xc8, 0xff}, color.RGBA{0xd2, 0x28, 0x28, 0xff}, color.RGBA{0x28, 0x96, 0x3c, 0xff}, color.Black}
	picture := image.NewPaletted(image.Rect(0, 0, dots*size, dots*size), colours)
	d := dice(key)
	for y := range dots {
		for x := range dots {
			colour := uint8(d.below(4))
			if x == 0 || y == 0 || x == dots-1 || y == dots-1 {
				colour = 4
			}
			for i := range size * size {
				picture.SetColorIndex(x*size+i%size, y*size+i/size, colour)
			}
		}
	}
	var file bytes.Buffer
	_ = png.Encode(&file, picture) // a bytes.Buffer takes everything
	return file.Bytes()
}

// flickerCode builds a challenge of HHD 1.4, optical ("HHD-Erweiterung für unidirektionale Kopplung"): length,
// start code with one control byte, data elements, then the Luhn digit over the contents and the XOR of all half
// bytes. All of it is hexadecimal.
func flickerCode(startCode string, elements ...string) string {
	const control = "01" // HHD version 1.4
	start := padded(startCode)
	code := fmt.Sprintf("%02X", len(start)/2|0x80) + control + start // 0x80: a control byte follows
	contents := control + start
	for _, element := range elements {
		element = padded(element)
		code += fmt.Sprintf("%02X", len(element)/2) + element
		contents += element
	}
	code = fmt.Sprintf("%02X", len(code)/2+1) + code // the check byte counts, the length itself does not
	return code + luhn(contents) + xor(code)
}

func padded(digits string) string {
	if len(digits)%2 == 1 {
		return digits + "F"
	}
	return digits
}

func luhn(hexDigits string) string {
	sum := 0
	for i, c := range hexDigits {
		v, _ := strconv.ParseUint(string(c), 16, 8)
		n := int(v)
		if i%2 == 1 {
			n = 2*n/10 + 2*n%10
		}
		sum += n
	}
	return strconv.Itoa((10 - sum%10) % 10)
}

func xor(hexDigits string) string {
	var sum uint64
	for _, c := range hexDigits {
		v, _ := strconv.ParseUint(string(c), 16, 8)
		sum ^= v
	}
	return fmt.Sprintf("%X", sum)
}
