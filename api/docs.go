package api

import (
	"bytes"
	_ "embed"
	"fmt"
	"html"
	"html/template"
	"net/http"
	"regexp"
	"sort"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
	"go.yaml.in/yaml/v3"
)

// documentation is the page at /docs: the contract, rendered once at start, without a script and without anything
// from another address.
type documentation struct{ page []byte }

//go:embed docs.html
var docsTemplate string

func newDocumentation(d *openapi3.T) (*documentation, error) {
	r := renderer{document: d}
	if err := yaml.Unmarshal(Specification, &r.source); err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	t, err := template.New("docs").Parse(docsTemplate)
	if err != nil {
		return nil, fmt.Errorf("read docs.html: %w", err)
	}
	var page bytes.Buffer
	if err := t.Execute(&page, r.view()); err != nil {
		return nil, fmt.Errorf("render the documentation: %w", err)
	}
	return &documentation{page.Bytes()}, nil
}

func (d *documentation) home(c echo.Context) error { return c.Redirect(http.StatusFound, "/docs") }

func (d *documentation) show(c echo.Context) error {
	c.Response().Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'")
	return c.HTMLBlob(http.StatusOK, d.page)
}

func (d *documentation) specification(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/yaml", Specification)
}

// What the template shows.
type (
	docsView struct {
		Title, Version string
		Intro          template.HTML
		Tags           []tagView
		Schemas        []schemaView
	}
	tagView struct {
		Name, Anchor string
		Text         template.HTML
		Operations   []operationView
	}
	operationView struct {
		Anchor, Method, Path, Summary, Authorization string
		Text                                         template.HTML
		Parameters, Body                             []fieldView
		BodyType                                     template.HTML
		Responses                                    []responseView
	}
	responseView struct {
		Status     string
		Type, Text template.HTML
	}
	schemaView struct {
		Name   string
		Type   template.HTML
		Text   template.HTML
		Fields []fieldView
	}
	fieldView struct {
		Name, In string
		Required bool
		Type     template.HTML
		Text     template.HTML
	}
)

type renderer struct {
	document *openapi3.T
	source   yaml.Node // knows the order in which things are written
}

func (r *renderer) view() docsView {
	d := r.document
	v := docsView{Title: d.Info.Title, Version: d.Info.Version, Intro: markdown(d.Info.Description)}
	for _, tag := range d.Tags {
		view := tagView{Name: tag.Name, Anchor: strings.ToLower(tag.Name), Text: markdown(tag.Description)}
		for _, path := range r.keys("paths") {
			item := d.Paths.Value(path)
			for _, method := range r.keys("paths", path) {
				operation := item.GetOperation(strings.ToUpper(method))
				if operation != nil && operation.Tags[0] == tag.Name {
					view.Operations = append(view.Operations, r.operation(path, strings.ToUpper(method), item, operation))
				}
			}
		}
		v.Tags = append(v.Tags, view)
	}
	for _, name := range r.keys("components", "schemas") {
		s := d.Components.Schemas[name].Value
		v.Schemas = append(v.Schemas, schemaView{Name: name, Type: plainType(s), Text: markdown(s.Description),
			Fields: r.fields(s, "components", "schemas", name)})
	}
	return v
}

func (r *renderer) operation(path, method string, item *openapi3.PathItem, o *openapi3.Operation) operationView {
	view := operationView{Anchor: o.OperationID, Method: method, Path: path, Summary: o.Summary, Text: markdown(o.Description), Authorization: "Bearer"}
	for _, requirement := range *o.Security {
		if _, client := requirement["client"]; client {
			view.Authorization = "Basic"
		} else if scopes := requirement["user"]; len(scopes) > 0 {
			view.Authorization = "Bearer, scope " + strings.Join(scopes, " ")
		}
	}
	for _, reference := range append(append(openapi3.Parameters{}, item.Parameters...), o.Parameters...) {
		p := reference.Value
		view.Parameters = append(view.Parameters, fieldView{Name: p.Name, In: p.In, Required: p.Required,
			Type: typeOf(p.Schema), Text: markdown(p.Description)})
	}
	if o.RequestBody != nil {
		body := o.RequestBody.Value.Content.Get(echo.MIMEApplicationJSON).Schema
		view.BodyType = typeOf(body)
		view.Body = r.fields(body.Value, "components", "schemas", body.Ref[strings.LastIndex(body.Ref, "/")+1:])
	}
	statuses := make([]string, 0, o.Responses.Len())
	for status := range o.Responses.Map() {
		statuses = append(statuses, status)
	}
	sort.Strings(statuses)
	for _, status := range statuses {
		response := o.Responses.Value(status).Value
		answer := responseView{Status: status, Text: markdown(*response.Description)}
		for _, content := range response.Content {
			answer.Type = typeOf(content.Schema)
			if properties := content.Schema.Value.Properties; content.Schema.Ref == "" && len(properties) == 1 {
				for name, p := range properties { // {"accesses": […]}
					answer.Type = template.HTML(fmt.Sprintf("{<code>%s</code>: %s}", html.EscapeString(name), typeOf(p)))
				}
			}
		}
		view.Responses = append(view.Responses, answer)
	}
	return view
}

