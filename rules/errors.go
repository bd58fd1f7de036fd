package rules

import (
	"encoding/json"
	"time"

	"github.com/kontoflow/kontoflow/banks"
)

// Codes of requests that fail. Those of synchronizations are in package banks, where adapters use them.
const (
	CodeInvalid      = 1000
	CodeExists       = 1001
	CodeNotFound     = 1002
	CodeUnauthorized = 1003
	CodeClient       = 1004
	CodeState        = 1006
	CodeForbidden    = 1007
	CodeBusy         = 1008
	CodeLocked       = 1010
	CodeCredentials  = 1011
	CodeTooMany      = 1020
	CodeAddress      = 1021
	CodeRate         = 1022
)

// A Group says whose turn it is after an error.
type Group string

const (
	GroupClient       Group = "client"       // the caller: the request is wrong
	GroupUser         Group = "user"         // the customer: another PIN, an activation at their bank
	GroupBank         Group = "bank"         // the bank cannot; later, perhaps
	GroupGeneral      Group = "general"      // us
	GroupConnectivity Group = "connectivity" // the way to the bank: not supported, or changed
)

// A CatalogedError is what there is to know about an error code.
type CatalogedError struct {
	Code     int
	EN, DE   string // one sentence each, for people
	Note     string // for the tables in the docs: when it comes, and what data it has
	HTTP     []int  // statuses of the requests that fail with it; none: only synchronizations do
	OfSyncs  bool   // synchronizations, and the accounts in them, fail with it
	Customer bool   // nothing will work until the customer has done something
	Passes   bool   // may be over in an hour, without anybody doing anything
	Reserved bool   // of the contract, and not sent at present
}

// Catalog lists every error code, in order. The tables of the API's description and of docs/errors.md are generated from it
// (make generate).
var Catalog = []CatalogedError{
	{Code: CodeInvalid, HTTP: []int{400, 405, 413, 415}, Note: "`data` is field → messages",
		EN: "The request is invalid.", DE: "Die Anfrage ist ungültig."},
	{Code: CodeExists, HTTP: []int{409},
		EN: "This exists already.", DE: "Das gibt es schon."},
	{Code: CodeNotFound, HTTP: []int{404}, Note: "or not yours",
		EN: "Not found.", DE: "Nicht gefunden."},
	{Code: CodeUnauthorized, HTTP: []int{401},
		EN: "The credentials or the token are missing, wrong or expired.", DE: "Die Zugangsdaten oder das Token fehlen, sind falsch oder abgelaufen."},
	{Code: CodeClient, HTTP: []int{401},
		EN: "The client authorization is missing or wrong.", DE: "Die Anmeldung des Clients fehlt oder ist falsch."},
	{Code: CodeState, HTTP: []int{409},
		EN: "This cannot be processed in the present state.", DE: "Das geht im gegenwärtigen Zustand nicht."},
	{Code: CodeForbidden, HTTP: []int{403},
		EN: "The scope of the token is too narrow.", DE: "Die Rechte des Tokens reichen nicht aus."},
	{Code: CodeBusy, HTTP: []int{409}, Note: "`data.sync_id` names the one that runs",
		EN: "A synchronization of this access is running.", DE: "Eine Synchronisierung dieses Zugangs läuft."},
	{Code: CodeLocked, HTTP: []int{401},
		EN: "The user is locked after too many wrong passwords.", DE: "Der Nutzer ist nach zu vielen falschen Passwörtern gesperrt."},
	{Code: CodeCredentials, HTTP: []int{400}, Note: "`data` is field → messages",
		EN: "The credentials are incomplete or malformed.", DE: "Die Zugangsdaten sind unvollständig oder haben eine falsche Form."},
	{Code: CodeTooMany, HTTP: []int{429}, Note: "`data.retry_at` says when there may be another",
		EN: "There were too many synchronizations of this access, or restarts of its challenges.",
		DE: "Dieser Zugang wurde zu oft synchronisiert, oder seine Rückfragen zu oft neu begonnen."},
	{Code: CodeAddress, HTTP: []int{400}, Reserved: true,
		EN: "The user's IP address is required.", DE: "Die IP-Adresse des Nutzers wird gebraucht."},
	{Code: CodeRate, HTTP: []int{429}, Note: "of this user, client or address; `Retry-After` says when to come again",
		EN: "There are too many requests.", DE: "Es sind zu viele Anfragen."},

	{Code: banks.CodeLoginInvalid, OfSyncs: true, Customer: true,
		EN: "The login credentials are invalid.", DE: "Die Anmeldedaten sind ungültig."},
	{Code: banks.CodePINInvalid, OfSyncs: true, Customer: true,
		EN: "The PIN is invalid.", DE: "Die PIN ist ungültig."},
	{Code: banks.CodeAccessBlocked, OfSyncs: true, Customer: true,
		EN: "The online access is blocked.", DE: "Der Online-Zugang ist gesperrt."},
	{Code: banks.CodeTANNotActivated, OfSyncs: true, Customer: true,
		EN: "The TAN scheme is not activated.", DE: "Das TAN-Verfahren ist nicht freigeschaltet."},
	{Code: banks.CodeTANInvalid, OfSyncs: true,
		EN: "The TAN is invalid.", DE: "Die TAN ist ungültig."},
	{Code: banks.CodeNotAuthorized, OfSyncs: true, Customer: true,
		EN: "There is no authorization for this account.", DE: "Für dieses Konto gibt es keine Berechtigung."},
	{Code: banks.CodePINChange, OfSyncs: true, Customer: true,
		EN: "The PIN has to be changed at the bank.", DE: "Die PIN muss bei der Bank geändert werden."},
	{Code: banks.CodeActivationNeeded, OfSyncs: true, Customer: true,
		EN: "An activation at the bank is necessary.", DE: "Bei der Bank ist eine Freischaltung nötig."},
	{Code: banks.CodeAccountBlocked, OfSyncs: true,
		EN: "The account is blocked.", DE: "Das Konto ist gesperrt."},
	{Code: banks.CodeAccountGone, OfSyncs: true,
		EN: "The account does not exist any more.", DE: "Das Konto gibt es nicht mehr."},
	{Code: banks.CodeTANBlocked, OfSyncs: true, Customer: true,
		EN: "The TAN scheme is blocked.", DE: "Das TAN-Verfahren ist gesperrt."},
	{Code: banks.CodeAccountNotOnline, OfSyncs: true,
		EN: "The account is not activated for online banking.", DE: "Das Konto ist nicht für das Online-Banking freigeschaltet."},
	{Code: banks.CodeOTPInvalid, OfSyncs: true,
		EN: "The one-time password is invalid.", DE: "Das Einmalpasswort ist ungültig."},

	{Code: banks.CodeBankCannot, OfSyncs: true,
		EN: "The bank could not process this.", DE: "Die Bank konnte das nicht bearbeiten."},
	{Code: banks.CodeBankUnknown, OfSyncs: true, Reserved: true,
		EN: "The bank or the account is unknown.", DE: "Die Bank oder das Konto ist unbekannt."},
	{Code: banks.CodeMaintenance, OfSyncs: true, Passes: true,
		EN: "The bank is under maintenance.", DE: "Bei der Bank laufen Wartungsarbeiten."},
	{Code: banks.CodeMigration, OfSyncs: true, Passes: true,
		EN: "The bank is in a technical migration.", DE: "Die Bank stellt gerade ihre Technik um."},
	{Code: banks.CodeLoginNotPossible, OfSyncs: true, Customer: true,
		EN: "The login at the bank is not possible.", DE: "Die Anmeldung bei der Bank ist nicht möglich."},
	{Code: banks.CodeConfirmAtBank, OfSyncs: true, Customer: true,
		EN: "The bank wants something confirmed in its own pages.", DE: "Die Bank verlangt eine Bestätigung auf ihren eigenen Seiten."},

	{Code: banks.CodeInternal, OfSyncs: true, HTTP: []int{500},
		EN: "This could not be processed.", DE: "Das konnte nicht bearbeitet werden."},
	{Code: banks.CodeExpired, OfSyncs: true,
		EN: "Nobody answered in time.", DE: "Niemand hat rechtzeitig geantwortet."},
	{Code: banks.CodeTemporary, OfSyncs: true, HTTP: []int{503}, Passes: true,
		EN: "This is temporarily unavailable.", DE: "Das ist vorübergehend nicht verfügbar."},
	{Code: banks.CodeCancelled, OfSyncs: true,
		EN: "The synchronization was cancelled.", DE: "Die Synchronisierung wurde abgebrochen."},

	{Code: banks.CodeBankUnsupported, OfSyncs: true,
		EN: "The bank is not supported.", DE: "Die Bank wird nicht unterstützt."},
	{Code: banks.CodeUpgradeDirect, OfSyncs: true, Note: "`data` says where every account went",
		EN: "The access was upgraded.", DE: "Der Zugang wurde umgestellt."},
	{Code: banks.CodeUpgradeMulti, OfSyncs: true, Note: "`data` says where every account went",
		EN: "The access was upgraded and split in two.", DE: "Der Zugang wurde umgestellt und geteilt."},
	{Code: banks.CodeUpgradePartial, OfSyncs: true, Note: "`data` says where every account went",
		EN: "The access was upgraded in part.", DE: "Der Zugang wurde teilweise umgestellt."},
}

