package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"hearth"
	"hearth/internal/config"
)

// Manifest is hearth.json: the fields of the PUT body, and whose function it is.
type Manifest struct {
	Tenant       string                     `json:"tenant,omitempty"`
	Container    string                     `json:"container,omitempty"`
	Name         string                     `json:"name,omitempty"`
	Runtime      string                     `json:"runtime,omitempty"`
	Entry        string                     `json:"entry,omitempty"`
	Model        string                     `json:"model,omitempty"`
	TimeoutMS    int                        `json:"timeout_ms,omitempty"`
	Auth         string                     `json:"auth,omitempty"`
	Config       map[string]json.RawMessage `json:"config,omitempty"`
	Dependencies map[string]string          `json:"dependencies,omitempty"`
	Secrets      map[string]*string         `json:"secrets,omitempty"`
	Code         string                     `json:"code,omitempty"`
	Files        map[string]json.RawMessage `json:"files,omitempty"`
}

var manifestFields = []string{"tenant", "container", "name", "runtime", "entry", "model", "timeout_ms", "auth", "config",
	"dependencies", "secrets", "code", "files"}

// parseManifest reads hearth.json strictly: an unknown or repeated field is an error that names it.
func parseManifest(data []byte) (m Manifest, err error) {
	bad := func(format string, args ...any) (Manifest, error) {
		return Manifest{}, fmt.Errorf("hearth.json "+format, args...)
	}
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		return bad("is not JSON: %w", jsonError(data, err))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return bad("is not a JSON object")
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return bad("is not JSON: %w", jsonError(data, err))
		}
		key, _ := t.(string)
		switch {
		case seen[key]:
			return bad("has %q twice", cut(key))
		case !known(key):
			if near := config.Nearest(key, manifestFields); near != "" {
				return bad("has the unknown field %q; did you mean %q?", cut(key), near)
			}
			return bad("has the unknown field %q; it may have %s", cut(key), strings.Join(manifestFields, ", "))
		}
		seen[key] = true
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil {
			return bad("is not JSON: %w", jsonError(data, err))
		}
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return bad("is not right: %w", jsonError(data, err))
	}
	return m, nil
}

func known(key string) bool {
	for _, f := range manifestFields {
		if f == key {
			return true
		}
	}
	return false
}

// jsonError says in which line a mistake is.
func jsonError(data []byte, err error) error {
	offset := int64(len(data))
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		return fmt.Errorf("%s in line %d must not be a %s", kind.Field, line(data, kind.Offset), kind.Value)
	}
	return fmt.Errorf("line %d: %w", line(data, offset), err)
}

func line(data []byte, offset int64) int {
	return 1 + bytes.Count(data[:min(offset, int64(len(data)))], []byte("\n"))
}

func cut(s string) string { return s[:min(len(s), 64)] }

// maxManifest is what hearth.json may have: the document of the API, since it may hold the code.
var maxManifest = hearth.LimitDocument
