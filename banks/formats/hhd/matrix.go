package hhd

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
)

// A Matrix is a picture for a photoTAN or QR-TAN app.
type Matrix struct {
	MIME  string // image/png, image/jpeg, image/gif
	Image []byte
}

// ErrMatrix says that a container holds no picture. It does not quote it.
var ErrMatrix = errors.New("no photoTAN or QR picture")

const maxImage = 256 << 10

// ParseMatrix reads the container of a picture: two bytes of length (big-endian) before the media type, two before the
// image. In a text it is base64 behind CHLGUC and four digits. A picture larger than 64 KiB overflows its length; then
// all that is left is the image.
func ParseMatrix(data []byte) (Matrix, error) {
	if len(data) > base64.StdEncoding.EncodedLen(maxImage)+1024 {
		return Matrix{}, ErrMatrix
	}
	if _, rest, found := strings.Cut(string(data), "CHLGUC"); found {
		rest, _, _ = strings.Cut(rest, "CHLGTEXT")
		if rest = strings.Join(strings.Fields(rest), ""); len(rest) < 4 {
			return Matrix{}, ErrMatrix
		}
		// The four digits belong to the alphabet of base64, and not every bank writes them.
		for _, encoded := range []string{rest[4:], rest} {
			if raw, err := base64.StdEncoding.DecodeString(encoded); err == nil {
				if m, err := container(raw); err == nil {
					return m, nil
				}
			}
		}
		return Matrix{}, ErrMatrix
	}
	return container(data)
}

func container(data []byte) (Matrix, error) {
	kind, rest, ok := counted(data)
	if !ok || !images[string(kind)] {
		return Matrix{}, ErrMatrix
	}
	image, after, ok := counted(rest)
	if (!ok || len(after) > 0) && len(rest) > 2 {
		image = rest[2:]
	}
	if len(image) == 0 || len(image) > maxImage {
		return Matrix{}, ErrMatrix
	}
	return Matrix{MIME: string(kind), Image: image}, nil
}

var images = map[string]bool{"image/png": true, "image/jpeg": true, "image/gif": true}

func counted(data []byte) (value, rest []byte, ok bool) {
	if len(data) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(data))
	if n > len(data)-2 {
		return nil, nil, false
	}
	return data[2 : 2+n], data[2+n:], true
}

// Challenge writes the container: what ParseMatrix reads.
func (m Matrix) Challenge() []byte {
	data := binary.BigEndian.AppendUint16(nil, uint16(len(m.MIME)))
	data = append(data, m.MIME...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(m.Image)))
	return append(data, m.Image...)
}

// DataURI is the picture as RFC 2397 has it.
func (m Matrix) DataURI() string {
	return "data:" + m.MIME + ";base64," + base64.StdEncoding.EncodeToString(m.Image)
}
