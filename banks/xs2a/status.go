package xs2a

import (
	"encoding/json"
	"strings"
)

// scaStatus is how an authorisation stands (OpenAPI file 1.3.11, scaStatus); "" where the bank does
// not say.
type scaStatus string

const (
	scaReceived         scaStatus = "received"
	scaPSUIdentified    scaStatus = "psuIdentified"
	scaPSUAuthenticated scaStatus = "psuAuthenticated"
	scaMethodSelected   scaStatus = "scaMethodSelected"
	scaStarted          scaStatus = "started"
	scaUnconfirmed      scaStatus = "unconfirmed"
	scaFinalised        scaStatus = "finalised"
	scaFailed           scaStatus = "failed"
	scaExempted         scaStatus = "exempted"
	scaUnknown          scaStatus = "unknown" // a word of the bank's own: the authorisation is not over
)

var scaStatuses = spellings(scaReceived, scaPSUIdentified, scaPSUAuthenticated, scaMethodSelected, scaStarted, scaUnconfirmed,
	scaFinalised, scaFailed, scaExempted)

// UnmarshalJSON reads a status in whatever spelling.
func (s *scaStatus) UnmarshalJSON(b []byte) error { return readStatus(b, s, scaStatuses, scaUnknown) }

// succeeded reports whether the authorisation has come to a good end.
func (s scaStatus) succeeded() bool { return s == scaFinalised || s == scaExempted }

// over reports whether the authorisation has come to an end.
func (s scaStatus) over() bool { return s.succeeded() || s == scaFailed }

// consentStatus is how a consent stands (OpenAPI file 1.3.11, consentStatus); "" where the bank
// does not say.
type consentStatus string

const (
	consentReceived   consentStatus = "received"
	consentRejected   consentStatus = "rejected"
	consentPartly     consentStatus = "partiallyAuthorised"
	consentValid      consentStatus = "valid"
	consentRevoked    consentStatus = "revokedByPsu"
	consentExpired    consentStatus = "expired"
	consentTerminated consentStatus = "terminatedByTpp"
	consentUnknown    consentStatus = "unknown" // a word of the bank's own, as the specification allows: neither valid nor over
)

var consentStatuses = spellings(consentReceived, consentRejected, consentPartly, consentValid, consentRevoked, consentExpired, consentTerminated)

// UnmarshalJSON reads a status in whatever spelling.
func (s *consentStatus) UnmarshalJSON(b []byte) error {
	return readStatus(b, s, consentStatuses, consentUnknown)
}

// over reports whether nothing can come of the consent any more.
func (s consentStatus) over() bool {
	switch s {
	case consentRejected, consentRevoked, consentExpired, consentTerminated:
		return true
	}
	return false
}

// asAuthorisation is what the status of a consent says about its authorisation.
func (s consentStatus) asAuthorisation() scaStatus {
	switch {
	case s == consentValid:
		return scaFinalised
	case s.over():
		return scaFailed
	}
	return scaReceived
}

// readStatus reads one of the known statuses. Banks write them in capitals, in English of either
// side of the ocean, and with all kinds of separators.
func readStatus[S ~string](b []byte, into *S, known map[string]S, unknown S) error {
	var said text
	if err := json.Unmarshal(b, &said); err != nil {
		return err
	}
	status, ok := known[spelling(string(said))]
	switch {
	case said == "":
		*into = ""
	case ok:
		*into = status
	default:
		*into = unknown
	}
	return nil
}

func spellings[S ~string](all ...S) map[string]S {
	known := make(map[string]S, len(all))
	for _, status := range all {
		known[spelling(string(status))] = status
	}
	return known
}

// spelling is a status without what banks write differently.
func spelling(status string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == 'z':
			return 's' // finalized, partiallyAuthorized
		case r < 'a' || r > 'z':
			return -1
		}
		return r
	}, strings.ToLower(status))
}
