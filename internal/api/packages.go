package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hearth"
	"hearth/internal/module/host"
	"hearth/internal/module/semver"
	"hearth/internal/store"
)

// PackageStore is what is known of packages in the whole system; *store.Store is one.
type PackageStore interface {
	Packages(ctx context.Context, name, cursor string, limit int) ([]store.PackageInfo, string, error)
	Contents(ctx context.Context, ids []string) ([]store.Content, error)
	Users(ctx context.Context, name, version string) ([]store.User, error)
	Revoke(ctx context.Context, name, version, reason string) ([]store.User, error)
	Restore(ctx context.Context, name, version string) error
	Revocations(ctx context.Context) ([]store.Revocation, error)
}

// Verifier re-hashes the package store of this node; *host.Store is one.
type Verifier interface {
	Verify(ctx context.Context, heal bool) (host.Report, error)
}

type packageView struct {
	ID            string       `json:"id" doc:"Names what was built: a package with install scripts is built once for each set of dependencies, and listed as often."`
	Name          string       `json:"name" doc:"Name of the package."`
	Version       string       `json:"version" doc:"Its version."`
	Integrity     string       `json:"integrity" doc:"SHA-512 of the archive that the registry has, as locks spell it."`
	Scripts       bool         `json:"scripts" doc:"Whether it has install scripts and is built in a sandbox; else it is only unpacked."`
	State         string       `json:"state" enum:"queued,building,ready,failed" doc:"Where it stands. A failed one is tried again when a deploy asks for it, 15 minutes later."`
	Revoked       bool         `json:"revoked" doc:"Whether the operator took this version out of use."`
	Registry      string       `json:"registry" enum:"default,private" doc:"Where it came from: the node's registry, or one of a tenant's own."`
	SizeBytes     int64        `json:"size_bytes" doc:"Size in the blob store; 0 until it is ready."`
	UnpackedBytes int64        `json:"unpacked_bytes" doc:"Size of its files; 0 until it is ready."`
	Files         int64        `json:"files" doc:"Number of its files; 0 until it is ready."`
	Functions     int64        `json:"functions" doc:"Functions with a kept version that uses it."`
	Waiting       string       `json:"waiting,omitempty" doc:"Why a queued one was put off; absent otherwise."`
	RetryAt       *time.Time   `json:"retry_at,omitempty" doc:"When one that was put off, or has failed, may be tried again; absent otherwise."`
	Attempts      int          `json:"attempts" doc:"Builds that failed by trouble of Hearth's; after three it has failed."`
	CreatedAt     time.Time    `json:"created_at" doc:"When a deploy first asked for it."`
	BuiltAt       *time.Time   `json:"built_at" doc:"When it became ready; null until then."`
	UsedAt        time.Time    `json:"used_at" doc:"When a deploy last asked for it, within an hour."`
	Error         *failureView `json:"error,omitempty" doc:"Why it failed, in the words of the registry or the compiler; absent otherwise."`
}

type packageUserView struct {
	Name      string `json:"name" doc:"Name of the function."`
	Tenant    string `json:"tenant" doc:"Tenant that owns it."`
	Container string `json:"container" doc:"Container that it runs in."`
	Versions  []int  `json:"versions" nullable:"false" doc:"Its kept versions that use the package."`
	Active    bool   `json:"active" doc:"Whether the one that serves is among them."`
}

type revocationView struct {
	Name      string    `json:"name" doc:"Name of the package."`
	Version   string    `json:"version" doc:"Its version."`
	Reason    string    `json:"reason" doc:"Why, as deploys are told; may be empty."`
	RevokedAt time.Time `json:"revoked_at" doc:"When it was first revoked."`
}

type revokedView struct {
	Name      string            `json:"name" doc:"Name of the package."`
	Version   string            `json:"version" doc:"Its version."`
	Reason    string            `json:"reason" doc:"Why, as deploys are told; may be empty."`
	Functions []packageUserView `json:"functions" nullable:"false" doc:"The functions that are hit."`
}

// revokeBody documents what decodeRevoke reads.
type revokeBody struct {
	Name    string `json:"name" doc:"Name of the package."`
	Version string `json:"version" doc:"Its exact version."`
	Reason  string `json:"reason,omitempty" maxLength:"4096" doc:"Why: deploys that come upon the package are told."`
}

// restoreBody documents what decodeRestore reads.
type restoreBody struct {
	Name    string `json:"name" doc:"Name of the package."`
	Version string `json:"version" doc:"Its exact version."`
}

