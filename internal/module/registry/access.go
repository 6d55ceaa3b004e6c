package registry

import (
	"encoding/json"
	"fmt"
	"net/url"
)

// access is a registry as one process hands it to another, credentials and all: the first may read
// the operator's npmrc, the second may not.
type access struct {
	URL    string `json:"url"`
	Auth   string `json:"auth"`           // value of the Authorization header
	Path   string `json:"path,omitempty"` // where it may go; "" is the URL's own
	CA     []byte `json:"ca"`             // PEM, beside the system's certificates
	Source string `json:"source"`
}

// Access returns what Open takes. It holds the credentials.
func (r *Registry) Access() ([]byte, error) {
	b, err := json.Marshal(access{URL: r.URL(), Auth: r.auth, Path: r.authPath, CA: r.ca, Source: r.Source})
	if err != nil {
		return nil, fmt.Errorf("encode access to registry: %w", err)
	}
	return b, nil
}

// Open makes a Registry of what another process's Access returned.
func Open(encoded []byte) (*Registry, error) {
	var a access
	if err := json.Unmarshal(encoded, &a); err != nil {
		return nil, fmt.Errorf("decode access to registry: %w", err)
	}
	base, err := url.Parse(a.URL)
	if err != nil {
		return nil, fmt.Errorf("decode access to registry: %w", err)
	}
	r, err := connect(site{base: base, auth: a.Auth, authPath: a.Path, ca: a.CA})
	if err != nil {
		return nil, err
	}
	r.Source = a.Source
	return r, nil
}
