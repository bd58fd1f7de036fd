package banks

// Unreadable counts the values of an answer that could not be read as the bank wrote them. Each was left out, or
// replaced by the nearest value that makes sense (30 February by the last of February). The entry that it belongs to
// is kept. An amount, a sign or a currency of an entry is never counted here: without it the whole answer is an error
// (see EntryError).
type Unreadable struct {
	Count int
	First string // the place of the first one, such as "field 61, line 12: value date"; never the content
}

// Add counts one value. place says where it stands, never what it says.
func (u *Unreadable) Add(place string) {
	if u.Count++; u.Count == 1 {
		u.First = place
	}
}

// Merge adds the count of another part of the same answer.
func (u *Unreadable) Merge(other Unreadable) {
	if u.Count == 0 {
		u.First = other.First
	}
	u.Count += other.Count
}

// EntryError says that the amount, sign or currency of an entry cannot be read. To leave the entry out would lose
// money, so the account's reading fails.
type EntryError struct {
	Place string // such as "entry 12: amount"; never the content
}

func (e *EntryError) Error() string { return "cannot be read: " + e.Place }

// Withheld says why an answer covers no window, although it was no error.
type Withheld string

// Reasons why an answer covers nothing: nothing is removed because of it.
const (
	NoList  Withheld = "NO_LIST" // the answer holds no list of booked entries, not even an empty one
	Partial Withheld = "PARTIAL" // the bank says that it holds entries back
)
