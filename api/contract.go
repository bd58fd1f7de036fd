package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/labstack/echo/v4"

	"github.com/kontoflow/kontoflow/internal/openapi"
)

//go:generate go tool -modfile=../tools/go.mod oapi-codegen -config oapi-codegen.yaml openapi.yaml

// Specification is the contract, an OpenAPI 3.0 document in YAML.
//
//go:embed openapi.yaml
var Specification []byte

// Bounds of a request's body. They are checked before anything is made of it.
const maxBody = 64 << 10 // bytes

var bodyLimits = openapi.Limits{Values: 2000, Depth: 16}

// A contract holds requests against openapi.yaml: who may call, with which parameters and which body.
type contract struct {
	document   *openapi3.T
	operations map[string]*operation // by method and Echo path
}

// An operation is one row of the contract, taken apart once so that checking a request is cheap.
type operation struct {
	client     bool     // HTTP Basic; else Bearer
	scopes     []string // that a Bearer token needs, all of them; none: any token does
	parameters openapi3.Parameters
	headers    bool // some parameters are headers
	requires   bool // some parameter has to be there
	body       openapi3.Content
	route      *routers.Route
}

// newContract reads the contract. New passwords have at least passwordLength characters; 0: as the document says.
func newContract(passwordLength int) (*contract, error) {
	document, err := openapi3.NewLoader().LoadFromData(Specification)
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	if passwordLength > 0 {
		document.Components.Schemas["Password"].Value.MinLength = uint64(passwordLength)
	}
	k := &contract{document: document, operations: make(map[string]*operation)}
	for path, item := range document.Paths.Map() {
		for method, described := range item.Operations() {
			o := &operation{route: &routers.Route{Spec: document, Path: path, PathItem: item, Method: method, Operation: described}}
			if o.client, o.scopes, err = authorizationOf(described); err != nil {
				return nil, fmt.Errorf("read openapi.yaml: %s %s: %w", method, path, err)
			}
			for _, p := range described.Parameters {
				o.parameters = append(o.parameters, p)
				o.headers = o.headers || p.Value.In == openapi3.ParameterInHeader
				o.requires = o.requires || p.Value.Required
			}
			if described.RequestBody != nil {
				o.body = described.RequestBody.Value.Content
			}
			k.operations[method+" "+echoPath(path)] = o
		}
	}
	return k, nil
}

// authorizationOf reads who may call an operation: a client, or a user whose token has all these scopes. An operation
// that does not say so, or in a way that guard does not know, is an error. So no mistake in the contract lets anybody in.
func authorizationOf(o *openapi3.Operation) (client bool, scopes []string, err error) {
	if o.Security == nil || len(*o.Security) != 1 || len((*o.Security)[0]) != 1 {
		return false, nil, errors.New("security must name exactly one scheme")
	}
	requirement := (*o.Security)[0]
	if scopes, user := requirement["user"]; user {
		return false, scopes, nil
	}
	if scopes, client := requirement["client"]; client && len(scopes) == 0 {
		return true, nil, nil
	}
	return false, nil, errors.New("security must be the scheme user, or client without scopes")
}

// echoPath turns /accounts/{account_id} into /accounts/:account_id.
func echoPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

// operation is what the contract says about this request; nil for the few pages beside the contract.
func (k *contract) operation(c echo.Context) *operation {
	return k.operations[c.Request().Method+" "+c.Path()]
}

// check holds a request against its operation, and keeps the body for bind.
func (o *operation) check(c echo.Context) error {
	r := c.Request()
	problems := make(openapi.Problems)
	if len(o.parameters) > 0 && (r.URL.RawQuery != "" || o.headers || o.requires) {
		o.checkParameters(r, problems)
	}
	if o.body != nil {
		body, err := o.readBody(r, problems)
		if err != nil {
			return err
		}
		c.Set(bodyKey, body)
	}
	if len(problems) > 0 {
		return refuse(http.StatusBadRequest, problems)
	}
	return nil
}

// checkParameters holds the query and the headers against the contract. The query is rewritten as the contract spells it,
// for clients have several ways to write a list or a word.
func (o *operation) checkParameters(r *http.Request, problems openapi.Problems) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		problems.Add("query", "is malformed")
		return
	}
	respelled := false
	for _, reference := range o.parameters {
		if p := reference.Value; p.In == openapi3.ParameterInQuery {
			respelled = respell(query, p) || respelled
		}
	}
	if respelled {
		r.URL.RawQuery = query.Encode()
	}
	input := &openapi3filter.RequestValidationInput{Request: r, QueryParams: query, Route: o.route,
		Options: &openapi3filter.Options{SkipSettingDefaults: true, MultiError: true}}
	for _, reference := range o.parameters {
		p := reference.Value
		values := query[p.Name]
		if p.In == openapi3.ParameterInHeader {
			values = r.Header.Values(p.Name)
		}
		switch {
		case len(values) == 0:
			if p.Required {
				problems.Add(p.Name, "is required")
			}
		case len(values) > 1:
			problems.Add(p.Name, "must be given once")
		case !utf8.ValidString(values[0]) || strings.ContainsRune(values[0], 0):
			problems.Add(p.Name, "must be text in UTF-8 without NUL characters")
		case values[0] == "" && p.In == openapi3.ParameterInQuery:
			problems.Add(p.Name, "must not be empty")
		default:
			if err := openapi3filter.ValidateParameter(r.Context(), input, p); err != nil {
				for field, messages := range openapi.CheckParameter(p.Name, err) {
					for _, m := range messages {
						problems.Add(field, m)
					}
				}
			}
		}
	}
}

