package e2e_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // reads what hearth wrote

	"hearth/e2e/harness"
	"hearth/internal/module/registry"
	"hearth/internal/module/registry/registrytest"
)

// publicRegistry is the registry of a hearth under test: the packages of names come from fake, and all
// others, which images are made from, from the registry that this machine's npm is configured for.
func publicRegistry(t *testing.T, fake *registrytest.Registry, names ...string) string {
	t.Helper()
	r, err := registry.Detect(t.Context(), registry.Sources{})
	if err != nil {
		t.Skip("no registry is configured: ", err)
	}
	defer r.Close()
	encoded, err := r.Access()
	if err != nil {
		t.Fatal(err)
	}
	var access struct {
		URL, Auth string
		CA        []byte
	}
	if err := json.Unmarshal(encoded, &access); err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse(access.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if len(access.CA) > 0 {
		roots, err := x509.SystemCertPool()
		if err != nil {
			t.Fatal(err)
		}
		roots.AppendCertsFromPEM(access.CA)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	t.Cleanup(transport.CloseIdleConnections)
	ours, err := url.Parse(fake.URL())
	if err != nil {
		t.Fatal(err)
	}
	var front *httptest.Server
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			to, path := base, strings.TrimPrefix(r.In.URL.EscapedPath(), "/")
			plain, err := url.PathUnescape(path)
			if err == nil && slices.ContainsFunc(names, func(name string) bool { return plain == name || strings.HasPrefix(plain, name+"/") }) {
				to = ours
			} else {
				r.Out.Header.Set("Authorization", access.Auth)
				r.Out.Header.Del("Accept-Encoding")
			}
			r.Out.URL = to.JoinPath()
			r.Out.URL.Path, r.Out.URL.RawPath = to.Path+plain, to.Path+path
			r.Out.Host = to.Host
		},
		ModifyResponse: func(res *http.Response) error {
			if res.Request.URL.Host != base.Host || !strings.Contains(res.Header.Get("Content-Type"), "json") {
				return nil
			}
			body, err := io.ReadAll(res.Body)
			if err != nil {
				return err
			}
			res.Body.Close()
			body = bytes.ReplaceAll(body, []byte(access.URL), []byte(front.URL+"/"))
			res.Body = io.NopCloser(bytes.NewReader(body))
			res.ContentLength = int64(len(body))
			res.Header.Set("Content-Length", fmt.Sprint(len(body)))
			return nil
		},
	}
	front = httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	return front.URL + "/"
}

// says is the code of a function that answers what a package says.
const says = `module.exports = cb => cb(null, require('@acme/x'))`

