package xs2a

// A dialect is what a group of banks does otherwise than the Implementation Guidelines say. Links and statuses
// drive the client; a row here holds only what they cannot tell.
type dialect struct {
	access          accessStyle
	onlyRecurring   bool   // one-off consents are refused
	maxDays         int    // longest consent that may be asked for; 0: "as long as you let us"
	bookingStatus   string // of transaction reads; "": both
	accept          string // of transaction reads; "": JSON, else camt
	psuIDType       string // PSU-ID-Type where the catalog names none
	encryptPassword string // where the certificate is that the password is encrypted for
	tokenHeader     string // header of the pre-step token instead of Authorization
	pollConsent     bool   // the authorisation's status cannot be read: ask the consent's
}

// accessStyle is how a consent for all accounts is asked for.
type accessStyle int

const (
	allPSD2     accessStyle = iota // "allPsd2": "allAccounts"
	bankOffered                    // empty lists: the customer picks accounts at the bank
)

// dialects has a row for every name that Connection.Dialect may hold. docs/dialects.md says which bank wants which.
var dialects = map[string]dialect{
	"": {},
	// Volksbanken and Raiffeisenbanken (Atruvia).
	"atruvia": {onlyRecurring: true, bookingStatus: "booked"},
	// Sparkassen (Finanz Informatik): statements only as camt.052.
	"sparkasse": {accept: acceptXML, bookingStatus: "booked"},
	// Deutsche Bank, Postbank, Norisbank: the password goes encrypted.
	"deutsche-bank": {psuIDType: "DE_ONLB_DB", encryptPassword: "/pb/aspsp-certificates/tpp-pb-password_cert.pem"},
	// Commerzbank, comdirect: no account is known before the customer picked some.
	"commerzbank": {access: bankOffered},
	// DKB: a token of its own from a pre-step, in a header of its own.
	"dkb": {tokenHeader: "PSD2-AUTHORIZATION"},
	// Targobank and other Crédit Mutuel banks: only one media type, and a status link that leads nowhere.
	"targobank": {accept: acceptJSON, pollConsent: true},
	// HypoVereinsbank: a version without an authorisations resource.
	"hvb": {pollConsent: true, maxDays: 90},
}

const (
	acceptJSON = "application/json"
	acceptXML  = "application/xml"
	acceptText = "text/plain" // MT940
	acceptBoth = "application/json, application/xml;q=0.9"
)
