// Package wording recognises the few things that banks say to the customer in words, and that their
// protocols have no code for: that the access is blocked, that the PIN has to be changed, that
// there is maintenance.
//
// Words decide only where a code says too little. They are easily misread: the standard sentence of
// XS2A for a wrong PIN ends in "or is blocked, or a password resp. OTP was not correct", and a
// warning says that the access will be blocked. So a sentence counts only if it states the block:
// not as one of several reasons, not as a condition, not as something that may come.
package wording

import (
	"regexp"
	"strings"
)

// Blocked reports whether text states that the customer's access is blocked.
func Blocked(text string) bool { return states(text, blocked, nil) }

// TANBlocked reports whether text states that the customer's TAN method is blocked.
func TANBlocked(text string) bool { return states(text, blocked, aboutTAN) }

// PINChange reports whether text says that the customer has to change the PIN or password first.
func PINChange(text string) bool { return changePIN.MatchString(strings.ToLower(text)) }

// Maintenance reports whether text says that the bank is down for maintenance.
func Maintenance(text string) bool { return contains(text, "wartung", "maintenance") }

// Migration reports whether text says that the bank is down because it moves to another system.
func Migration(text string) bool { return contains(text, "umstellung", "migration") }

var (
	blocked   = regexp.MustCompile(`\b(gesperrt|blockiert|blocked|locked)\b`)
	aboutTAN  = regexp.MustCompile(`(\b|mobile|push|chip|photo|foto|app|i|m|sms)-?tan\b|\btan-?(verfahren|methode|medium|method)|\botp\b`)
	changePIN = regexp.MustCompile(`\bpin[- ](änderung|aenderung|change)|\bpin (zu )?(ändern|aendern)|\bneue pin\b|change (your |the )?(pin|password)|` +
		`passwort(-|\s)?(ändern|aendern|änderung)|password (change|expired|has expired|is expired)|passwort (ist )?abgelaufen`)

	// one of several reasons: "or is blocked", "oder der Zugang ist gesperrt", "is blocked or
	// unknown"
	reasonBefore = regexp.MustCompile(`(^|[\s,(/])(or|oder|either|entweder|bzw|beziehungsweise|resp|respectively)[\s,]|/\s*$`)
	reasonAfter  = regexp.MustCompile(`^[\s,]*(/|(or|oder|bzw|beziehungsweise|resp|respectively)\s)`)
	// a condition, or something that may come: "wird … gesperrt", "if your access is blocked"
	openBefore = regexp.MustCompile(`(^|[\s,(])(will|would|wird|werden|würde|may|might|could|can|kann|könnte|if|when|whether|unless|until|before|` +
		`wenn|falls|sofern|sobald|ob|bevor|ehe|bis|gets|avoid|possibly|perhaps|möglicherweise|eventuell|evtl|ggf|gegebenenfalls|vielleicht)[\s,]` +
		`|noch (\d+|einen?|zwei|drei) (weitere[nr]? )?(fehl)?versuch|\d+ (more )?(attempts?|tries) (left|remaining)`)
	openAfter = regexp.MustCompile(`^\s*(wird|werden|würde|sein (kann|könnte)|,? (if|when|wenn|falls|sobald)\s)`)
	// about blocked ones in general: "blocked PINs can be unblocked"
	attribute = regexp.MustCompile(`^\s+(pins?|users?|accounts?|access|logins?|cards?|passwords?|customers?)\b`)
	// not blocked
	deniedBefore = regexp.MustCompile(`(^|\s)(not|never|no longer|nicht|nie)\s+((yet|been|mehr|länger)\s+)*$`)

	abbreviation = strings.NewReplacer("bzw.", "bzw", "resp.", "resp", "z.b.", "zb", "evtl.", "evtl", "ggf.", "ggf")
	sentenceEnd  = regexp.MustCompile(`[.!?:]+(\s|$)|[;\n]`)
)

// states reports whether a sentence of text states what word says, and is about something; nil:
// anything.
func states(text string, word, about *regexp.Regexp) bool {
	text = abbreviation.Replace(strings.ToLower(text))
	for _, sentence := range sentenceEnd.Split(text, -1) {
		if about != nil && !about.MatchString(sentence) {
			continue
		}
		for _, at := range word.FindAllStringIndex(sentence, -1) {
			before, after := sentence[:at[0]], sentence[at[1]:]
			if !reasonBefore.MatchString(before) && !reasonAfter.MatchString(after) &&
				!openBefore.MatchString(before) && !openAfter.MatchString(after) && !attribute.MatchString(after) && !deniedBefore.MatchString(before) {
				return true
			}
		}
	}
	return false
}

func contains(text string, words ...string) bool {
	text = strings.ToLower(text)
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}
