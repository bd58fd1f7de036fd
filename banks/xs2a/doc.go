// Package xs2a reads accounts over Berlin Group NextGenPSD2 XS2A, Implementation Guidelines 1.3.x.
//
// One client speaks with every bank. It knows no bank and no procedure: each answer of the bank carries links and a
// status, and these decide what comes next. What a group of banks does otherwise is a row in dialects.go.
//
//	                        no token, and the bank wants one first:
//	        Authorize ──────────────────────────▶ (REDIRECT) ── code, or ¹ login and PIN ──▶ token
//	            │                                                                              │
//	            ▼            stored consent still valid: nothing is sent                       │
//	     have a consent? ──────────────────────────────────────────────────────────▶ READY    │
//	            │ no                                                                  ▲        │
//	            ▼                                                                     │        │
//	   ¹ POST /consents ◀─────────────────────────────────────────────────────────────┼────────┘
//	            │                                                                     │
//	            ▼                                                                     │
//	   ┌─▶ POSITION: the links and the status of the bank's last answer               │
//	   │        │                                                                     │
//	   │        ├─ finalised, exempted ──────▶ GET /consents/{id}: what was granted ──┘
//	   │        ├─ failed ───────────────────▶ error
//	   │        ├─ authoriseTransaction ─────▶ (EMBEDDED: TEXT HTML PHOTO HHD) ─ TAN ─▶ ¹ PUT ─┐
//	   │        ├─ selectAuthenticationMethod▶ (METHOD_SELECTION: methods, devices) ──▶   PUT ─┤
//	   │        ├─ …PsuAuthentication ───────▶                                  PIN ──▶ ¹ PUT ─┤
//	   │        ├─ scaRedirect ──────────────▶ (REDIRECT) ─ back ─▶ status, ¹ confirmation ────┤
//	   │        ├─ scaOAuth ─────────────────▶ (REDIRECT) ─ code ─▶ ¹ token ───────────────────┤
//	   │        ├─ updatePsuIdentification ──▶                                            PUT ─┤
//	   │        ├─ startAuthorisation… ──────▶                                           POST ─┤
//	   │        ├─ scaMethods is empty ──────▶ error
//	   │        ├─ OAuth without a link ─────▶ as scaOAuth
//	   │        └─ only a status ────────────▶ (DECOUPLED) ─ GET scaStatus at the bank's pace ─┤
//	   └───────────────────────────────────────────────────────────────────────────────────────┘
//
//	( ) the customer is asked: the move ends in CHALLENGED, and Answer or Poll goes on.
//	 ¹  cannot be taken back: announced first. The move ends in MOVING, the caller seals the announcement, and the
//	    next call sends it. Whoever finds it announced and does not know whether it was sent asks the bank for the
//	    authorisation's status before sending anything. A PIN or a TAN that the bank may have refused is not sent
//	    again. One that did not arrive is sent once more; one that was answered with an error of the bank's own (5xx),
//	    twice more.
//
// Of several ways at a POSITION the uppermost is taken: the table precedence in follow.go. A start link that names an
// authorisation which is there already counts as the update link of the same kind (link.go).
//
// READY ends Authorize. Accounts and Transactions learn from the answers themselves whether consent and token are
// still good, so that a plain synchronization costs one call for the accounts and one for each page. A 401 leaves in
// the state why (a consent that is over, a token to be refreshed, an authorisation that the bank offers for this read)
// and ends in NeedsAuthorization; Authorize goes on from there.
//
// A consent that is renewed before its end goes the same way, as if there were none yet, while the one in force is kept aside
// (renewal.go).
//
// The state is two JSON documents (state.go): lasting lives with the access, dialog with the synchronization. Reads
// change neither unless they end in NeedsAuthorization (or find that there are no card accounts), so that several
// accounts may be read at once with copies of one conversation.
//
// The bank is trusted with nothing: links stay on the catalog's host, and what belongs to an authorisation below the
// catalog's URL (link.go); redirects are not followed, answers are bounded in size and time, pictures and HTML are
// checked, and errors never quote what it sent (errors.go).
package xs2a
