// Package openapi says what is wrong with a JSON value, field by field, by an OpenAPI schema.
package openapi

import (
	"errors"
	"fmt"
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

// Add notes one more problem of a field; the same one twice counts once.
func (p Problems) Add(field, message string) {
	for _, m := range p[field] {
		if m == message {
			return
		}
	}
	p[field] = append(p[field], message)
}

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

// Check holds a decoded JSON value against a schema, and answers nil where nothing is wrong. Text with a NUL
// character is wrong everywhere: PostgreSQL cannot store it.
func Check(schema *openapi3.Schema, value any) Problems {
	problems := make(Problems)
	err := schema.VisitJSON(value, openapi3.VisitAsRequest(), openapi3.MultiErrors(), openapi3.EnableFormatValidation())
	problems.addSchemaErrors("", err)
	problems.addNULs("", value)
	if len(problems) == 0 {
		return nil
	}
	return problems
}

// CheckParameter is Check for the parameter of that name.
func CheckParameter(name string, err error) Problems {
	problems := make(Problems)
	problems.addSchemaErrors(name, err)
	return problems
}

func (p Problems) addSchemaErrors(at string, err error) {
	var several openapi3.MultiError
	var one *openapi3.SchemaError
	switch {
	case err == nil:
	case errors.As(err, &several):
		for _, e := range several {
			p.addSchemaErrors(at, e)
		}
	case errors.As(err, &one):
		field := path(at, one.JSONPointer())
		if unknown := unknownFields(one); len(unknown) > 0 {
			for _, name := range unknown {
				p.Add(path(field, []string{name}), "is not known")
			}
			return
		}
		p.Add(named(field), message(one))
	default:
		p.Add(named(at), "has not the expected form")
	}
}

// unknownFields are those that additionalProperties forbids: the schema error knows the object, not the field.
func unknownFields(e *openapi3.SchemaError) (names []string) {
	object, ok := e.Value.(map[string]any)
	if e.SchemaField != "properties" || !ok {
		return nil
	}
	for name := range object {
		if _, known := e.Schema.Properties[name]; !known {
			names = append(names, name)
		}
	}
	return names
}

func (p Problems) addNULs(at string, value any) {
	switch v := value.(type) {
	case string:
		if strings.ContainsRune(v, 0) {
			p.Add(named(at), "must not contain a NUL character")
		}
	case []any:
		for i, item := range v {
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
