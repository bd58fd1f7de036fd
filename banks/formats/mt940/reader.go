package mt940

import "strings"

// A field is one field of a statement. Its value goes up to the next field, with the ends of its lines.
type field struct {
	tag    string // 61, 86, 60F
	value  string
	begins bool // a statement begins with it
	isCut  bool // the value goes on, beyond the bounds
}

// order is what came before in a statement. It decides which fields may follow.
type order uint8

const (
	outside order = iota // before a statement, or behind its end
	header               // fields 20 to 28C
	opened               // an opening balance, or what MT942 has instead
	entry                // an entry or its text
	closed               // a closing balance
	remark               // the text behind it
)

// reader cuts a file into fields.
type reader struct {
	file  string
	at    int // what was read
	order order

	dashes   int  // lines "-" up to here have been judged,
	dashKind dash // as this
}

// field is the next one. Lines that belong to none are left out.
func (r *reader) field() (f field, ok bool) {
	for r.at < len(r.file) {
		line, next := r.line(r.at)
		if at, is := envelope(line); is {
			r.order = outside
			if r.at += at; at == 0 {
				r.at = next
			}
			continue
		}
		if isDash(line) {
			if r.order != entry || r.judge(next) == isEnd {
				r.order = outside
			}
			r.at = next
			continue
		}
		tag, value := r.tagAt(r.at, line)
		if tag == "" {
			if at := embedded(line, 1); at < len(line) {
				next = r.at + at
			}
			r.at = next
			continue
		}
		f.tag, r.at = tag, r.at+value
		f.begins = r.advance(tag)
		r.value(&f)
		return f, true
	}
	return f, false
}

// line is the line at a place without its end, and where the next one begins.
func (r *reader) line(at int) (line string, next int) {
	rest := r.file[at:]
	end := strings.IndexByte(rest, '\n')
	if end < 0 {
		return strings.TrimRight(rest, "\r"), len(r.file)
	}
	line = rest[:end]
	if end > 0 && line[end-1] == '\r' {
		line = strings.TrimRight(line, "\r")
	}
	return line, at + end + 1
}

// advance moves the order on. It reports whether a statement begins with the field.
func (r *reader) advance(tag string) (begins bool) {
	before := r.order
	switch tag {
	case "61":
		r.order = entry
		return before == outside
	case "86", "NS":
		if before == closed {
			r.order = remark
		}
		return false
	case "60F", "60M", "60":
		r.order = opened
		return before != header
	case "62F", "62M", "62", "64", "65", "90C", "90D", "90":
		r.order = closed
		return false
	case "20":
		r.order = header
		return true
	default:
		r.order = header
		return before != header
	}
}

// value takes the lines of a field, up to the next field or the end of the statement.
func (r *reader) value(f *field) {
	start, end := r.at, r.at
	for n := 0; r.at < len(r.file); n++ {
		line, next := r.line(r.at)
		if n > 0 {
			if r.endsField(line, next) {
				break
			}
			if tag, _ := r.tagAt(r.at, line); tag != "" && !(tag == "61" && f.tag == "61" && r.goesOn(start, line)) {
				break
			}
		}
		to := embedded(line, 1)
		if n == 0 && f.tag == "61" { // a lost line end before the text
			if at := strings.Index(line[:to], ":86:"); at > 0 {
				to = at
			}
		}
		if n < maxLines && end-start <= maxText {
			end = r.at + to
		} else {
			f.isCut = f.isCut || to > 0
		}
		if to < len(line) {
			r.at += to
			break
		}
		r.at = next
	}
	f.value = r.file[start:end]
}

// goesOn reports whether a line that looks like an entry without its tag is the rest of a field 61 that began at a place.
func (r *reader) goesOn(start int, line string) bool {
	if tag, _ := tagOf(line); tag != "" {
		return false
	}
	head, _ := headOf(r.file[start:r.at])
	return partsOf(head).stage == noMark
}

// endsField reports whether a line, which is no tag, ends the field: it begins or ends a message, or it is a dash that is no
// text.
func (r *reader) endsField(line string, next int) bool {
	if line == "" {
		return false
	}
	if _, is := envelope(line); is {
		return true
	}
	return isDash(line) && (r.order != entry || r.judge(next) != isText)
}

// dash is what a line "-" in the text of an entry is.
type dash uint8

const (
	isText dash = iota
	isEnd       // of the statement
	isNoise
)

