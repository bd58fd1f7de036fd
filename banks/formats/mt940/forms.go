package mt940

import "strings"

// isNewStatement reports whether what follows ":20:" is the beginning of a statement: the line behind it is one that only a
// statement has. atEnd says that nothing may follow, too.
func isNewStatement(content string, atEnd bool) bool {
	rest := strings.TrimLeft(content[endOfLine(content):], "\r\n@ ")
	if rest == "" {
		return atEnd
	}
	tag, value := tagOf(rest)
	rest = rest[value:]
	content = strings.TrimSpace(rest[:endOfLine(rest)])
	switch tag {
	case "25", "25P":
		return isAccount(content)
	case "21":
		return len(content) >= 6 && !strings.ContainsAny(content, "? ")
	case "28C":
		return content != "" && strings.Trim(content, "0123456789/@") == ""
	case "60F", "60M":
		return isBalanceLike(content)
	case "13D", "34F":
		return true
	}
	return false
}

// endOfLine is where the first line ends, in files of all kinds.
func endOfLine(s string) int {
	s = s[:min(len(s), maxLine)]
	end := strings.IndexByte(s, '\n')
	if end < 0 {
		end = len(s)
	}
	if at := strings.Index(s[:end], "@@"); at >= 0 {
		return at
	}
	return end
}

// isAccount: bank and account number, or IBAN. A clock's "00" is none.
func isAccount(s string) bool {
	n := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z':
			n++
		case c != '/' && c != ' ' && c != '-' && c != '.' && c != '@':
			return false
		}
	}
	return n >= 6
}

// isBalance: mark, day, currency and the beginning of an amount.
func isBalance(s string) bool {
	if len(s) < 6 || s[0] != 'C' && s[0] != 'D' {
		return false
	}
	i := 1
	for i < len(s) && i <= 6 && isDigit(s[i]) {
		i++
	}
	return i > 1 && len(s) >= i+4 && isCapital(s[i]) && isCapital(s[i+1]) && isCapital(s[i+2]) && (isDigit(s[i+3]) || s[i+3] == ',')
}

// isBalanceLike reports whether the content of a balance stands there, well written or not: mark and day, mark and "null", or
// currency and the beginning of an amount with or without a day before them. Lines may end within it.
func isBalanceLike(content string) bool {
	const longest = 40 // of mark, day, currency and amount
	content = strings.TrimLeft(content, "\r\n@ ")
	s := strings.ReplaceAll(content[:min(endOfLine(content), longest)], " ", "")
	if s == "" || isBalance(s) {
		return s != ""
	}
	if day, _ := digitsOf(s[1:]); (s[0] == 'C' || s[0] == 'D') &&
		(strings.HasPrefix(s[1:], "null") || len(day) == 6 || len(day) == 8 || day != "" && strings.Trim(day, "0") == "") {
		return true
	}
	return isMoney(s) || isMoney(afterDay(s)) || isMoney(afterDay(s[1:])) // without a day, without a mark, with a mark that is none
}

// afterDay is what follows the six or more digits of a day; "" where there are fewer.
func afterDay(s string) string {
	day, rest := digitsOf(s)
	if len(day) < 6 {
		return ""
	}
	return rest
}

// isMoney reports whether a currency and the beginning of an amount stand there.
func isMoney(s string) bool {
	return len(s) > 3 && isCapital(s[0]) && isCapital(s[1]) && isCapital(s[2]) && isDigit(s[3])
}

// isSum reports whether the content of a field 90 stands there: how many entries there are, currency, and the beginning of
// an amount.
func isSum(content string) bool {
	n, rest := digitsOf(strings.TrimLeft(content, "\r\n@ "))
	return n != "" && isMoney(rest)
}

func isCapital(c byte) bool { return c >= 'A' && c <= 'Z' }

// isEntry reports whether the content of a field 61 stands there, well written or not: a day and a mark, or something like a
// day and an amount. Lines may end within it.
func isEntry(content string) bool {
	if exactEntry(content) { // nearly all of them
		return true
	}
	var buf [40]byte
	n, digits := 0, 0
	for i := 0; i < len(content) && n < len(buf); i++ {
		switch c := content[i]; {
		case c == '\n':
			if digits < n && (digits != 6 && digits != 10 || !beginsMark(buf[digits:n])) {
				i = len(content) // what came so far is no beginning of a field 61
			}
		case c == '\r' || c == ' ':
		default:
			if isDigit(c) && digits == n {
				digits++
			}
			buf[n] = c
			n++
		}
	}
	s := buf[:n]
	rest := s[digits:]
	if digits == 6 || digits == 10 {
		if m := markOf(rest); m.sign != 0 && (isDay(s) || len(rest) > m.length && isDigit(rest[m.length])) {
			return true
		}
	}
	if digits >= 6 && hasAmount(rest, 3) {
		return true
	}
	digits = 0
	for i := 0; i < n && i < 12 && s[i] < 'a' && isDigit(s[0]); i++ { // capitals in the day
		if isDigit(s[i]) {
			digits++
		}
		if digits >= 4 && (s[i] == 'C' || s[i] == 'D') && hasAmount(s[i+1:], 1) {
			return true
		}
	}
	return false
}

