package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hearth/e2e/harness"
)

// hearth runs the command line against n, and returns what it printed and its exit status.
func hearth(t *testing.T, n *harness.Node, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(n.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(harness.Binary(t), args...)
	cmd.Env = append(os.Environ(), "HEARTH_URL="+n.URL, "HEARTH_TOKEN_FILE="+token)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// TestCommandLine walks through a function's life as a user would.
func TestCommandLine(t *testing.T) {
	n := harness.Start(t, "--pool", "1") // the shared one has a domain for functions, which no resolver knows
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("hearth.json", `{"tenant": "cli", "container": "shop", "name": "paid"}`)
	write("index.js", `module.exports = (ctx, cb) => { console.log('paid by ' + ctx.query.by); cb(null, {version: 1}) }`)
	const name = "cli/shop/paid"
	for _, c := range []struct {
		args   []string
		status int
		want   string // in stdout, or in stderr when the status is not 0
	}{
		{[]string{"deploy", dir, "--wait"}, 0, "/run/cli/shop/paid"},
		{[]string{"run", name, "--path", "/?by=ann"}, 0, `{"version":1}`},
		{[]string{"ls", "cli/shop"}, 0, "paid"},
		{[]string{"get", name, "--json"}, 0, `"active":1`},
		{[]string{"secret", "set", name, "KEY", "--file", filepath.Join(dir, "hearth.json")}, 0, ""},
		{[]string{"secret", "ls", name}, 0, "KEY"},
		{[]string{"run", "cli/shop/payd"}, 3, "payd"},
		{[]string{"get", "cli/shop/payd"}, 3, "hint:"},
		{[]string{"deploy", dir, "--model", "nonsense"}, 2, "model"},
	} {
		out, errs, status := hearth(t, n, c.args...)
		text := out
		if c.status != 0 {
			text = errs
		}
		if status != c.status || !strings.Contains(strings.ReplaceAll(text, `": `, `":`), c.want) {
			t.Errorf("hearth %s: exit %d, want %d with %q\n%s%s", strings.Join(c.args, " "), status, c.status, c.want, out, errs)
		}
	}
	write("index.js", `module.exports = (ctx, cb => {`)
	if out, errs, status := hearth(t, n, "deploy", dir, "--wait"); status != 1 || !strings.Contains(errs, "SyntaxError") {
		t.Errorf("deploy of a broken version: exit %d\n%s%s", status, out, errs)
	}
	write("index.js", `module.exports = cb => cb(null, {version: 3})`)
	for _, c := range [][]string{{"deploy", dir, "--wait"}, {"versions", name}, {"rollback", name, "1"}} {
		if out, errs, status := hearth(t, n, c...); status != 0 {
			t.Errorf("hearth %s: exit %d\n%s%s", strings.Join(c, " "), status, out, errs)
		}
	}
	if out, _, _ := hearth(t, n, "run", name); !strings.Contains(out, `"version":1`) {
		t.Errorf("after the rollback: %s", out)
	}
	harness.WaitFor(t, "the log has the line and the call", 10*time.Second, func() bool {
		out, _, _ := hearth(t, n, "logs", name)
		return strings.Contains(out, "paid by ann") && strings.Contains(out, "cold-local")
	})
	if _, errs, status := hearth(t, n, "rm", name); status != 0 {
		t.Errorf("rm: exit %d %s", status, errs)
	}
	if _, _, status := hearth(t, n, "get", name); status != 3 {
		t.Errorf("get after rm: exit %d, want 3", status)
	}
}

// TestLogsAreFollowed reads a log as it is written, and finds the record of calls, of those too whose
// code never ran.
func TestLogsAreFollowed(t *testing.T) {
	t.Parallel()
	n := shared(t)
	clean(n, "logs")
	n.Deploy("logs", "main", "talk", `module.exports = (ctx, cb) => { console.error('said ' + ctx.query.n); setTimeout(cb, +ctx.query.ms || 0, null, 'ok') }`)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", n.URL+harness.FunctionPath("logs", "main", "talk")+"/logs?follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+n.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("content type %q", got)
	}
	a := n.Do(ctx, "GET", "/run/logs/main/talk?n=1", nil)
	id := a.Header.Get("hearth-request-id")
	var line, call bool
	var event string
	in := bufio.NewScanner(resp.Body)
	for (!line || !call) && in.Scan() {
		if e, ok := strings.CutPrefix(in.Text(), "event: "); ok {
			event = e
		}
		data, ok := strings.CutPrefix(in.Text(), "data: ")
		if !ok {
			continue
		}
		var entry map[string]any
		if err := json.Unmarshal([]byte(data), &entry); err != nil {
			t.Fatalf("%v in %s", err, data)
		}
		if entry["request"] != id {
			continue
		}
		switch event {
		case "log":
			line = entry["text"] == "said 1" && entry["stream"] == "stderr"
			if !line {
				t.Errorf("log entry %s", data)
			}
		case "call":
			record, _ := entry["call"].(map[string]any)
			call = record["status"] == 200.0 && record["start"] == "cold-local" && record["instance"] != ""
			if !call {
				t.Errorf("call entry %s", data)
			}
		}
	}
	if !line || !call {
		t.Errorf("the log ended before the line (%v) and the call (%v) of %s: %v", line, call, id, in.Err())
	}
}

// TestCommandLineJSON gives every command --json, of which scripts live: one document, the same words
// as the API's, and exit statuses that tell what went wrong.
func TestCommandLineJSON(t *testing.T) {
	t.Parallel()
	n := shared(t)
	const name = "cli-json/demo/hello"
	get := func(status int, args ...string) map[string]any {
		t.Helper()
		out, errs, got := hearth(t, n, append(args, "--json")...)
		if got != status {
			t.Errorf("hearth %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, status, out, errs)
		}
		var doc map[string]any
		if err := json.Unmarshal([]byte(out), &doc); err != nil && status == 0 {
			t.Errorf("hearth %s: %v in %s", strings.Join(args, " "), err, out)
		}
		return doc
	}
	first := func(doc map[string]any) map[string]any {
		items, _ := doc["items"].([]any)
		if len(items) == 0 {
			return nil
		}
		item, _ := items[0].(map[string]any)
		return item
	}
	deploy := []string{"deploy", "../examples/hello", "--tenant", "cli-json"}
	if f := get(0, deploy...); f["name"] != "hello" || f["container"] != "demo" || f["status"] != "ready" || f["version"] != 1.0 || f["url"] == "" {
		t.Errorf("deploy: %v", f)
	}
	if f := get(0, deploy...); f["version"] != 1.0 {
		t.Errorf("the same again: %v", f)
	}
	if f := get(0, append(deploy, "--config", "greeting=hi")...); f["version"] != 2.0 || f["active"] != 2.0 {
		t.Errorf("another config: %v", f)
	}
	if f := first(get(0, "ls", "cli-json/demo")); f["name"] != "hello" || f["active"] != 2.0 {
		t.Errorf("ls: %v", f)
	}
	if c := first(get(0, "ls", "cli-json")); c["name"] != "demo" {
		t.Errorf("ls of a tenant: %v", c)
	}
	if f := get(0, "get", name); f["runtime"] != "node24" || f["model"] != "callback" {
		t.Errorf("get: %v", f)
	}
	if v := first(get(0, "versions", name)); v["version"] != 2.0 || v["active"] != true {
		t.Errorf("versions: %v", v)
	}
	if f := get(0, "rollback", name, "1"); f["active"] != 1.0 {
		t.Errorf("rollback: %v", f)
	}
	if a := n.Do(t.Context(), "GET", "/run/"+name+"?name=you", nil); a.Text() != `{"hello":"you"}` || a.Header.Get("hearth-version") != "1" {
		t.Errorf("call: %d %v %s", a.Status, a.Header, a.Body)
	}
	harness.WaitFor(t, "the call in the log", 5*time.Second, func() bool {
		out, _, _ := hearth(t, n, "logs", name, "--tail", "1", "--json") // nothing until the line is on disk
		var e map[string]any
		return json.Unmarshal([]byte(out), &e) == nil && e["stream"] == "call" && e["version"] == 1.0
	})
	get(3, "get", "cli-json/demo/nothing")
	get(3, "versions", "cli-json/none/hello")
	get(3, "rollback", name, "9")
	get(2, "rollback", name, "x")
	get(2, "get", "cli-json/demo/Hello")
	get(5, "get", name, "--token-file", "/dev/null")
	get(4, "get", name, "--url", "http://127.0.0.1:1")
	if _, errs, status := hearth(t, n, "rm", "cli-json/demo"); status == 0 || !strings.Contains(errs, "hearth rm --recursive cli-json/demo") {
		t.Errorf("rm of what is not empty: exit %d %s", status, errs)
	}
	if d := get(0, "rm", "-r", "cli-json"); d["removed"] != "cli-json" {
		t.Errorf("rm: %v", d)
	}
	if a := n.Do(t.Context(), "GET", "/run/"+name, nil); a.Status != 404 {
		t.Errorf("a call after that: %d", a.Status)
	}
}

// TestBrokenDeploy: the person reads what Node.js says, where in their own file, and what goes on.
func TestBrokenDeploy(t *testing.T) {
	t.Parallel()
	n := shared(t)
	clean(n, "cli-broken")
	file := filepath.Join(t.TempDir(), "hook.js")
	for name, broken := range map[string]struct {
		code  string
		words []string
	}{
		"syntax":  {"module.exports = cb => {\n  cb(null, 2\n}", []string{"SyntaxError: missing ) after argument list", "hook.js:2"}},
		"require": {"const x = require('./nowhere')", []string{"Cannot find module './nowhere'"}},
		"throw":   {"throw new RangeError('the moon is full')", []string{"RangeError: the moon is full", "hook.js:1"}},
		"shape":   {"module.exports = {answer: 42}", []string{"module.exports = cb => cb(null, result)", "answer: 42"}},
		"exit":    {"console.log('bye'); process.exit(7)", []string{"status 7"}},
		"title":   {"throw new Error('\\x1b]0;evil title\\x07')", []string{"evil title"}},
	} {
		for _, try := range []struct {
			code   string
			status int
		}{{"module.exports = cb => cb(null, 1)", 0}, {broken.code, 1}} {
			if err := os.WriteFile(file, []byte(try.code), 0o600); err != nil {
				t.Fatal(err)
			}
			out, errs, status := hearth(t, n, "deploy", file, "--tenant", "cli-broken", "--container", "c", "--name", name)
			if status != try.status {
				t.Errorf("deploy of %q: exit %d, want %d\n%s%s", try.code, status, try.status, out, errs)
			}
			if try.status == 0 {
				continue
			}
			for _, w := range append(broken.words, "version 1 goes on serving") {
				if !strings.Contains(errs, w) {
					t.Errorf("deploy of %q says\n%s\nwithout %q", try.code, errs, w)
				}
			}
			if strings.Contains(errs, "/hearth/shim") || strings.ContainsAny(errs, "\x1b\x07") || out != "" {
				t.Errorf("deploy of %q says\n%s%q", try.code, out, errs)
			}
		}
		if a := n.Call("cli-broken", "c", name); a.Text() != "1" {
			t.Errorf("the old version answers %d %s", a.Status, a.Body)
		}
	}
}

// TestDoctor: every check has a verdict, and whatever is not well has a way out.
func TestDoctor(t *testing.T) {
	t.Parallel()
	n := shared(t)
	out, errs, status := hearth(t, n, "doctor", "--json", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0")
	var doc struct {
		Items []struct{ Status, Check, Found, Fix string }
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || len(doc.Items) < 8 {
		t.Fatalf("%v, %d checks\n%s%s", err, len(doc.Items), out, errs)
	}
	failed := 0
	for _, i := range doc.Items {
		switch i.Status {
		case "pass":
		case "fail":
			failed++
			fallthrough
		case "warn":
			if i.Fix == "" {
				t.Errorf("no way out of %+v", i)
			}
		default:
			t.Errorf("status of %+v", i)
		}
		t.Logf("%s %s: %s", i.Status, i.Check, i.Found)
	}
	if (failed > 0) != (status == 1) || failed > 0 { // this machine runs hearth, as the other tests show
		t.Errorf("%d checks failed, exit %d", failed, status)
	}
	if _, errs, status := hearth(t, n, "doctor", "--pol", "4"); status != 2 || !strings.Contains(errs, "--pool") {
		t.Errorf("an unknown flag: exit %d %s", status, errs)
	}
}
