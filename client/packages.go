package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Package is a package of npm, as it is built.
type Package struct {
	ID            string     `json:"id"` // a package with install scripts is built once for each set of dependencies
	Name          string     `json:"name"`
	Version       string     `json:"version"`
	Integrity     string     `json:"integrity"`
	Scripts       bool       `json:"scripts"`
	State         string     `json:"state"` // queued, building, ready or failed
	Revoked       bool       `json:"revoked"`
	Registry      string     `json:"registry"`   // default, or private: one of a tenant's own
	SizeBytes     int64      `json:"size_bytes"` // in the blob store
	UnpackedBytes int64      `json:"unpacked_bytes"`
	Files         int64      `json:"files"`
	Functions     int64      `json:"functions"` // with a kept version that uses it
	Waiting       string     `json:"waiting,omitempty"`
	RetryAt       *time.Time `json:"retry_at,omitempty"`
	Attempts      int        `json:"attempts"`
	CreatedAt     time.Time  `json:"created_at"`
	BuiltAt       *time.Time `json:"built_at"` // nil until it is ready
	UsedAt        time.Time  `json:"used_at"`  // when a deploy last asked for it
	Error         *Failure   `json:"error,omitempty"`
}

// PackageUser is a function that uses a package.
type PackageUser struct {
	Name      string `json:"name"` // of the function
	Tenant    string `json:"tenant"`
	Container string `json:"container"`
	Versions  []int  `json:"versions"` // kept ones that use it
	Active    bool   `json:"active"`   // the one that serves is among them
}

// Revocation is a package that is out of use.
type Revocation struct {
	Name      string    `json:"name"`
	Version   string    `json:"version"`
	Reason    string    `json:"reason"`
	RevokedAt time.Time `json:"revoked_at"`
}

// Revoked is what a revocation hits.
type Revoked struct {
	Name      string        `json:"name"`
	Version   string        `json:"version"`
	Reason    string        `json:"reason"`
	Functions []PackageUser `json:"functions"`
}

// Verification is how the packages on a node's disk are.
type Verification struct {
	Contents int      `json:"contents"`
	Packages int      `json:"packages"`
	Trees    int      `json:"trees"`
	Files    int      `json:"files"` // that are as they were unpacked
	Bytes    int64    `json:"bytes"`
	Damaged  int      `json:"damaged"`
	Healed   int      `json:"healed"`
	Items    []Damage `json:"items"` // 1,000 at most
}

// Damage is one thing that is not as it was unpacked or linked.
type Damage struct {
	Package string `json:"package"`
	Place   string `json:"place"` // folder in the node's package store
	Path    string `json:"path"`
	Problem string `json:"problem"`
	Healed  bool   `json:"healed"`
	Waiting bool   `json:"waiting"` // a live instance may use it
	Error   string `json:"error,omitempty"`
}

// ListPackages returns a page of packages by name and version, of one name only if it is not "".
func (c *Client) ListPackages(ctx context.Context, name string, p Page) (l List[Package], err error) {
	q := p.query()
	if name != "" {
		q.Set("name", name)
	}
	_, err = c.call(ctx, http.MethodGet, path("packages"), q, nil, &l)
	return l, err
}

// PackageUsers returns the functions that use a package; there is one page.
func (c *Client) PackageUsers(ctx context.Context, name, version string) ([]PackageUser, error) {
	var l List[PackageUser]
	_, err := c.call(ctx, http.MethodGet, path("packages", "functions"), url.Values{"package": {name + "@" + version}}, nil, &l)
	return l.Items, err
}

// RevokePackage takes a package out of use and says whom that hits. Deploys are told the reason, which
// may be empty.
func (c *Client) RevokePackage(ctx context.Context, name, version, reason string, opts ...Option) (r Revoked, err error) {
	body := struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		Reason  string `json:"reason,omitempty"`
	}{name, version, reason}
	_, err = c.call(ctx, http.MethodPost, path("packages", "revoke"), nil, body, &r, opts...)
	return r, err
}

// RestorePackage takes a revocation back.
func (c *Client) RestorePackage(ctx context.Context, name, version string, opts ...Option) error {
	body := struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}{name, version}
	_, err := c.call(ctx, http.MethodPost, path("packages", "restore"), nil, body, nil, opts...)
	return err
}

// ListRevocations returns the packages that are out of use; there is one page.
func (c *Client) ListRevocations(ctx context.Context) ([]Revocation, error) {
	var l List[Revocation]
	_, err := c.call(ctx, http.MethodGet, path("packages", "revocations"), nil, nil, &l)
	return l.Items, err
}

// VerifyPackages hashes the packages on the node's disk again, which takes a while, and with heal mends
// what is damaged.
func (c *Client) VerifyPackages(ctx context.Context, heal bool) (v Verification, err error) {
	body := struct {
		Heal bool `json:"heal"`
	}{heal}
	_, err = c.call(ctx, http.MethodPost, path("packages", "verify"), nil, body, &v)
	return v, err
}

func ofVersion(version int) url.Values {
	q := url.Values{}
	if version != 0 {
		q.Set("version", strconv.Itoa(version))
	}
	return q
}

// Bill returns the software bill of materials of a version, a CycloneDX document; of the active one, or
// else the newest, if version is 0.
func (c *Client) Bill(ctx context.Context, tenant, container, function string, version int) (doc json.RawMessage, err error) {
	_, err = c.call(ctx, http.MethodGet, functionPath(tenant, container, function, "sbom"), ofVersion(version), nil, &doc)
	return doc, err
}

// GetProgress says where a version stands; the newest if version is 0.
func (c *Client) GetProgress(ctx context.Context, tenant, container, function string, version int) (d Deploy, err error) {
	_, err = c.call(ctx, http.MethodGet, functionPath(tenant, container, function, "progress"), ofVersion(version), nil, &d)
	return d, err
}

// FollowProgress yields where a version stands whenever that changes; the last has a status other than
// Building. A connection that breaks is made again. What cannot be mended by trying again is yielded as
// the last, with a zero Deploy.
func (c *Client) FollowProgress(ctx context.Context, tenant, container, function string, version int) iter.Seq2[Deploy, error] {
	return func(yield func(Deploy, error) bool) {
		f := follower{client: c, path: functionPath(tenant, container, function, "progress"), query: ofVersion(version)}
		f.event = func(data []byte) (bool, error) {
			var d Deploy
			if err := json.Unmarshal(data, &d); err != nil {
				return false, err
			}
			return yield(d, nil) && d.Status == Building, nil
		}
		if err := f.run(ctx); err != nil {
			yield(Deploy{}, err)
		}
	}
}
