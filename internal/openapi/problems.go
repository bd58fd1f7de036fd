// Package openapi says what is wrong with a JSON value, field by field, by an OpenAPI schema.
package openapi

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Body is the name of the value itself, where no field of it is to blame.
const Body = "body"

// Problems holds messages by field: "consent.scopes[1]" → what is wrong with it. Messages never quote the value, which
// may be a secret.
type Problems map[string][]string

// Bounds of a report: nobody reads more, and a value that is wrong everywhere must not cost more to report than to send.
const (
	maxFields   = 50 // with problems
	maxMessages = 10 // of one field
)

// Add notes one more problem of a field. The same problem counts once. Beyond 50 fields, or 10 messages of one field,
// nothing is added.
func (p Problems) Add(field, message string) {
	known, named := p[field]
	if !named && len(p) >= maxFields || len(known) >= maxMessages || slices.Contains(known, message) {
		return
	}
	p[field] = append(known, message)
}

// full reports whether problems of further fields would be left out.
func (p Problems) full() bool { return len(p) >= maxFields }

// Error lists the problems, sorted by field.
func (p Problems) Error() string {
	fields := make([]string, 0, len(p))
	for field := range p {
		fields = append(fields, field)
	}
	sort.Strings(fields)
	lines := make([]string, len(fields))
	for i, field := range fields {
		lines[i] = field + ": " + strings.Join(p[field], ", ")
	}
	return strings.Join(lines, "\n")
}

// Check compares a decoded JSON value with a schema. It returns nil where nothing is wrong. Text with a NUL character is
// wrong everywhere: PostgreSQL cannot store it. The work is linear in the size of the value.
func Check(schema *openapi3.Schema, value any) Problems {
	r := report{problems: make(Problems), objects: make(map[string]bool)}
	err := schema.VisitJSON(value, openapi3.VisitAsRequest(), openapi3.MultiErrors(), openapi3.EnableFormatValidation())
	r.addSchemaErrors("", err)
	r.problems.addNULs("", value)
	if len(r.problems) == 0 {
		return nil
	}
	return r.problems
}

// CheckParameter is Check for the parameter of that name.
func CheckParameter(name string, err error) Problems {
	r := report{problems: make(Problems), objects: make(map[string]bool)}
	r.addSchemaErrors(name, err)
	return r.problems
}

// A report turns the schema's errors into problems.
type report struct {
	problems Problems
	objects  map[string]bool // paths of objects whose unknown fields are reported
}

func (r *report) addSchemaErrors(at string, err error) {
	var several openapi3.MultiError
	var one *openapi3.SchemaError
	switch {
	case err == nil || r.problems.full():
	case errors.As(err, &several):
		for _, e := range several {
			if r.problems.full() {
				return
			}
			r.addSchemaErrors(at, e)
		}
	case errors.As(err, &one):
		r.addSchemaError(at, one)
	default:
		r.problems.Add(named(at), "has not the expected form")
	}
}

func (r *report) addSchemaError(at string, e *openapi3.SchemaError) {
	field := path(at, e.JSONPointer())
	object, isObject := e.Value.(map[string]any)
	if e.SchemaField != "properties" || !isObject {
		r.problems.Add(named(field), message(e))
		return
	}
	// There is an error for each unknown field. None names it, and each has the whole object: once through it is enough.
	if r.objects[field] {
		return
	}
	r.objects[field] = true
	unknown := unknownFields(e.Schema, object)
	for _, name := range unknown {
		r.problems.Add(path(field, []string{name}), "is not known")
	}
	if len(unknown) == 0 {
		r.problems.Add(named(field), message(e))
	}
}

// unknownFields returns some of the object's fields that the schema does not name, sorted: as many as are reported.
func unknownFields(schema *openapi3.Schema, object map[string]any) (names []string) {
	for name := range object {
		if _, known := schema.Properties[name]; !known {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names[:min(len(names), maxFields)]
}

func (p Problems) addNULs(at string, value any) {
	switch v := value.(type) {
	case string:
		if strings.ContainsRune(v, 0) {
			p.Add(named(at), "must not contain a NUL character")
		}
	case []any:
		for i, item := range v {
			if p.full() {
				return
			}
			p.addNULs(path(at, []string{strconv.Itoa(i)}), item)
		}
	case map[string]any:
		for key, item := range v {
			if strings.ContainsRune(key, 0) {
				p.Add(named(at), "must not contain a NUL character")
			}
			p.addNULs(path(at, []string{key}), item)
		}
	}
}

func named(field string) string {
	if field == "" {
		return Body
	}
	return field
}

// path writes a JSON pointer as people do: banks[3].access_methods[0].url.
func path(at string, pointer []string) string {
	b := strings.Builder{}
	b.WriteString(at)
	for _, part := range pointer {
		if _, err := strconv.Atoi(part); err == nil {
			b.WriteString("[" + part + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		// A name that the caller made up is cut: it may be anything, of any length.
		if runes := []rune(strings.ReplaceAll(part, "\x00", "")); len(runes) > 64 {
			part = string(runes[:64]) + "…"
		}
		b.WriteString(part)
	}
	return b.String()
}

// message puts a schema error into words for the caller, without the value.
func message(e *openapi3.SchemaError) string {
	s := e.Schema
	switch e.SchemaField {
	case "required":
		return "is required"
	case "nullable":
		return "must not be null"
	case "type":
		if s.Type != nil {
			return "must be " + strings.Join(s.Type.Slice(), " or ")
		}
	case "enum":
		values := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			values[i] = fmt.Sprint(v)
		}
		return "must be one of " + strings.Join(values, ", ")
	case "minLength":
		if s.MinLength == 1 {
			return "must not be empty"
		}
		return fmt.Sprintf("must have at least %d characters", s.MinLength)
	case "maxLength":
		return fmt.Sprintf("must have at most %d characters", *s.MaxLength)
	case "minimum":
		return fmt.Sprintf("must be at least %v", *s.Min)
	case "maximum":
		return fmt.Sprintf("must be at most %v", *s.Max)
	case "minItems":
		return fmt.Sprintf("must have at least %d items", s.MinItems)
	case "maxItems":
		return fmt.Sprintf("must have at most %d items", *s.MaxItems)
	case "uniqueItems":
		return "must not name anything twice"
	case "maxProperties":
		return fmt.Sprintf("must have at most %d fields", *s.MaxProps)
	}
	return "has not the expected form"
}
