package sandbox

import "fmt"

// dialect is how one of the banks deviates from the plain specification. Each stands for a group of real banks.
type dialect struct {
	Path     string // on the server, and name in faults and counters
	Name     string
	BankCode string
	BIC      string
	Adapter  string // what banks.Connection.Dialect has to say
	Shows    string // one line, for the documentation

	at                string   // path of the API below Path
	linksFromAPI      bool     // links are paths that count from there: /v1/…
	approach          approach // of every customer; "": the persona's
	offersPages       bool     // redirect for every customer, unless TPP-Redirect-Preferred is false
	passwordAtStart   bool     // the consent answers startAuthorisationWithPsuAuthentication
	onlyRecurring     bool     // refuses one-off consents
	endsFormer        bool     // a recurring consent ends the one that the customer granted before, as the specification wants it
	onlyBooked        bool     // knows the booking statuses booked and information only
	noIDs             bool     // transactions have neither transactionId nor entryReference
	xml               string   // transactions only as this camt message
	accountStatus     string   // written in place of "enabled"
	psuIDType         string   // PSU-ID-Type that every call with PSU-ID has to have
	encryptedPassword bool     // the password as JWE
	startIsUpdate     bool     // the authorisation begins with the consent, and the link to it is called a start link
	preStep           bool     // wants a token before everything
	clientToken       bool     // wants a token of the client itself before there is one of the customer
	passwordToken     bool     // wants a token before everything, and gives it for login and PIN
	failsFirstReturn  bool     // a customer's first visit to the bank's own pages ends in server_error
	standardWords     bool     // a wrong PIN or TAN is refused with the specification's sentence for it
	otpFormat         string   // written in place of "integer"
	tokenHeader       string   // where the token is, instead of Authorization
	noMethodLink      bool     // methods to choose from come without the link to choose one
	nullOAuthLink     bool     // the scaOAuth link is there, and null
	noAuthorisations  bool     // version 1.1: steps are PUT on the consent, and challenge fields are misspelt
	onlyJSON          bool     // 406 for any other Accept than application/json, on every call
	brokenStatus      bool     // the scaStatus link leads nowhere; the consent's status answers 202 while it waits
	signed            bool     // wants signed requests, without Date in the signature
	signsDate         bool     // … with Date in it
	clientCertificate bool     // wants mutual TLS
	apiKey            string   // X-API-Key that every call has to have
	absoluteLinks     bool
	confirmation      bool // a redirect ends unconfirmed, and wants the confirmation code
	maxDays           int  // longest consent, days; 0: 180
	sharedBudget      bool // unattended reads of all accounts count together, and the 429 does not say when
	pageSize          int  // transactions in a page; 0: 100, where more are not asked for
	reads             readingHabits
}

// XS2ABanks is the table of the XS2A banks, a line each, as docs/sandbox.md shows it.
func XS2ABanks() []string {
	rows := make([]string, 0, len(dialects))
	for _, d := range dialects {
		adapter := d.Adapter
		if adapter != "" {
			adapter = "`" + adapter + "`"
		}
		rows = append(rows, fmt.Sprintf("| `/%s` | %s | %s | %s | %s |", d.Path, d.Name, d.BankCode, d.Shows, adapter))
	}
	return rows
}

// tokenFirst reports whether a token comes before everything, and says who the customer is.
func (d *dialect) tokenFirst() bool { return d.preStep || d.passwordToken }