const (
	packageExample = `{"id":"4f1c2e9ab07d5c8836f4e1d29b7a60c35d8e9f10a2b3c4d5e6f708192a3b4c5d","name":"bcrypt","version":"6.0.0",
		"integrity":"sha512-cU8v/EGSrnH+HnxV2z0J7/blxH8gq7Xh2JFT6Aroax7UohdmiJJlxApMxtKfuI7z68NvvVcmR78k2LbT6efhRg==","scripts":true,
		"state":"ready","revoked":false,"registry":"default","size_bytes":412331,"unpacked_bytes":1204224,"files":42,"functions":3,"attempts":0,
		"created_at":"2026-03-01T09:32:00.1Z","built_at":"2026-03-01T09:32:09.4Z","used_at":"2026-03-02T07:00:00Z"}`
	deadExample = `{"id":"9c1c2e9ab07d5c8836f4e1d29b7a60c35d8e9f10a2b3c4d5e6f708192a3b4c5d","name":"broken-native","version":"1.0.0",
		"integrity":"sha512-cU8v/EGSrnH+HnxV2z0J7/blxH8gq7Xh2JFT6Aroax7UohdmiJJlxApMxtKfuI7z68NvvVcmR78k2LbT6efhRg==","scripts":true,
		"state":"failed","revoked":false,"registry":"default","size_bytes":0,"unpacked_bytes":0,"files":0,"functions":1,"attempts":0,
		"created_at":"2026-03-01T09:32:00.1Z","built_at":null,"used_at":"2026-03-01T09:32:00.1Z","retry_at":"2026-03-01T09:47:12Z",
		"error":{"reason":"dependencies","message":"broken-native@1.0.0: fatal error: no such file: zlib.h"}}`
	packageUserExample = `{"name":"paid","tenant":"acme","container":"billing","versions":[2,3],"active":true}`
	revocationExample  = `{"name":"left-pad","version":"1.3.0","reason":"CVE-2026-1","revoked_at":"2026-03-01T10:00:00Z"}`
)

func (a *api) packages() []operation {
	tags := []string{"Packages"}
	return []operation{
		{Operation: huma.Operation{Method: http.MethodGet, Path: "/v1/packages", OperationID: "list-packages", Tags: tags,
			Summary:     "List the npm packages that were built, are being built, or failed",
			Description: "Of the whole installation. A package that many functions use is built once, and listed once."},
			query: []string{"name", "limit", "cursor"},
			answers: map[int]sample{200: {"A page of packages, by name and version.", list[packageView]{},
				`{"items":[` + packageExample + `,` + deadExample + `],"next":""}`}},
			run: a.listPackages},
		{Operation: huma.Operation{Method: http.MethodGet, Path: "/v1/packages/functions", OperationID: "list-package-functions", Tags: tags,
			Summary: "List the functions that use a package", Description: "Those with a kept version that has it, directly or through others, are listed; there is one page."},
			query:   []string{"package"},
			answers: map[int]sample{200: {"The functions, by tenant, container and name.", list[packageUserView]{}, `{"items":[` + packageUserExample + `],"next":""}`}},
			run:     a.listPackageUsers},
		{Operation: huma.Operation{Method: http.MethodPost, Path: "/v1/packages/revoke", OperationID: "revoke-package", Tags: tags,
			Summary: "Take a package out of use",
			Description: "Within 10 seconds no new instance uses it; calls that need one fail, and say why. A deploy that comes upon it fails with the reason. " +
				"It need not have been built. Revoking it again changes the reason."},
			body: &sample{"The package, and why.", revokeBody{}, `{"name":"left-pad","version":"1.3.0","reason":"CVE-2026-1"}`},
			answers: map[int]sample{200: {"The functions that are hit.", revokedView{},
				`{"name":"left-pad","version":"1.3.0","reason":"CVE-2026-1","functions":[` + packageUserExample + `]}`}},
			run: a.revoke},
		{Operation: huma.Operation{Method: http.MethodPost, Path: "/v1/packages/restore", OperationID: "restore-package", Tags: tags,
			Summary: "Take a revocation back", Errors: []int{http.StatusNotFound}},
			body:    &sample{"The package.", restoreBody{}, `{"name":"left-pad","version":"1.3.0"}`},
			answers: map[int]sample{http.StatusNoContent: {text: "It may be used again."}},
			run:     a.restore},
		{Operation: huma.Operation{Method: http.MethodGet, Path: "/v1/packages/revocations", OperationID: "list-revocations", Tags: tags,
			Summary: "List the packages that were taken out of use", Description: "There is one page."},
			answers: map[int]sample{200: {"The revocations, by name and version.", list[revocationView]{}, `{"items":[` + revocationExample + `],"next":""}`}},
			run:     a.listRevocations},
		a.verifyOperation(),
	}
}

func (a *api) listPackages(r *request) (answer, error) {
	packages, next, err := a.Store.Packages(r.Context(), r.query.name, r.query.cursor, r.query.limit)
	if err != nil {
		return answer{}, err
	}
	all, err := a.Store.Revocations(r.Context())
	if err != nil {
		return answer{}, err
	}
	revoked := make(map[string]bool, len(all))
	for _, v := range all {
		revoked[v.Package+"@"+v.Version] = true
	}
	view := func(p store.PackageInfo) packageView { return viewPackage(p, revoked[p.Package+"@"+p.Version]) }
	return answer{status: http.StatusOK, body: page(packages, next, view)}, nil
}

