package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsHTML string

//go:embed docs.css
var docsCSS string

type docsSection struct {
	*huma.Tag
	Operations []docsOperation
}

type docsOperation struct {
	*huma.Operation
	Method   string
	Body     *docsBody
	Answers  []docsAnswer
	Problems string
}

type docsBody struct {
	Fields  []docsField
	Example string
}

type docsField struct{ Name, Type, Doc string }

type docsAnswer struct{ Status, Text, Example string }

// docs renders the description as one page without scripts, and the policy that allows its style.
func (a *api) docs() (html []byte, policy string) {
	d := a.huma.OpenAPI()
	sections := make([]docsSection, len(d.Tags))
	for i, tag := range d.Tags {
		sections[i].Tag = tag
		for _, path := range sortedKeys(d.Paths) {
			item := d.Paths[path]
			for _, op := range []*huma.Operation{item.Put, item.Post, item.Get, item.Delete} {
				if op != nil && op.Tags[0] == tag.Name {
					sections[i].Operations = append(sections[i].Operations, a.docsOperation(op))
				}
			}
		}
	}
	var b bytes.Buffer
	err := template.Must(template.New("docs").Parse(docsHTML)).Execute(&b, map[string]any{
		"Info": d.Info, "Style": template.CSS(docsCSS), "Sections": sections})
	if err != nil {
		panic(fmt.Sprintf("render docs: %v", err)) // a mistake in this package, found by every test
	}
	style := sha256.Sum256([]byte(docsCSS))
	return b.Bytes(), "default-src 'none'; frame-ancestors 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(style[:]) + "'"
}

func (a *api) docsOperation(op *huma.Operation) docsOperation {
	out := docsOperation{Operation: op, Method: op.Method}
	if op.RequestBody != nil {
		media := op.RequestBody.Content["application/json"]
		out.Body = &docsBody{Fields: a.docsFields(media.Schema, ""), Example: pretty(media.Example)}
	}
	var problems []string
	for _, status := range sortedKeys(op.Responses) {
		res := op.Responses[status]
		if res.Ref != "" {
			problems = append(problems, status)
			continue
		}
		ans := docsAnswer{Status: status, Text: res.Description}
		if media := res.Content["application/json"]; media != nil {
			ans.Example = pretty(media.Example)
		}
		out.Answers = append(out.Answers, ans)
	}
	out.Problems = strings.Join(problems, ", ")
	return out
}

// docsFields lists the fields of a schema, those of objects inside it too.
func (a *api) docsFields(s *huma.Schema, prefix string) []docsField {
	registry := a.huma.OpenAPI().Components.Schemas
	if s.Ref != "" {
		s = registry.SchemaFromRef(s.Ref)
	}
	var out []docsField
	for _, name := range sortedKeys(s.Properties) {
		p := s.Properties[name]
		doc := p.Description
		if p.Ref != "" {
			out = append(out, docsField{prefix + name, huma.TypeObject, doc})
			out = append(out, a.docsFields(p, prefix+name+".")...)
			continue
		}
		if p.Default != nil {
			doc += fmt.Sprintf(" Default: %v.", p.Default)
		}
		out = append(out, docsField{prefix + name, p.Type, doc})
	}
	return out
}

func pretty(example any) string {
	raw, ok := example.(json.RawMessage)
	if !ok {
		return ""
	}
	var b bytes.Buffer
	_ = json.Indent(&b, raw, "", "  ") // register has checked that it is JSON
	return b.String()
}
