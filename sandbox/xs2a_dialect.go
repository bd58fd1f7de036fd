package sandbox

// dialect is how one of the banks deviates from the plain specification. Each stands for a group of real banks.
type dialect struct {
	Path     string // on the server, and name in faults and counters
	Name     string
	BankCode string
	BIC      string
	Adapter  string // what providers.Connection.Dialect has to say
	Shows    string // one line, for the documentation

	approach          approach // of every customer; "": the persona's
	passwordAtStart   bool     // the consent answers startAuthorisationWithPsuAuthentication
	onlyRecurring     bool     // refuses one-off consents
	endsFormer        bool     // a recurring consent ends the one that the customer granted before, as the specification wants it
	onlyBooked        bool     // knows the booking statuses booked and information only
	noIDs             bool     // transactions have neither transactionId nor entryReference
	xml               string   // transactions only as this camt message
	accountStatus     string   // written in place of "enabled"
	psuIDType         string   // PSU-ID-Type that every call with PSU-ID has to have
	encryptedPassword bool     // the password as JWE
	preStep           bool     // wants a token before everything
	tokenHeader       string   // where the token is, instead of Authorization
	noMethodLink      bool     // methods to choose from come without the link to choose one
	nullOAuthLink     bool     // the scaOAuth link is there, and null
	noAuthorisations  bool     // version 1.1: steps are PUT on the consent, and challenge fields are misspelt
	onlyJSON          bool     // 406 for any other Accept than application/json, on every call
	brokenStatus      bool     // the scaStatus link leads nowhere; the consent's status answers 202 while it waits
	signed            bool     // wants signed requests
	clientCertificate bool     // wants mutual TLS
	apiKey            string   // X-API-Key that every call has to have
	absoluteLinks     bool
	confirmation      bool // a redirect ends unconfirmed, and wants the confirmation code
	maxDays           int  // longest consent, days; 0: 180
	sharedBudget      bool // unattended reads of all accounts count together, and the 429 does not say when
	pageSize          int  // transactions in a page; 0: 100, where more are not asked for
}

// dialects is the table of the server's banks.
var dialects = []dialect{
	{Path: "demo", Name: "Demobank", BankCode: bankCode, BIC: "DEMODE01XXX",
		Shows: "the plain specification; the approach follows from the persona"},
	{Path: "recurring", Name: "Demo-Genossenschaftsbank", BankCode: "90090043", BIC: "DEMODEA2XXX", Adapter: "atruvia",
		Shows:         "recurring consents only; booked entries only, without any id; all accounts share the limit of unattended reads; a new consent ends the former one",
		onlyRecurring: true, endsFormer: true, onlyBooked: true, noIDs: true, sharedBudget: true, maxDays: 179},
	{Path: "statements", Name: "Demo-Stadtkasse", BankCode: "90090044", BIC: "DEMODEB2XXX", Adapter: "sparkasse",
		Shows:           "password with the start of the authorisation; camt.052 only; an account status outside the enumeration; absolute links",
		passwordAtStart: true, xml: "camt.052", accountStatus: "ACTIVE", absoluteLinks: true},
	{Path: "oauth", Name: "Demo-Direktbank", BankCode: "90090045", BIC: "DEMODEC2XXX",
		Shows:    "OAuth2 integrated for every customer; the scaOAuth link is null; the customer picks his accounts at the bank",
		approach: oauth, nullOAuthLink: true, Adapter: "commerzbank"},
	{Path: "prestep", Name: "Demo-Onlinebank", BankCode: "90090046", BIC: "DEMODED2XXX",
		Shows: "OAuth2 pre-step: a token before everything, then a TAN that the consent itself asks for", preStep: true},
	{Path: "signed", Name: "Demo-Privatbank", BankCode: "90090047", BIC: "DEMODEE2XXX",
		Shows: "every request has to be signed", signed: true},
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
}