// respell writes the values of a parameter as the contract has them, and reports whether anything changed. A list may be
// repeated (a=1&a=2, a[]=1&a[]=2), comma-separated and in parentheses. A word of a fixed set may be in any case.
func respell(query url.Values, p *openapi3.Parameter) bool {
	schema := p.Schema.Value
	if !schema.Type.Is(openapi3.TypeArray) {
		values := query[p.Name]
		if len(values) != 1 || len(schema.Enum) == 0 {
			return false
		}
		word := inEnum(schema, values[0])
		changed := word != values[0]
		values[0] = word
		return changed
	}
	values := append(query[p.Name], query[p.Name+"[]"]...)
	if len(values) == 0 {
		return false
	}
	for i, value := range values {
		if inner, ok := strings.CutPrefix(value, "("); ok {
			if inner, ok = strings.CutSuffix(inner, ")"); ok {
				value = inner
			}
		}
		items := strings.Split(value, ",")
		for j := range items {
			items[j] = inEnum(schema.Items.Value, items[j])
		}
		values[i] = strings.Join(items, ",")
	}
	delete(query, p.Name+"[]")
	query[p.Name] = []string{strings.Join(values, ",")}
	return true
}

// inEnum is the schema's word that text is but for its case and blanks around it; without one it is the text.
func inEnum(schema *openapi3.Schema, text string) string {
	for _, word := range schema.Enum {
		if known, ok := word.(string); ok && strings.EqualFold(known, strings.TrimSpace(text)) {
			return known
		}
	}
	return text
}

const bodyKey = "body"

// readBody reads and checks the body, and answers it as JSON.
func (o *operation) readBody(r *http.Request, problems openapi.Problems) (json.RawMessage, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, refuse(http.StatusRequestEntityTooLarge, openapi.Problems{openapi.Body: {"must have at most 64 KiB"}})
	case err != nil:
		return nil, refuse(http.StatusBadRequest, openapi.Problems{openapi.Body: {"did not arrive completely"}})
	}
	kind := echo.MIMEApplicationJSON
	if header := r.Header.Get(echo.HeaderContentType); header != "" && len(raw) > 0 {
		if kind, _, err = mime.ParseMediaType(header); err != nil {
			kind = "unknown"
		}
	}
	described := o.body[kind]
	if described == nil {
		return nil, refuse(http.StatusUnsupportedMediaType, openapi.Problems{echo.HeaderContentType: {"must be application/json"}})
	}
	if kind == echo.MIMEApplicationForm {
		if raw, err = formAsJSON(raw, problems); err != nil {
			return nil, err
		}
	}
	if raw = bytes.TrimSpace(raw); len(raw) == 0 {
		raw = []byte("{}")
	}
	value, err := decode(raw)
	if err != nil {
		problems.Add(openapi.Body, err.Error())
		return nil, nil
	}
	for field, messages := range openapi.Check(described.Schema.Value, value) {
		for _, m := range messages {
			problems.Add(field, m)
		}
	}
	return raw, nil
}

// decode reads JSON within bodyLimits. Its error is for the caller.
func decode(raw []byte) (value any, err error) {
	switch err := bodyLimits.Check(raw); {
	case errors.Is(err, openapi.ErrTooManyValues):
		return nil, fmt.Errorf("must have at most %d values", bodyLimits.Values)
	case errors.Is(err, openapi.ErrTooDeep):
		return nil, fmt.Errorf("must be nested at most %d deep", bodyLimits.Depth)
	case err != nil || !utf8.Valid(raw) || json.Unmarshal(raw, &value) != nil:
		return nil, errors.New("is not JSON")
	}
	return value, nil
}

func formAsJSON(raw []byte, problems openapi.Problems) ([]byte, error) {
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, openapi.Problems{openapi.Body: {"is not a form"}})
	}
	fields := make(map[string]string, len(form))
	for name, values := range form {
		if len(values) > 1 {
			problems.Add(name, "must be given once")
		}
		fields[name] = values[0]
	}
	return json.Marshal(fields)
}

// bind reads the body that check let through.
func bind[T any](c echo.Context) (T, error) {
	var body T
	raw, _ := c.Get(bodyKey).(json.RawMessage)
	if err := json.Unmarshal(raw, &body); err != nil {
		// What the schema allows and Go does not, such as 1e2 for an integer.
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			return body, invalid(wrong.Field, "has not the expected form")
		}
		return body, invalid(openapi.Body, "has not the expected form")
	}
	return body, nil
}
