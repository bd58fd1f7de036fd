// Package reconcile finds out which of the transactions that a bank sent are new, changed, or gone. It is pure: no I/O,
// no clock, no randomness.
//
// Banks give no reliable identity (BANKS.md, section 3: ids are absent, reused or replaced, texts reformatted, dates
// moved, twins identical), so a transaction's id is our own, and set is held against set: what is stored of one account
// in a window against what the bank sent for it. Each step takes only what the steps before it left:
//
//  0. the same words again     same ids, same content; among equals, counted
//  1. strong id                on one stored row and one entry only, and believable: amount, date or text agree
//  2. fingerprint              amount, currency, date, party and text, normalised; among equals, counted:
//     2 stored, 3 sent, 1 new
//  3. assignment               one to one, most pairs first, then the best score (text, references, party, days)
//     a. same amount and currency, dates within a few days
//     b. pending rows only: sign, foreign amount, tolerance for cards
//  4. entries left             are new
//  5. rows left                booked, every date of theirs inside the complete window and before today: flagged as
//     missing, and removed when a later run misses them again; pending, and the pending set
//     complete: removed; everything else stays as it is
//
// A row that the user deleted or that was removed takes part: it meets its entry again instead of letting it in anew.
// A row that the bank was not asked about is given away only on strong evidence, since nobody would send it again.
//
// Cost: steps 0 to 2 sort, O(n log n). Step 3 is cubic in the rows that share an amount within a few days, up to 128 of
// them; above that it takes the best of a bounded number of neighbours.
package reconcile
