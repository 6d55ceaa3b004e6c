// Package registrytest is an npm registry for tests, on loopback, with packages that are made on the
// fly. It behaves until it is told not to: On gives any of its paths a Mode, and the modes are what
// hostile, broken and overloaded registries do.
package registrytest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Registry is the server. Its fields and methods may be used while it serves.
type Registry struct {
	t      testing.TB
	server *httptest.Server

	mu       sync.Mutex
	packages map[string]*pkg
	modes    map[string]Mode
	hits     map[string]int
	tokens   map[string]string // by scope, "" all
	control  string
}

type pkg struct {
	tags     map[string]string
	versions map[string]Published
	times    map[string]time.Time
}

// Published is one version.
type Published struct {
	Name, Version string
	Integrity     string         // of Tarball
	Manifest      map[string]any // as in the packument
	Tarball       []byte
}

// Package is what Publish takes where more than a name and files is to be said.
type Package struct {
	Name, Version string
	JSON          map[string]any    // package.json, beside name and version
	Inside        map[string]any    // package.json in the tarball, where it is to be another
	Files         map[string]string // beside package.json
	Time          time.Time         // of publication; default a year ago
	Tarball       []byte            // instead of one made of Files
}

// New starts a registry that ends with the test.
func New(t testing.TB) *Registry { return start(t, false) }

// NewTLS starts one with a certificate that nobody trusts who was not given CA.
func NewTLS(t testing.TB) *Registry { return start(t, true) }

func start(t testing.TB, tls bool) *Registry {
	t.Helper()
	r := &Registry{t: t, packages: map[string]*pkg{}, modes: map[string]Mode{}, hits: map[string]int{}, tokens: map[string]string{}}
	r.server = httptest.NewUnstartedServer(http.HandlerFunc(r.serve))
	r.server.Config.ErrorLog = quiet()
	if tls {
		r.server.StartTLS()
	} else {
		r.server.Start()
	}
	t.Cleanup(r.Close)
	return r
}

// Close ends the registry before the test does: from now on it is away.
func (r *Registry) Close() {
	r.server.CloseClientConnections() // a mode may never end by itself
	r.server.Close()
}

// Reopen lets a closed registry answer again, at the same address and with the same packages. It may
// run beside nothing but requests.
func (r *Registry) Reopen() {
	r.t.Helper()
	l, err := net.Listen("tcp", r.Host())
	if err != nil {
		r.t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(r.serve))
	s.Listener.Close()
	s.Listener, s.Config.ErrorLog = l, quiet()
	s.Start()
	r.server = s
}

// URL is the registry's, which has a path.
func (r *Registry) URL() string { return r.server.URL + "/npm/" }

// Host is host:port.
func (r *Registry) Host() string { return r.server.Listener.Addr().String() }

// CA is the certificate of NewTLS, in PEM.
func (r *Registry) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.server.Certificate().Raw})
}

// Publish adds name@version with these files and fields of package.json, both of which may be nil,
// and points latest at it.
func (r *Registry) Publish(name, version string, files map[string]string, packageJSON map[string]any) Published {
	r.t.Helper()
	return r.Add(Package{Name: name, Version: version, Files: files, JSON: packageJSON})
}

// Add publishes p and points latest at it.
func (r *Registry) Add(p Package) Published {
	r.t.Helper()
	manifest := map[string]any{"name": p.Name, "version": p.Version}
	maps.Copy(manifest, p.JSON)
	inside := manifest
	if p.Inside != nil {
		inside = p.Inside
	}
	if p.Tarball == nil {
		files := map[string]string{"index.js": fmt.Sprintf("module.exports = %q\n", p.Name+"@"+p.Version)}
		maps.Copy(files, p.Files)
		text, err := json.MarshalIndent(inside, "", "  ")
		if err != nil {
			r.t.Fatal(err)
		}
		files["package.json"] = string(text)
		p.Tarball = Tarball(r.t, files)
	}
	if p.Time.IsZero() {
		p.Time = time.Now().AddDate(-1, 0, 0)
	}
	manifest = maps.Clone(manifest)
	out := Published{Name: p.Name, Version: p.Version, Integrity: Integrity(p.Tarball), Tarball: p.Tarball, Manifest: manifest}
	sum := sha1.Sum(p.Tarball)
	manifest["dist"] = map[string]any{"integrity": out.Integrity, "shasum": hex.EncodeToString(sum[:]), "tarball": r.URL() + tarballPath(p.Name, p.Version)}
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.packages[p.Name]
	if known == nil {
		known = &pkg{map[string]string{}, map[string]Published{}, map[string]time.Time{}}
		r.packages[p.Name] = known
	}
	known.versions[p.Version] = out
	known.times[p.Version] = p.Time
	known.tags["latest"] = p.Version
	return out
}

// Tag points a dist-tag at a version.
func (r *Registry) Tag(name, tag, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.packages[name].tags[tag] = version
}

// Unpublish takes a version away, or with "" the package.
func (r *Registry) Unpublish(name, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if version == "" {
		delete(r.packages, name)
		return
	}
	p := r.packages[name]
	delete(p.versions, version)
	delete(p.times, version)
	maps.DeleteFunc(p.tags, func(_, v string) bool { return v == version })
}