func viewPackage(p store.PackageInfo, revoked bool) packageView {
	v := packageView{ID: p.ID, Name: p.Package, Version: p.Version, Integrity: p.Integrity, Scripts: p.Scripts, State: p.State, Revoked: revoked,
		Registry: "default", SizeBytes: p.BlobBytes, UnpackedBytes: p.Bytes, Files: p.Files, Functions: p.Functions, Waiting: p.Waiting,
		Attempts: p.Attempts, CreatedAt: p.CreatedAt.UTC(), UsedAt: p.UsedAt.UTC(), Error: viewFailure(p.Failure)}
	if p.Tenant != "" {
		v.Registry = "private"
	}
	v.RetryAt, v.BuiltAt = orNull(p.RetryAt), orNull(p.BuiltAt)
	return v
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (a *api) listPackageUsers(r *request) (answer, error) {
	name, version, ok := splitPackage(r.query.pkg)
	if !ok {
		return answer{}, hearth.Invalid("query.package", "must be NAME@VERSION with an exact version, as in left-pad@1.3.0")
	}
	users, err := a.Store.Users(r.Context(), name, version)
	return answer{status: http.StatusOK, body: page(users, "", viewPackageUser)}, err
}

func viewPackageUser(u store.User) packageUserView {
	return packageUserView{Name: u.Function, Tenant: u.Tenant, Container: u.Container, Versions: u.Versions, Active: u.Active}
}

// splitPackage takes NAME@VERSION apart.
func splitPackage(s string) (name, version string, ok bool) {
	at := strings.LastIndexByte(s, '@')
	if at <= 0 {
		return "", "", false
	}
	name, version = s[:at], s[at+1:]
	return name, version, validPackage(name) && validVersion(version)
}

func validPackage(name string) bool {
	return len(name) <= packageNameMost && packageName.MatchString(name)
}

// validVersion reports whether s is an exact version as locks spell it. A range would revoke nothing,
// without a word.
func validVersion(s string) bool {
	_, ok := semver.Parse(s)
	return ok && s[0] >= '0' && s[0] <= '9' && strings.TrimSpace(s) == s
}

// packageOf reads name and version of a document.
func (f *fields) packageOf(doc *value) (name, version string) {
	for _, part := range []struct {
		field string
		into  *string
		valid func(string) bool
		what  string
	}{{"name", &name, validPackage, "is not the name of an npm package"}, {"version", &version, validVersion, "is not an exact version, such as 1.3.0"}} {
		v := doc.member(part.field)
		if v == nil {
			f.bad(part.field, "is missing")
			continue
		}
		if *part.into = f.text(v, part.field, ""); v.kind == kindText && !part.valid(v.text) {
			f.bad(part.field, "%s", part.what)
		}
	}
	return name, version
}

func decodeRevoke(doc *value) (store.Revocation, error) {
	var f fields
	if !f.object(doc, "", "name", "version", "reason") {
		return store.Revocation{}, f.err()
	}
	var r store.Revocation
	r.Package, r.Version = f.packageOf(doc)
	if v := doc.member("reason"); v != nil {
		r.Reason = f.text(v, "reason", "")
	}
	return r, f.err()
}

func decodeRestore(doc *value) (store.Revocation, error) {
	var f fields
	if !f.object(doc, "", "name", "version") {
		return store.Revocation{}, f.err()
	}
	var r store.Revocation
	r.Package, r.Version = f.packageOf(doc)
	return r, f.err()
}

func (a *api) revoke(r *request) (answer, error) {
	v, err := decodeRevoke(r.body)
	if err != nil {
		return answer{}, err
	}
	users, err := a.Store.Revoke(r.Context(), v.Package, v.Version, v.Reason)
	if err != nil {
		return answer{}, err
	}
	a.Log.Info("package revoked", "package", v.Package+"@"+v.Version, "functions", len(users))
	return answer{status: http.StatusOK, body: revokedView{Name: v.Package, Version: v.Version, Reason: v.Reason,
		Functions: page(users, "", viewPackageUser).Items}}, nil
}

func (a *api) restore(r *request) (answer, error) {
	v, err := decodeRestore(r.body)
	if err == nil {
		err = a.Store.Restore(r.Context(), v.Package, v.Version)
	}
	return answer{status: http.StatusNoContent}, err
}

func (a *api) listRevocations(r *request) (answer, error) {
	all, err := a.Store.Revocations(r.Context())
	view := func(v store.Revocation) revocationView {
		return revocationView{Name: v.Package, Version: v.Version, Reason: v.Reason, RevokedAt: v.At.UTC()}
	}
	return answer{status: http.StatusOK, body: page(all, "", view)}, err
}
