package banks

import (
	"errors"
	"fmt"
)

// An OwnError is an error whose text is ours: fixed words and numbers, and nothing of what a bank
// has sent. So it may enter logs and workflow history. Errors of decoders quote their input; they
// are not of this type.
type OwnError string

func (e OwnError) Error() string { return string(e) }

// OwnWords is what may be logged of an error of reading an answer: our own words where the error
// has some (OwnError, EntryError), else the type of the innermost error. The bank's words never
// are.
func OwnWords(err error) error {
	var own OwnError
	var entry *EntryError
	switch {
	case errors.As(err, &entry): // it names the place
		return entry
	case errors.As(err, &own):
		return own
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return OwnError(fmt.Sprintf("%T", err))
		}
		err = inner
	}
}
