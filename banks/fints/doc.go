// Package fints reads accounts over FinTS 3.0 with PIN and TAN (Financial Transaction Services; Deutsche Kreditwirtschaft:
// "Formals", "Security – Sicherheitsverfahren PIN/TAN", "Messages – Finanzdatenformate").
//
//	Authorize
//	    │
//	    ├─ no bank parameters ──▶ anonymous dialog: BPD with methods (HITANS), orders, and which of them need a TAN. A bank
//	    │                         without such dialogs sends them with the next login
//	    ├─ no methods known ────▶ ¹ login with function 999: 3920 lists the customer's methods, HISYN names our system ─┐
//	    ├─ several methods ─────▶ (METHOD_SELECTION) ──────────────────────────────────────────────────────────────────┤
//	    ├─ medium to be named ──▶ ¹ login for HKTAB: the TAN media ─▶ (METHOD_SELECTION, where there are several) ─────┤
//	    │                                                                                                              │
//	    ▼                                                                                                              │
//	¹ login with the method: HKIDN, HKVVB, HKTAN process 4 ◀───────────────────────────────────────────────────────────┘
//	    ├─ 3076, or nothing ────────────────────────────────────────────────────────────▶ READY: the dialog is open
//	    ├─ 0030 ────────▶ (EMBEDDED: TEXT HTML PHOTO HHD) ── TAN ─▶ ¹ HKTAN process 2 ──────▲   │
//	    └─ 0030, 3955 ──▶ (DECOUPLED) ── HKTAN process S at the bank's pace ─ 3956: again ──┘   │
//	                                                                                           ▼
//	          Accounts: HKSPA, HKSAL          Transactions: HKCAZ (camt), else HKKAZ (MT940, MT942), HKKKU or DKKKU (cards)
//	                                           ├─ 3040: next page
//	                                           └─ 0030: NeedsAuthorization; Authorize asks, Answer brings the data along
//
//	( ) the customer is asked: the move ends in CHALLENGED, and Answer or Poll goes on.
//	 ¹  announced first. The move ends in MOVING, the caller seals the announcement, and the next call sends it.
//
// # The dialog
//
// Banks tie strong customer authentication to the dialog, so that one dialog lasts from the login to the last read. Its
// id, the number of the next message, method, medium, and what waits for a TAN are sealed in the conversation after
// every move and every read: the worker may die while the customer looks for their TAN. A message whose answer was lost goes
// out again under its number: a bank that has processed it refuses the number ("Formals", data dictionary,
// "Nachrichtennummer"), so that a TAN takes effect once, and the customer is not asked twice because of an answer that
// was merely late. A dialog that the bank ended is opened anew; the bank says whether it wants the customer for that. The
// touchdown points of its pages end with it: the pages before are read again, and left out.
//
// # The PIN
//
// Every message carries the PIN, three wrong ones lock the customer out, and FinTS cannot be asked whether one arrived.
// Therefore:
//
//   - A login is only ever sent announced and sealed, in Authorize, Answer or Poll. Reads open a dialog again only in a
//     conversation in which the bank accepted the PIN before.
//   - At most six messages with the PIN open a dialog in one synchronization, whatever the bank answers. The count is sealed
//     with the conversation, and begins anew only when the customer asks for another challenge.
//   - A login that surely was not processed (no connection; HTTP 4xx or 5xx, except from a gateway that lost the answer)
//     is announced and sent again.
//   - A login whose answer is lost, or that is found announced by another worker, is sent once more if the bank accepted
//     the PIN before in this conversation. Else it is over, for the PIN may be wrong and counted: as WrongCredentials on
//     an access that never worked; as BankDown where the bank accepted the PIN before, in this conversation or an earlier
//     one, since nobody need look at it, and the customer's next synchronization logs in afresh.
//   - Without the customer, the first such login ends in NeedsUser, and there is no other before one with them: their PIN may
//     have been changed, and the next day's would be the second wrong one.
//   - A login that the bank refused because it is not available at the moment ends in BankDown. It is not repeated in the
//     same synchronization.
//   - Once the bank has refused the PIN, to a login or to any other message, nothing is signed with it any more in the same
//     conversation, not even the end of a dialog; and none without the customer before a login with them succeeded.
//   - Nothing is signed without a PIN: the client may have had it forgotten while the conversation went on. What cannot go
//     on ends in NeedsUser, and a dialog is left to the bank to end.
//   - No trace of a PIN is kept to recognise it by, neither in clear nor as a hash.
//
// # What goes stale
//
// Bank parameters, methods and media are kept with the access, and banks replace them overnight. A login that is refused for
// another reason than the PIN, a lock or a passing failure drops them, once in a synchronization (refusedLogin). The chosen
// method stays if the bank still lists it; else the customer chooses again, if they are there. A choice that the customer
// wishes for (ChooseMethod) replaces the stored one when a login with it has succeeded.
//
// # Banks that want the customer at every login
//
// lasting.EachLogin is learnt from two such logins in a row (observe), and forgotten after a login without. Then nothing
// is sent without the customer. banks.NeedsUserEachTime tells the caller.
//
// # Trust
//
// The bank is trusted with nothing: messages go to the catalog's address and nowhere else (HIKOM is not read, redirects
// are not followed), answers are bounded in size and time, pictures and markup are checked, and errors never quote what it
// sent. Return codes are classified in one table (errors.go).
package fints