// Require asks for this bearer token for the packages of a scope ("@acme"), or with "" for all that
// have no token of their own. Who has none gets 404, as at registries that hide what is there.
func (r *Registry) Require(scope, token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens[scope] = token
}

// CacheControl sets that header of packuments.
func (r *Registry) CacheControl(value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.control = value
}

// On makes what behave as mode, or honestly again with nil. what is a package's name (its packument),
// name@version (the tarball), or name/version (the document of the version).
func (r *Registry) On(what string, mode Mode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.modes[what] = mode
}

// Hits is how many requests there were for what, as in On, or with "" in all. A 304 counts.
func (r *Registry) Hits(what string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hits[what]
}

// Asked lists what was asked for, as in On, in the order of the alphabet.
func (r *Registry) Asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Sorted(maps.Keys(r.hits))
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) {
	path, ok := strings.CutPrefix(req.URL.Path, "/npm/")
	what, honest := path, http.NotFound
	name, version := split(path)
	if ok && version == "" {
		honest = func(w http.ResponseWriter, req *http.Request) { r.packument(w, req, name) }
	} else if ok && strings.HasSuffix(path, ".tgz") {
		what = name + "@" + version
		honest = func(w http.ResponseWriter, req *http.Request) { r.tarball(w, req, name, version) }
	} else if ok {
		honest = func(w http.ResponseWriter, req *http.Request) { r.version(w, req, name, version) }
	}
	r.mu.Lock()
	r.hits[what]++
	r.hits[""]++
	mode := r.modes[what]
	scope, _, _ := strings.Cut(name, "/")
	token, guarded := r.tokens[scope]
	if !guarded {
		token = r.tokens[""]
	}
	r.mu.Unlock()
	switch {
	case token != "" && req.Header.Get("Authorization") != "Bearer "+token:
		http.NotFound(w, req)
	case mode != nil:
		mode(w, req, honest)
	default:
		honest(w, req)
	}
}

// split takes a path below the registry's URL apart. version is "" for a packument.
func split(path string) (name, version string) {
	if before, file, ok := strings.Cut(path, "/-/"); ok {
		base := before[strings.IndexByte(before, '/')+1:]
		return before, strings.TrimSuffix(strings.TrimPrefix(file, base+"-"), ".tgz")
	}
	fields := strings.Split(path, "/")
	n := 1
	if strings.HasPrefix(path, "@") && len(fields) > 1 {
		n = 2
	}
	return strings.Join(fields[:n], "/"), strings.Join(fields[n:], "/")
}

func tarballPath(name, version string) string {
	return name + "/-/" + name[strings.IndexByte(name, '/')+1:] + "-" + version + ".tgz"
}

func (r *Registry) packument(w http.ResponseWriter, req *http.Request, name string) {
	r.mu.Lock()
	p, control := r.packages[name], r.control
	var text []byte
	var err error
	short := strings.HasPrefix(req.Header.Get("Accept"), "application/vnd.npm.install-v1+json")
	if p != nil {
		versions := map[string]any{}
		for version, v := range p.versions {
			versions[version] = v.Manifest
		}
		doc := map[string]any{"name": name, "dist-tags": p.tags, "versions": versions, "modified": time.Now().Format(time.DateOnly)}
		if !short {
			times := map[string]any{"created": time.Unix(0, 0), "modified": time.Unix(1, 0)}
			for version, at := range p.times {
				times[version] = at
			}
			doc["time"], doc["readme"], doc["_id"] = times, "# "+name, name
		}
		text, err = json.Marshal(doc)
	}
	r.mu.Unlock()
	if p == nil || err != nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error":"Not found"}`))
		return
	}
	sum := sha256.Sum256(text)
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sum[:8]))
	w.Header().Set("Vary", "Accept-Encoding, Accept")
	if control != "" {
		w.Header().Set("Cache-Control", control)
	}
	if req.Header.Get("If-None-Match") == w.Header().Get("ETag") {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if short {
		w.Header().Set("Content-Type", "application/vnd.npm.install-v1+json")
	}
	if strings.Contains(req.Header.Get("Accept-Encoding"), "gzip") {
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		_, _ = z.Write(text)
		_ = z.Close()
		w.Header().Set("Content-Encoding", "gzip")
		text = zipped.Bytes()
	}
	_, _ = w.Write(text)
}

func (r *Registry) find(name, version string) (Published, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.packages[name]
	if p == nil {
		return Published{}, false
	}
	v, ok := p.versions[version]
	return v, ok
}

func (r *Registry) version(w http.ResponseWriter, req *http.Request, name, version string) {
	v, ok := r.find(name, version)
	if !ok {
		http.NotFound(w, req)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v.Manifest)
}

func (r *Registry) tarball(w http.ResponseWriter, req *http.Request, name, version string) {
	v, ok := r.find(name, version)
	if !ok {
		http.NotFound(w, req)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", fmt.Sprint(len(v.Tarball)))
	_, _ = w.Write(v.Tarball)
}

// Tarball packs files as npm does, below "package/".
func Tarball(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		err := w.WriteHeader(&tar.Header{Name: "package/" + name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[name])), ModTime: time.Unix(499162500, 0), Format: tar.FormatUSTAR})
		if err == nil {
			_, err = w.Write([]byte(files[name]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Integrity is the Subresource Integrity text of bytes.
func Integrity(b []byte) string {
	sum := sha512.Sum512(b)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}