var catalog = func() map[int]*CatalogedError {
	byCode := make(map[int]*CatalogedError, len(Catalog))
	for i := range Catalog {
		byCode[Catalog[i].Code] = &Catalog[i]
	}
	return byCode
}()

// LookUp returns what there is to know about a code. Of a code that is not in the catalogue there is only its group.
func LookUp(code int) CatalogedError {
	if e := catalog[code]; e != nil {
		return *e
	}
	return CatalogedError{Code: code}
}

// Group is the code's.
func (e CatalogedError) Group() Group {
	switch {
	case e.Code < 10000:
		return GroupClient
	case e.Code < 20000:
		return GroupUser
	case e.Code < 30000:
		return GroupBank
	case e.Code < 40000:
		return GroupGeneral
	default:
		return GroupConnectivity
	}
}

// SyncError is why a synchronization, or one account in it, failed.
type SyncError struct {
	Code    int            `json:"code"`
	Message string         `json:"message,omitempty"` // the bank's own words; may name a person
	Data    map[string]any `json:"data,omitempty"`
}

// JSON is the error as the database holds it.
func (e *SyncError) JSON() string {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // codes, words and strings: always representable
	}
	return string(b)
}

// RefusesCredentials reports that the bank did not take the login or the PIN.
func (e *SyncError) RefusesCredentials() bool {
	return e != nil && (e.Code == banks.CodeLoginInvalid || e.Code == banks.CodePINInvalid)
}

// Upgraded reports that an access upgrade is what ended the synchronization.
func (e *SyncError) Upgraded() bool {
	return e != nil && e.Code >= banks.CodeUpgradeDirect && e.Code <= banks.CodeUpgradePartial
}

// RetryAt is when the bank wants to be asked again; zero: it did not say.
func (e *SyncError) RetryAt() time.Time {
	text, _ := e.Data["retry_at"].(string)
	at, _ := time.Parse(time.RFC3339, text) // written by us; whatever else is there says nothing
	return at
}
