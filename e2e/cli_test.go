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