// judge looks at what follows a line "-" in the text of an entry. A new statement, a message or nothing: the statement ends
// there. The next field of the same statement: the line means nothing. Anything else: it is text.
func (r *reader) judge(next int) dash {
	if next <= r.dashes { // a run of such lines is looked through once
		return r.dashKind
	}
	r.dashKind = isEnd
	for r.dashes = next; r.dashes < len(r.file); {
		line, after := r.line(r.dashes)
		if strings.TrimSpace(line) == "" || isDash(line) {
			r.dashes = after
			continue
		}
		tag, value := tagOf(r.file[r.dashes:])
		if _, is := envelope(line); is || tag == "20" && isNewStatement(r.file[r.dashes+value:], true) {
			return r.dashKind
		}
		r.dashKind = isText
		if tag, _ := r.tagAt(r.dashes, line); tag != "" {
			r.dashKind = isNoise
		}
		return r.dashKind
	}
	return r.dashKind
}

func isDash(line string) bool {
	if line == "" || line[0] > '-' {
		return false
	}
	return strings.Trim(line, " \t\x00\x01\x03") == "-"
}

// envelope reports whether a line is one of SWIFT's blocks ("{1:F01…}{2:I940…}{4:", "-}{5:…}"), and where the text block
// begins in it; 0: it does not.
func envelope(line string) (text int, is bool) {
	if line == "" || line[0] > '-' && line[0] != '{' && line[0] < 0x80 {
		return 0, false
	}
	rest := line[junk(line):]
	block := len(rest) > 2 && rest[0] == '{' && (isDigit(rest[1]) || rest[1] == 'S') && rest[2] == ':'
	ends := strings.HasPrefix(rest, "}") && strings.Contains(line[:len(line)-len(rest)], "-")
	if !block && !ends {
		return 0, false
	}
	if at := strings.LastIndex(line, "{4:"); at >= 0 {
		return at + len("{4:"), true
	}
	return 0, true
}

// tagAt is the field that begins with a line, and where its value begins; "" where none may begin there.
func (r *reader) tagAt(at int, line string) (tag string, value int) {
	if line == "" {
		return "", 0
	}
	if c := line[0]; c > ':' && c != ';' && c < 0x80 { // nearly all lines of a text
		return "", 0
	}
	rest := r.file[at:]
	if tag, value = tagOf(rest); tag != "" && r.mayFollow(tag, rest[value:]) {
		return tag, value
	}
	if value, ok := brokenEntry(line); ok {
		return "61", value
	}
	return "", 0
}

// tagOf takes ":61:" off the beginning of a line. Before it may stand what is no text: a hyphen, blanks, a byte order mark,
// control characters. Within it, one line may end.
func tagOf(s string) (tag string, value int) {
	value = junk(s)
	s = s[value:]
	if len(s) < 4 || s[0] != ':' {
		return "", 0
	}
	switch {
	case s[3] == ':' && (isDigit(s[1]) && isDigit(s[2]) || s[1:3] == "NS"):
		return s[1:3], value + 4
	case isDigit(s[1]) && isDigit(s[2]) && len(s) > 4 && s[4] == ':' && s[3] >= 'A' && s[3] <= 'Z':
		return s[1:4], value + 5
	}
	var b [3]byte
	n, ends := 0, 0
	for i := 1; i < len(s) && i < 12; i++ {
		switch c := s[i]; {
		case c == ':' && n >= 2:
			return string(b[:n]), value + i + 1
		case c == '\n':
			if ends++; ends > 1 {
				return "", 0
			}
		case c == ' ' || c == '\r':
		case n < 2 && isDigit(c), n == 2 && c >= 'A' && c <= 'Z':
			b[n] = c
			n++
		default:
			return "", 0
		}
	}
	return "", 0
}

// junk is how much of a line's beginning is no text, and may stand before a tag.
func junk(s string) int {
	i := 0
	for i < len(s) && i < 16 {
		switch c := s[i]; {
		case c == '\n' || c == '\r':
			return i
		case c <= ' ' || c == '-' || c == 0x7f:
			i++
		case strings.HasPrefix(s[i:], "\uFEFF"):
			i += len("\uFEFF")
		case strings.HasPrefix(s[i:], "\u00A0"):
			i += len("\u00A0")
		case strings.HasPrefix(s[i:], "ï»¿"): // a byte order mark in a file that is no UTF-8
			i += len("ï»¿")
		default:
			return i
		}
	}
	return i
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// mayFollow reports whether a field may stand here, by the order of the statement and by its content. In a text a tag
// counts only with content of its form.
func (r *reader) mayFollow(tag, content string) bool {
	inText := r.order == entry || r.order == remark
	switch tag {
	case "61":
		return !inText || isEntry(content)
	case "86", "NS":
		return true
	case "60F", "60M", "62F", "62M":
		return !inText || isBalanceLike(content)
	case "90C", "90D":
		return !inText || isSum(content)
	case "60", "62", "64", "65":
		return !inText || isBalance(content)
	case "90":
		return !inText
	case "20":
		return r.order != entry || isNewStatement(content, false)
	case "21", "25", "25P", "28", "28C", "13", "13D", "34F":
		return !inText
	}
	return false
}
