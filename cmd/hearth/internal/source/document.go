package source

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"hearth/client"
)

// Document makes the body of the PUT.
func (s *Source) Document() (client.FunctionSpec, error) {
	m := s.Manifest
	doc := client.FunctionSpec{Code: m.Code, Entry: m.Entry, Dependencies: m.Dependencies, Secrets: m.Secrets,
		Runtime: m.Runtime, Model: m.Model, TimeoutMS: m.TimeoutMS, Auth: m.Auth}
	if len(m.Config) > 0 {
		data, err := json.Marshal(m.Config)
		if err != nil {
			return doc, fmt.Errorf("config: %w", err)
		}
		doc.Config = data
	}
	if len(s.Files) > 0 || len(m.Files) > 0 {
		doc.Files = map[string]client.File{}
	}
	for _, f := range s.Files {
		doc.Files[f.Path] = client.File(f.Data)
	}
	for name, raw := range m.Files {
		var text string
		var coded struct {
			Base64 *string `json:"base64"`
		}
		switch {
		case json.Unmarshal(raw, &text) == nil && string(raw) != "null":
			doc.Files[name] = client.File(text)
		case json.Unmarshal(raw, &coded) == nil && coded.Base64 != nil:
			data, err := base64.StdEncoding.DecodeString(*coded.Base64)
			if err != nil {
				return doc, fmt.Errorf("hearth.json: file %q: %w", cut(name), err)
			}
			doc.Files[name] = data
		default:
			return doc, fmt.Errorf(`hearth.json: file %q is neither text nor {"base64": "…"}`, cut(name))
		}
	}
	return doc, nil
}

// SetConfig adds KEY=VALUE to the config, or KEY:=JSON for what is not text.
func (m *Manifest) SetConfig(pair string) error {
	key, value, ok := strings.Cut(pair, "=")
	if !ok || strings.TrimSuffix(key, ":") == "" {
		return fmt.Errorf("%q is neither KEY=TEXT nor KEY:=JSON", cut(pair))
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if name, isJSON := strings.CutSuffix(key, ":"); isJSON {
		if !json.Valid([]byte(value)) {
			return fmt.Errorf("the value of %q is not JSON", cut(name))
		}
		key, raw = name, json.RawMessage(value)
	}
	if m.Config == nil {
		m.Config = map[string]json.RawMessage{}
	}
	m.Config[key] = raw
	return nil
}

// SetSecret adds a secret.
func (m *Manifest) SetSecret(name, value string) {
	if m.Secrets == nil {
		m.Secrets = map[string]*string{}
	}
	m.Secrets[name] = &value
}