func (r *renderer) fields(s *openapi3.Schema, path ...string) (fields []fieldView) {
	required := make(map[string]bool)
	for _, name := range s.Required {
		required[name] = true
	}
	for _, name := range r.keys(append(path, "properties")...) {
		p := s.Properties[name]
		fields = append(fields, fieldView{Name: name, Required: required[name], Type: typeOf(p), Text: markdown(p.Value.Description)})
		if p.Ref == "" && len(p.Value.Properties) > 0 {
			for _, inner := range r.fields(p.Value, append(path, "properties", name)...) {
				inner.Name = name + "." + inner.Name
				fields = append(fields, inner)
			}
		}
	}
	return fields
}

// keys lists the keys of a mapping in openapi.yaml in the order in which they are written.
func (r *renderer) keys(path ...string) (keys []string) {
	node := r.source.Content[0]
	for _, name := range path {
		node = child(node, name)
	}
	if node == nil {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		keys = append(keys, node.Content[i].Value)
	}
	return keys
}

func child(node *yaml.Node, name string) *yaml.Node {
	for i := 0; node != nil && i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			if found := node.Content[i+1]; found.Alias == nil {
				return found
			}
			return node.Content[i+1].Alias
		}
	}
	return nil
}

// typeOf words a schema's type: a link to a schema of the contract, or what it is.
func typeOf(s *openapi3.SchemaRef) template.HTML {
	if s.Ref != "" {
		name := html.EscapeString(s.Ref[strings.LastIndex(s.Ref, "/")+1:])
		return template.HTML(`<a href="#schema-` + name + `">` + name + `</a>`)
	}
	if s.Value.Items != nil {
		return "array of " + typeOf(s.Value.Items)
	}
	if of := s.Value.AdditionalProperties.Schema; of != nil {
		return "map of " + typeOf(of)
	}
	return plainType(s.Value)
}

func plainType(s *openapi3.Schema) template.HTML {
	if s.Type == nil {
		return "anything"
	}
	words := strings.Join(s.Type.Slice(), " or ")
	switch {
	case s.Format != "":
		words += " (" + s.Format + ")"
	case s.Pattern != "" && len(s.Pattern) < 40:
		words += " like " + s.Pattern
	}
	if len(s.Enum) == 1 {
		return template.HTML("<code>" + html.EscapeString(fmt.Sprint(s.Enum[0])) + "</code>")
	}
	values := make([]string, len(s.Enum))
	for i, value := range s.Enum {
		values[i] = "<code>" + html.EscapeString(fmt.Sprint(value)) + "</code>"
	}
	text := html.EscapeString(words)
	if len(values) > 0 {
		text = strings.Join(values, " ")
	}
	switch {
	case s.Min != nil && s.Max != nil:
		text += fmt.Sprintf(", %.0f to %.0f", *s.Min, *s.Max)
	case s.MaxLength != nil && s.MinLength > 1:
		text += fmt.Sprintf(", %d to %d characters", s.MinLength, *s.MaxLength)
	case s.MaxLength != nil:
		text += fmt.Sprintf(", at most %d characters", *s.MaxLength)
	}
	if s.Default != nil {
		text += ", default <code>" + html.EscapeString(fmt.Sprint(s.Default)) + "</code>"
	}
	return template.HTML(text)
}

var (
	codeSpan = regexp.MustCompile("`([^`]+)`")
	strong   = regexp.MustCompile(`\*\*([^*]+)\*\*`)
	emphasis = regexp.MustCompile(`\*([^*]+)\*`)
)

// markdown renders as much of it as the contract's descriptions use: paragraphs, tables, code, strong and emphasis.
func markdown(text string) template.HTML {
	var b strings.Builder
	for _, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		switch {
		case block == "":
		case strings.HasPrefix(block, "|"):
			b.WriteString("<table>")
			for i, line := range strings.Split(strings.TrimSpace(block), "\n") {
				cell := "td"
				switch i {
				case 0:
					cell = "th"
				case 1:
					continue // the ruler
				}
				b.WriteString("<tr>")
				for _, c := range strings.Split(strings.Trim(line, "| "), "|") {
					b.WriteString("<" + cell + ">" + inline(strings.TrimSpace(c)) + "</" + cell + ">")
				}
				b.WriteString("</tr>")
			}
			b.WriteString("</table>")
		default:
			b.WriteString("<p>" + inline(block) + "</p>")
		}
	}
	return template.HTML(b.String())
}

func inline(text string) string {
	text = codeSpan.ReplaceAllString(html.EscapeString(text), "<code>$1</code>")
	text = strong.ReplaceAllString(text, "<strong>$1</strong>")
	return emphasis.ReplaceAllString(text, "<em>$1</em>")
}
