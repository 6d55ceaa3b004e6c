package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"path"
	"strings"
	"testing"

	"hearth"
)

// FuzzParse: whatever the lock, nothing hangs or panics, every refusal is one for a person, and what is
// taken can become paths.
func FuzzParse(f *testing.F) {
	for _, c := range hostileLocks {
		if len(c.lock) < 2000 {
			f.Add([]byte(c.lock))
		}
	}
	f.Add(read(f, "testdata/locks/platform/package-lock.json"))
	f.Add([]byte(doc(`"node_modules/a":{` + good + `,"name":"x","hasInstallScript":true,"bin":{"c":"./c.js"},"optionalDependencies":{"b":"1"},"peerDependencies":{"c":"*"},"peerDependenciesMeta":{"c":{"optional":true}}},"node_modules/a/node_modules/b":{` + good + `,"os":["!win32"],"dependencies":{"a":"1"}}`)))
	f.Fuzz(func(t *testing.T, lock []byte) {
		l, err := Parse(lock)
		if err == nil && !json.Valid(lock) {
			t.Fatal("took what is no JSON")
		}
		var tree *Tree
		if err == nil {
			tree, err = l.Tree(linux)
		}
		var e *hearth.Error
		if err != nil {
			if !errors.Is(err, ErrOld) && (!errors.As(err, &e) || len(e.Message) > 2000) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		for _, p := range tree.Packages {
			if at := path.Join("p", "node_modules", p.Name); path.Dir(at) != "p/node_modules" && path.Dir(path.Dir(at)) != "p/node_modules" {
				t.Errorf("the name %q leaves its folder", p.Name)
			}
			for name, key := range p.Deps {
				if to := tree.Find(key); to == nil || to.Name != name || name == p.Name {
					t.Errorf("%s has a bad link %q", p.Name, name)
				}
			}
			for command, file := range p.Bin {
				if strings.ContainsAny(command, "/\x00") || path.Join("/", file)[1:] != file {
					t.Errorf("the command %q of %q leaves its folder", command, file)
				}
			}
		}
		again, err := Decode(tree.Encode())
		if err != nil {
			t.Fatalf("Decode(Encode): %v", err)
		}
		if !bytes.Equal(again.Encode(), tree.Encode()) {
			t.Error("Encode(Decode) is another text")
		}
	})
}

// FuzzTreeDecode: what is decoded is whole, and written again it is the same.
func FuzzTreeDecode(f *testing.F) {
	for _, name := range []string{"platform", "aliases"} {
		f.Add(planned(f, read(f, "testdata/locks/"+name+"/package-lock.json"), linux).Encode())
	}
	f.Add(planned(f, []byte(doc(`"node_modules/a":{`+good+`}`)), linux).Encode())
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		tree, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Decode(tree.Encode())
		if err != nil {
			t.Fatalf("Decode(Encode): %v", err)
		}
		if !bytes.Equal(again.Encode(), tree.Encode()) {
			t.Error("Encode(Decode) is another text")
		}
	})
}

// FuzzCheck: what a user may ask for never leads outside of a registry, as npm reads it.
func FuzzCheck(f *testing.F) {
	for _, spec := range hostileSpecs {
		f.Add("a", spec)
	}
	f.Add("@s/a", "npm:@s/b@^1.2.3 || 2")
	f.Fuzz(func(t *testing.T, name, spec string) {
		if Check(map[string]string{name: spec}) != nil {
			return
		}
		bare := strings.ToLower(strings.TrimSpace(spec))
		if rest, ok := strings.CutPrefix(bare, "npm:"); ok {
			bare = strings.TrimPrefix(rest, "@")
			bare = strings.Replace(bare, "/", "", 1)
		}
		if strings.ContainsAny(bare, ":/\\\x00\n") || strings.ContainsAny(name, " :\\\x00\n") || strings.Contains(name, "..") && strings.HasPrefix(path.Base(name), ".") {
			t.Errorf("took %q: %q", name, spec)
		}
	})
}