// dialects is the table of the server's banks.
var dialects = append([]dialect{
	{Path: "demo", Name: "Demobank", BankCode: bankCode, BIC: "DEMODE01XXX",
		Shows: "the plain specification; the approach follows from the persona"},
	{Path: "recurring", Name: "Demo-Genossenschaftsbank", BankCode: "90090043", BIC: "DEMODEA2XXX", Adapter: "atruvia",
		Shows:         "recurring consents only; booked entries only, without any id; all accounts share the limit of unattended reads; a new consent ends the former one",
		onlyRecurring: true, endsFormer: true, onlyBooked: true, noIDs: true, sharedBudget: true, maxDays: 179},
	{Path: "statements", Name: "Demo-Stadtkasse", BankCode: "90090044", BIC: "DEMODEB2XXX", Adapter: "sparkasse",
		Shows:           "password with the start of the authorisation; camt.052 only; an account status outside the enumeration; absolute links",
		passwordAtStart: true, xml: "camt.052", accountStatus: "ACTIVE", absoluteLinks: true},
	{Path: "oauth", Name: "Demo-Direktbank", BankCode: "90090045", BIC: "DEMODEC2XXX",
		Shows:    "OAuth2 integrated for every customer; the scaOAuth link is null; the customer picks their accounts at the bank",
		approach: oauth, nullOAuthLink: true, Adapter: "commerzbank"},
	{Path: "prestep", Name: "Demo-Onlinebank", BankCode: "90090046", BIC: "DEMODED2XXX",
		Shows: "OAuth2 pre-step: a token before everything, then a TAN that the consent itself asks for", preStep: true},
	{Path: "signed", Name: "Demo-Privatbank", BankCode: "90090047", BIC: "DEMODEE2XXX",
		Shows: "every request has to be signed; Date is there, and not signed (since version 1.3.4)", signed: true},
	{Path: "encrypted", Name: "Demo-Handelsbank", BankCode: "90090048", BIC: "DEMODEF2XXX", Adapter: "deutsche-bank",
		Shows: "PSU-ID-Type is mandatory; the password goes as JWE", psuIDType: "DE_ONLB_DB", encryptedPassword: true},
	{Path: "confirmation", Name: "Demo-Bürgerbank", BankCode: "90090049", BIC: "DEMODEG2XXX",
		Shows: "redirect for every customer, ended by a confirmation code", approach: redirect, confirmation: true},
	{Path: "mutual", Name: "Demo-Landesbank", BankCode: "90090050", BIC: "DEMODEH2XXX",
		Shows: "mutual TLS (offered where the server itself speaks TLS)", clientCertificate: true},
	{Path: "token", Name: "Demo-Kreditbank", BankCode: "90090051", BIC: "DEMODEJ2XXX", Adapter: "dkb",
		Shows: "OAuth2 pre-step whose token goes in a header of its own; no link to choose a method", preStep: true,
		tokenHeader: "PSD2-AUTHORIZATION", noMethodLink: true},
	{Path: "apikey", Name: "Demo-Zielbank", BankCode: "90090052", BIC: "DEMODEK2XXX", Adapter: "targobank",
		Shows:    "API key; decoupled, which only the authorisation says; broken status link; 406 for any Accept but application/json",
		approach: decoupled, apiKey: "sandbox-api-key", onlyJSON: true, brokenStatus: true},
	{Path: "legacy", Name: "Demo-Hypothekenbank", BankCode: "90090053", BIC: "DEMODEL2XXX", Adapter: "hvb",
		Shows: "an older version: PUT on the consent, no authorisations, misspelt challenge fields; consents of 90 days", noAuthorisations: true, maxDays: 90},
	{Path: "signed-date", Name: "Demo-Unionsbank", BankCode: "90090060", BIC: "DEMODET2XXX",
		Shows: "every request has to be signed, and Date with it (before version 1.3.4)", signed: true, signsDate: true},
	{Path: "base-path", Name: "Demo-Raiffeisenkasse", BankCode: "90090061", BIC: "DEMODEU2XXX",
		Shows: "the API lies below `/xs2a/bg13`, and links are paths that count from there", at: "/xs2a/bg13", linksFromAPI: true},
	{Path: "start-put", Name: "Demo-Filialbank", BankCode: "90090062", BIC: "DEMODEV2XXX", Adapter: "deutsche-bank",
		Shows:       "the link that starts the authorisation names one that is there already; embedded only where no redirect is preferred; password as JWE; `otpFormat` in capitals",
		offersPages: true, startIsUpdate: true, psuIDType: "DE_ONLB_DB", encryptedPassword: true, otpFormat: "INTEGER"},
	{Path: "client-token", Name: "Demo-Konsumbank", BankCode: "90090063", BIC: "DEMODEW2XXX",
		Shows: "a token of the client itself before the consent, then OAuth2 integrated; links count from the API's own path",
		at:    "/openapis/sx", linksFromAPI: true, approach: oauth, clientToken: true},
	{Path: "password-token", Name: "Demo-Telefonbank", BankCode: "90090064", BIC: "DEMODEX2XXX", Adapter: "dkb",
		Shows: "login and PIN give a token, which goes in a header of its own; links count from the API's own path; no link to choose a method",
		at:    "/psd2", linksFromAPI: true, passwordToken: true, tokenHeader: "PSD2-AUTHORIZATION", noMethodLink: true},
	{Path: "wrong-pin-sentence", Name: "Demo-Normbank", BankCode: "90090065", BIC: "DEMODEY2XXX",
		Shows: "a wrong PIN or TAN is refused with the specification's own sentence, which speaks of a block, too", standardWords: true},
	{Path: "server-error", Name: "Demo-Wackelbank", BankCode: "90090066", BIC: "DEMODEZ2XXX",
		Shows: "OAuth2 integrated; a customer's first visit ends in `server_error`, and the next one works", approach: oauth, failsFirstReturn: true},
}, readingDialects...)
