package sbom

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"hearth/internal/module/plan"
)

var subject = Subject{Tenant: "acme", Container: "shop", Function: "checkout", Version: "7", Made: time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC), Hearth: "0.4.0"}

func tree(t *testing.T, name string) *plan.Tree {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := plan.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := lock.Tree(plan.Options{Runtime: "node24", ABI: "137", Platform: plan.Platform{OS: "linux", CPU: "x64", Libc: "glibc"}})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// The schema is the published one (testdata/README.md), with those that it refers to.
func published(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, name := range []string{"bom-1.6", "jsf-0.82", "spdx"} {
		data, err := os.ReadFile("testdata/" + name + ".SNAPSHOT.schema.json")
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource("http://cyclonedx.org/schema/"+name+".SNAPSHOT.schema.json", doc); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := c.Compile("http://cyclonedx.org/schema/bom-1.6.SNAPSHOT.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestDocumentsFollowThePublishedSchema(t *testing.T) {
	t.Parallel()
	schema := published(t)
	locks, err := filepath.Glob("../plan/testdata/locks/*/package-lock.json")
	if err != nil || len(locks) < 10 {
		t.Fatalf("%d locks, %v", len(locks), err)
	}
	check := func(name string, tree *plan.Tree, s Subject) []byte {
		data, err := Document(tree, s)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return data
	}
	for _, name := range locks {
		packages := tree(t, name)
		data := check(name, packages, subject)
		if again := check(name, packages, subject); !bytes.Equal(data, again) {
			t.Errorf("%s: two documents of one tree differ", name)
		}
		whole(t, packages, data)
	}
	check("no packages", nil, subject)
	numbered := subject
	numbered.Serial = "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79"
	check("with a serial number", nil, numbered)
	numbered.Serial = "3"
	data, err := Document(nil, numbered)
	if err != nil {
		t.Fatal(err)
	}
	doc, _ := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if schema.Validate(doc) == nil {
		t.Error("the schema takes everything")
	}
}

// whole looks that every package is there, with what it depends on.
func whole(t *testing.T, packages *plan.Tree, data []byte) {
	t.Helper()
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"function": true}
	for _, c := range doc.Components {
		p := packages.Find(c.Ref)
		if known[c.Ref] || p == nil || c.PURL != PURL(p.Package, p.Version) || len(c.Hashes) != 1 || len(c.Hashes[0].Content) != 128 {
			t.Errorf("component %+v", c)
		}
		known[c.Ref] = true
	}
	if len(doc.Components) != len(packages.Packages) || len(doc.Dependencies) != len(packages.Packages)+1 {
		t.Errorf("%d components and %d dependencies of %d packages", len(doc.Components), len(doc.Dependencies), len(packages.Packages))
	}
	for _, d := range doc.Dependencies {
		for _, to := range append(d.DependsOn, d.Ref) {
			if !known[to] {
				t.Errorf("%s depends on %s, which is not in the document", d.Ref, to)
			}
		}
	}
}

func TestAliasesAreNoted(t *testing.T) {
	t.Parallel()
	data, err := Document(tree(t, "../plan/testdata/locks/aliases/package-lock.json"), subject)
	if err != nil {
		t.Fatal(err)
	}
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, c := range doc.Components {
		for _, p := range c.Properties {
			if p.Name == "hearth:alias" {
				found[p.Value] = c.Name
			}
		}
	}
	if found["lodash3"] != "lodash" || found["@me/odd"] != "is-odd" || len(found) != 3 {
		t.Errorf("aliases: %v", found)
	}
}

func TestPackageURLs(t *testing.T) {
	t.Parallel()
	for want, in := range map[string][2]string{
		"pkg:npm/express@5.1.0":              {"express", "5.1.0"},
		"pkg:npm/%40babel/core@7.0.0-rc.1":   {"@babel/core", "7.0.0-rc.1"},
		"pkg:npm/JSONStream@1.0.0%2Bbuild.5": {"JSONStream", "1.0.0+build.5"},
	} {
		if got := PURL(in[0], in[1]); got != want {
			t.Errorf("PURL(%q, %q) = %s, want %s", in[0], in[1], got, want)
		}
	}
}