// beginsMark reports whether a mark stands there, or the beginning of one.
func beginsMark(s []byte) bool {
	return markOf(s).sign != 0 || len(s) <= 2 && strings.Trim(string(s), "RE") == ""
}

// isDay: the day YYMMDD may be one of a calendar.
func isDay(s []byte) bool {
	month, day := 10*int(s[2]-'0')+int(s[3]-'0'), 10*int(s[4]-'0')+int(s[5]-'0')
	return month <= 13 && day <= 31
}

// hasAmount reports whether an amount with a decimal sign follows, behind at most some other characters.
func hasAmount(s []byte, others int) bool {
	i := 0
	for i < len(s) && i < others && !isDigit(s[i]) {
		i++
	}
	from := i
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return i > from && i < len(s) && (s[i] == ',' || s[i] == '.')
}

// A mark says whether a field 61 is money in or out.
type mark struct {
	sign     int  // 1: money in; -1: money out; 0: there is no mark
	expected bool // not booked yet
	length   int
}

// markOf reads the mark of a field 61: C or D, with R before it where it is taken back, and E (MT942 of SWIFT) where it is
// expected.
func markOf[T string | []byte](s T) (m mark) {
	i := 0
	reversal := i < len(s) && s[i] == 'R'
	if reversal {
		i++
	}
	expected := i < len(s) && s[i] == 'E'
	if expected {
		i++
	}
	if i >= len(s) || s[i] != 'C' && s[i] != 'D' {
		return mark{}
	}
	m = mark{sign: 1, expected: expected, length: i + 1}
	if (s[i] == 'D') != reversal {
		m.sign = -1
	}
	return m
}

// exactEntry reports whether s begins with the content of a field 61 to the letter: day, mark, amount and booking key. No text
// does.
func exactEntry(s string) bool {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	if i != 6 && i != 10 {
		return false
	}
	m := markOf(s[i:])
	if m.sign == 0 {
		return false
	}
	if i += m.length; i < len(s) && isCapital(s[i]) {
		i++
	}
	from := i
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	if i == from || i >= len(s) || s[i] != ',' {
		return false
	}
	for i++; i < len(s) && isDigit(s[i]); i++ {
	}
	return isKey(s[i:])
}

// isKey: N or F and three letters or digits, or S and the number of a SWIFT message.
func isKey(s string) bool {
	if len(s) < 4 {
		return false
	}
	switch s[0] {
	case 'N', 'F':
		return isCapitalOrDigit(s[1]) && isCapitalOrDigit(s[2]) && isCapitalOrDigit(s[3])
	case 'S':
		return isDigit(s[1]) && isDigit(s[2]) && isDigit(s[3])
	}
	return false
}

func isCapitalOrDigit(c byte) bool { return isCapital(c) || isDigit(c) }

// brokenEntry finds the content of a field 61 behind a tag that is none, such as ":6l:", and where it begins. A line that was
// taken for text would lose money.
func brokenEntry(line string) (value int, ok bool) {
	for i := 0; i < len(line) && i <= 8; i++ {
		if isDigit(line[i]) && exactEntry(line[i:]) {
			return i, true
		}
	}
	return 0, false
}

// embedded is where in a line another field begins, because the end of the line before it was lost; the line's length where
// none does. Only entries and balances are looked for: they are money, and no text has their form. from is where to begin.
func embedded(line string, from int) int {
	for at := from; ; {
		i := strings.IndexByte(line[min(at, len(line)):], ':')
		if i < 0 {
			return len(line)
		}
		if at += i; at+1 >= len(line) || line[at+1] != '6' {
			at++
			continue
		}
		tag, value := tagOf(line[at:])
		switch tag {
		case "61":
			if exactEntry(line[at+value:]) {
				return at
			}
		case "60F", "60M", "62F", "62M", "64", "65":
			if isBalance(line[at+value:]) {
				return at
			}
		}
		at++
	}
}