// TestPrivateRegistry: the same name and version at the registries of two tenants and, with a higher
// one beside it, at the public registry.
func TestPrivateRegistry(t *testing.T) {
	const tokenA, tokenB, tokenC = "geheim-a-8f2k1", "geheim-b-93jdk", "geheim-c-k20dm"
	public, a, b := registrytest.New(t), registrytest.New(t), registrytest.New(t)
	text := func(s string) map[string]string { return map[string]string{"index.js": "module.exports = " + s} }
	public.Publish("@acme/x", "1.0.0", text(`'public 1'`), nil)
	public.Publish("@acme/x", "9.0.0", text(`'public 9'`), nil)
	public.Publish("hearth-test-shared", "1.0.0", text(`'shared'`), nil)
	a.Require("", tokenA)
	inA := a.Publish("@acme/x", "1.0.0", text(`'a and ' + require('hearth-test-shared')`), map[string]any{"dependencies": map[string]any{"hearth-test-shared": "^1.0.0"}})
	b.Require("", tokenB)
	b.Publish("@acme/x", "1.0.0", text(`'b'`), nil)

	n := harness.Start(t, "--npm-registry", publicRegistry(t, public, "@acme", "hearth-test-shared"), "--private-registries", "127.0.0.0/8",
		"--log-level", "debug", "--builders", "1")
	var answers bytes.Buffer
	call := func(method, path string, body any) harness.Answer {
		t.Helper()
		answer := n.API(method, path, body)
		answers.Write(answer.Body)
		return answer
	}
	tenant := func(name string, registries M) {
		t.Helper()
		body := M{}
		if registries != nil {
			body["registries"] = registries
		}
		if r := call("PUT", "/v1/tenants/"+name, body); r.Status != 200 && r.Status != 201 {
			t.Fatalf("make tenant %s: %d %s", name, r.Status, r.Body)
		}
		if r := call("PUT", "/v1/tenants/"+name+"/containers/main", M{}); r.Status != 200 && r.Status != 201 {
			t.Fatalf("make container of %s: %d %s", name, r.Status, r.Body)
		}
	}
	deploy := func(tenant, function string, body M) (status, message string) {
		t.Helper()
		r := call("PUT", harness.FunctionPath(tenant, "main", function)+"?wait=290s", body)
		failure, _ := r.JSON()["error"].(map[string]any)
		return fmt.Sprint(r.JSON()["status"]), fmt.Sprint(failure["message"])
	}
	any1 := M{"code": says, "dependencies": M{"@acme/x": "*"}}
	want := func(tenant, function, answer string) {
		t.Helper()
		if status, message := deploy(tenant, function, any1); status != "ready" {
			t.Fatalf("deploy of %s: %s %s", tenant, status, message)
		}
		if r := n.Call(tenant, "main", function); strings.Trim(r.Text(), `"`) != answer {
			t.Errorf("%s answers %d %s, want %s", tenant, r.Status, r.Body, answer)
		}
	}
	tenant("priv-a", M{"@acme": M{"url": a.URL(), "token": tokenA}})
	tenant("priv-b", M{"@acme": M{"url": b.URL(), "token": tokenB}})
	tenant("priv-c", nil)
	tenant("priv-d", M{"@acme": M{"url": a.URL(), "token": tokenC}})
	want("priv-a", "f", "a and shared")
	want("priv-b", "f", "b")
	if hits := public.Hits("@acme/x") + public.Hits("@acme/x@9.0.0") + public.Hits("@acme/x@1.0.0"); hits != 0 {
		t.Errorf("the public registry was asked for a private name: %v", public.Asked())
	}
	if a.Hits("hearth-test-shared") != 0 || b.Hits("hearth-test-shared") != 0 {
		t.Error("a private registry was asked for a public package")
	}
	want("priv-c", "f", "public 9")

	t.Run("a wrong token", func(t *testing.T) {
		status, message := deploy("priv-d", "f", any1)
		if status != "failed" || !strings.Contains(message, "@acme/x") || strings.Contains(message, "public") {
			t.Errorf("%s: %s", status, message)
		}
	})
	t.Run("a registry that refuses", func(t *testing.T) {
		refusing := registrytest.New(t)
		refusing.On("@acme/x", registrytest.Fail(http.StatusForbidden, 1000))
		tenant("priv-d", M{"@acme": M{"url": refusing.URL(), "token": tokenC}})
		status, message := deploy("priv-d", "g", any1)
		if status != "failed" || !strings.Contains(message, "refuses @acme/x (status 403); check the token of its scope") {
			t.Errorf("%s: %s", status, message)
		}
	})
	t.Run("a lock that names another tenant's package", func(t *testing.T) {
		lock, err := json.Marshal(M{"lockfileVersion": 3, "packages": M{"": M{"dependencies": M{"@acme/x": "1.0.0"}},
			"node_modules/@acme/x": M{"version": "1.0.0", "integrity": inA.Integrity}}})
		if err != nil {
			t.Fatal(err)
		}
		before := a.Hits("")
		status, message := deploy("priv-c", "thief", M{"files": M{"index.js": says, "package.json": `{"dependencies":{"@acme/x":"1.0.0"}}`, "package-lock.json": string(lock)}})
		if status != "failed" || !strings.Contains(message, "serves another @acme/x@1.0.0") {
			t.Errorf("%s: %s", status, message)
		}
		if a.Hits("") != before {
			t.Error("the private registry was asked for another tenant")
		}
	})
	t.Run("another token and URL", func(t *testing.T) {
		moved := registrytest.New(t)
		moved.Require("", tokenC)
		moved.Publish("@acme/x", "1.0.1", text(`'b, moved'`), nil)
		tenant("priv-b", M{"@acme": M{"url": moved.URL(), "token": tokenC}})
		b.Close()
		want("priv-b", "g", "b, moved")
		if r := n.Call("priv-b", "main", "f"); strings.Trim(r.Text(), `"`) != "b" {
			t.Errorf("what was deployed before answers %d %s", r.Status, r.Body)
		}
	})
	t.Run("a registry that was removed", func(t *testing.T) {
		before := public.Hits("@acme/x")
		tenant("priv-a", M{"@acme": nil})
		status, message := deploy("priv-a", "g", any1)
		if status != "failed" || !strings.Contains(message, "the registry that the tenant had for @acme was removed") {
			t.Errorf("%s: %s", status, message)
		}
		if public.Hits("@acme/x") != before {
			t.Error("the public registry was asked for what was private")
		}
		if r := n.Call("priv-a", "main", "f"); strings.Trim(r.Text(), `"`) != "a and shared" {
			t.Errorf("what was deployed before answers %d %s", r.Status, r.Body)
		}
		tenant("priv-a", M{"@acme": M{"public": true}})
		want("priv-a", "g", "public 9")
	})

	// What was kept of them.
	ids := privateContents(t, n, "@acme/x")
	if len(ids["priv-a"]) != 1 || len(ids["priv-b"]) != 2 || len(ids["priv-c"]) != 0 || len(ids[""]) != 1 {
		t.Errorf("contents of @acme/x by tenant: %v", ids)
	}
	if ids := privateContents(t, n, "hearth-test-shared"); len(ids) != 1 || len(ids[""]) != 1 {
		t.Errorf("contents of hearth-test-shared by tenant: %v", ids)
	}
	for _, path := range []string{"/v1/tenants", "/v1/tenants/priv-a", "/v1/tenants/priv-b", "/v1/tenants/priv-d", "/v1/tenants/priv-b/containers/main/functions/g"} {
		call("GET", path, nil)
	}
	n.Stop()
	for _, token := range []string{tokenA, tokenB, tokenC} {
		if strings.Contains(n.Log(), token) || bytes.Contains(answers.Bytes(), []byte(token)) {
			t.Errorf("token %s is in the log or an answer", token)
		}
		for _, dir := range []string{n.DataDir, n.RunDir} {
			err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				if d.IsDir() && d.Name() == "images" {
					return fs.SkipDir
				}
				if !d.Type().IsRegular() {
					return nil
				}
				text, err := os.ReadFile(name)
				if bytes.Contains(text, []byte(token)) {
					t.Errorf("token %s is in %s", token, name)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
}

// privateContents lists what is kept of a package, by the name of the tenant that it is private to.
func privateContents(t *testing.T, n *harness.Node, name string) map[string][]string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(n.DataDir, "node", "hearth.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT coalesce((SELECT name FROM tenants WHERE id = c.tenant), c.tenant), c.id FROM contents c WHERE c.package = ? AND c.state = 'ready'`, name)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[string][]string{}
	for rows.Next() {
		var tenant, id string
		if err := rows.Scan(&tenant, &id); err != nil {
			t.Fatal(err)
		}
		all[tenant] = append(all[tenant], id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
