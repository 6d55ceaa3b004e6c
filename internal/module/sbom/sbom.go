package sbom

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"hearth/internal/module/plan"
)

// Subject is the version of a function that a document is about.
type Subject struct {
	Tenant, Container, Function, Version string

	Made   time.Time // when the version was settled: the document's time
	Serial string    // urn:uuid:…; "": none, since a random one would make each copy another document
	Hearth string    // the version of Hearth; "": not said
}

// The document, as far as Hearth fills it in (CycloneDX 1.6: bom-1.6.schema.json).
type document struct {
	Schema       string       `json:"$schema"`
	Format       string       `json:"bomFormat"`
	Spec         string       `json:"specVersion"`
	Serial       string       `json:"serialNumber,omitempty"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Timestamp string    `json:"timestamp"`
	Tools     tools     `json:"tools"`
	Component component `json:"component"`
}

type tools struct {
	Components []component `json:"components"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref,omitempty"`
	Group      string     `json:"group,omitempty"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	Hashes     []sum      `json:"hashes,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type sum struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

// Document writes the bill of materials of a version. A nil tree is one of a function without packages.
func Document(t *plan.Tree, s Subject) ([]byte, error) {
	if t == nil {
		t = &plan.Tree{}
	}
	subject := component{Type: "application", Ref: "function", Group: s.Tenant + "/" + s.Container, Name: s.Function, Version: s.Version}
	for _, p := range []property{{"hearth:tree", t.Key}, {"hearth:runtime", t.Runtime}, {"hearth:platform", t.Platform}} {
		if p.Value != "" {
			subject.Properties = append(subject.Properties, p)
		}
	}
	doc := document{
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", Spec: "1.6", Serial: s.Serial, Version: 1,
		Metadata: metadata{
			Timestamp: s.Made.UTC().Format(time.RFC3339),
			Tools:     tools{[]component{{Type: "application", Name: "hearth", Version: s.Hearth}}},
			Component: subject,
		},
		Components:   make([]component, 0, len(t.Packages)),
		Dependencies: []dependency{{"function", refs(t.Direct)}},
	}
	for i := range t.Packages {
		c, err := library(&t.Packages[i])
		if err != nil {
			return nil, err
		}
		doc.Components = append(doc.Components, c)
		doc.Dependencies = append(doc.Dependencies, dependency{c.Ref, refs(t.Packages[i].Deps)})
	}
	slices.SortFunc(doc.Components, func(a, b component) int { return cmp.Or(cmp.Compare(a.PURL, b.PURL), cmp.Compare(a.Ref, b.Ref)) })
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(doc); err != nil {
		return nil, fmt.Errorf("encode bill of materials: %w", err)
	}
	return buf.Bytes(), nil
}

func library(p *plan.Package) (component, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(p.Integrity, "sha512-"))
	if err != nil {
		return component{}, fmt.Errorf("integrity of %s@%s: %w", p.Package, p.Version, err)
	}
	c := component{Type: "library", Ref: p.Key, Name: p.Package, Version: p.Version, PURL: PURL(p.Package, p.Version),
		Hashes: []sum{{"SHA-512", hex.EncodeToString(raw)}}}
	if scope, name, ok := strings.Cut(p.Package, "/"); ok {
		c.Group, c.Name = scope, name
	}
	if p.Name != p.Package {
		c.Properties = append(c.Properties, property{"hearth:alias", p.Name})
	}
	if p.Scripts {
		c.Properties = append(c.Properties, property{"hearth:scripts", "true"})
	}
	return c, nil
}

// PURL returns the package URL of an npm package (ECMA-427). The names that plan takes need no
// escaping but for the @ of a scope, and versions none but for the + before build metadata.
func PURL(name, version string) string {
	return "pkg:npm/" + strings.Replace(name, "@", "%40", 1) + "@" + strings.ReplaceAll(url.PathEscape(version), "+", "%2B")
}

func refs(links map[string]string) []string {
	keys := slices.AppendSeq(make([]string, 0, len(links)), maps.Values(links))
	slices.Sort(keys)
	return slices.Compact(keys)
}
