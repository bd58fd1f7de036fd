// Package reconcile finds out which of the transactions that a bank sent are new, changed, or gone. It is pure: no I/O,
// no clock, no randomness.
//
// Banks give no identity that lasts (quirks.md), so a transaction's id is our own, and set is held against set: what is
// stored of one account in a window against what the bank sent for it. Each step takes what the steps before it left.
//
//	0 same words     same ids, text and dates; among equals, as many as both sides have
//	1 strong id      on one row and one entry only; amount and text agree
//	2 fingerprint    amount, currency, days, party and text, normalised; among equals, counted: 2 stored, 3 sent, 1 new.
//	                 Before step 1 where the bank's ids turn out not to stay with their transactions
//	3 assignment     one to one, for the best sum of scores (text, references, party, days, what is at stake)
//	                 a. same amount and currency, dates within a few days
//	                 b. pending rows: sign, foreign amount, tolerance for cards
//	                 c. as a, whatever the text
//	4 entries left   are new
//	5 sums           rows left that new entries of the same day add up to, or the other way round: removed (sums.go)
//	6 rows left      booked, both dates inside a complete window and before today: flagged as missing, and removed when a
//	                 later run misses them again. Pending, and the pending set complete: removed. All others stay
//
// A row that the user deleted, or that was removed, takes part: it meets its entry again instead of letting it in anew.
//
// Three things are known beside the sets. A row that the bank had to send and did not is easily believed to be the entry
// that looks a little like it. A row that nobody asked the bank about is given away only beyond doubt, for its own entry
// will not come again. And a day that was never read in full holds entries that were never stored, however much they
// look like something that was: every payment at the car park does.
//
// Cost: steps 0 to 2 sort, O(n log n). Step 3 is cubic in the rows that share an amount within a few days, up to 128 of
// them; above that every entry looks at a bounded number of neighbours.
package reconcile
