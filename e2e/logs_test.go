package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	root "hearth"
	"hearth/e2e/harness"
	"hearth/internal/logs"
)

// readLogs reads the whole log of a function.
func readLogs(t *testing.T, n *harness.Node, tenant, container, function string) []logs.Entry {
	t.Helper()
	var all []logs.Entry
	since := ""
	for {
		a := n.API("GET", harness.FunctionPath(tenant, container, function)+"/logs?limit=100"+since, nil)
		var page struct {
			Items []logs.Entry
			Next  string
		}
		if err := json.Unmarshal(a.Body, &page); err != nil || a.Status != 200 {
			t.Fatalf("read log: %d %v %.300s", a.Status, err, a.Body)
		}
		all = append(all, page.Items...)
		if len(page.Items) == 0 || page.Next == "" {
			return all
		}
		since = "&since=" + page.Next
	}
}

// waitLogs reads the log until ok.
func waitLogs(t *testing.T, n *harness.Node, tenant, container, function, what string, ok func([]logs.Entry) bool) []logs.Entry {
	t.Helper()
	var all []logs.Entry
	harness.WaitFor(t, what, 10*time.Second, func() bool {
		all = readLogs(t, n, tenant, container, function)
		return ok(all)
	})
	return all
}

// of filters entries by stream.
func of(all []logs.Entry, stream string) []logs.Entry {
	return slices.DeleteFunc(slices.Clone(all), func(e logs.Entry) bool { return e.Stream != stream })
}

// Every line is in its function's log, under its request, also when requests and functions of one
// instance take turns, and when a line comes after the answer.
func TestLogLines(t *testing.T) {
	t.Parallel()
	n := shared(t)
	clean(n, "log-lines")
	n.Container("log-lines", "c", nil)
	const code = `const wait = ms => new Promise(r => setTimeout(r, ms));
		module.exports = async ctx => { const {n} = ctx.query;
			console.log('log', n, {a: [1]}); await wait(+n % 7); console.error('error', n); process.stdout.write('plain ' + n + '\n'); console.warn('two\nlines ' + n);
			setTimeout(() => console.info('after', n), 50); return n }`
	for _, f := range []string{"one", "two"} {
		n.DeployBody("log-lines", "c", f, M{"code": code})
	}
	var mu sync.Mutex
	asked := map[string]map[string]int{"one": {}, "two": {}} // request id → n
	var wg sync.WaitGroup
	for i := range 40 {
		f := []string{"one", "two"}[i%2]
		wg.Go(func() {
			a := n.Do(t.Context(), "GET", fmt.Sprintf("/run/log-lines/c/%s?n=%d", f, i), nil)
			mu.Lock()
			defer mu.Unlock()
			if asked[f][a.Header.Get("hearth-request-id")] = i; a.Status != 200 {
				t.Errorf("%d: %d %v %s", i, a.Status, a.Err, a.Body)
			}
		})
	}
	wg.Wait()
	for f, requests := range asked {
		all := waitLogs(t, n, "log-lines", "c", f, "all lines", func(all []logs.Entry) bool { return len(all)-len(of(all, logs.StreamCall)) >= 5*20 })
		got := map[string][]string{}
		for _, e := range all {
			if e.Version != 1 || e.Instance == "" {
				t.Errorf("entry %+v", e)
			}
			if e.Stream != logs.StreamCall {
				got[e.Request] = append(got[e.Request], e.Stream+" "+e.Level+": "+e.Text)
			}
		}
		if calls := of(all, logs.StreamCall); len(calls) != 20 || len(got) != 20 {
			t.Errorf("%s: %d records of calls and lines of %d requests, want 20 of each", f, len(calls), len(got))
		}
		for id, i := range requests {
			want := []string{fmt.Sprintf("stdout log: log %d { a: [ 1 ] }", i), fmt.Sprintf("stderr error: error %d", i), fmt.Sprintf("stdout stdout: plain %d", i),
				fmt.Sprintf("stderr warn: two\nlines %d", i), fmt.Sprintf("stdout info: after %d", i)}
			slices.Sort(want)
			lines := slices.Sorted(slices.Values(got[id])) // two pipes have no order between them
			if !slices.Equal(lines, want) {
				t.Errorf("%s %s: %q, want %q", f, id, lines, want)
			}
		}
	}
}

// Each call has one record with its phases, also when the code never ran; what is no function has none.
func TestCallRecords(t *testing.T) {
	t.Parallel()
	n := shared(t)
	clean(n, "records")
	n.Container("records", "c", nil)
	n.DeployBody("records", "c", "f", M{"timeout_ms": 300, "code": `module.exports = (ctx, cb) => { switch (ctx.query.do) {
		case 'wait': return setTimeout(cb, 50, null, 'waited'); case 'throw': throw new Error('x'); case 'hang': return; case 'exit': process.exit(1) } cb(null, 'ok') }`})
	if a := n.Put("records", "c", "broken", M{"code": "}"}); a.JSON()["status"] != "failed" {
		t.Fatalf("deploy: %s", a.Body)
	}
	call := func(query string, body []byte) string {
		return n.Do(t.Context(), "POST", "/run/records/c/f"+query, body).Header.Get("hearth-request-id")
	}
	type want struct {
		id                string
		status            int
		start             root.Start
		component, reason string
		ran               bool
	}
	wants := []want{
		{call("", nil), 200, "cold-local", "", "", true},
		{call("?do=wait", nil), 200, "warm", "", "", true},
		{call("?do=throw", nil), 500, "warm", "code", "error", true},
		{call("", make([]byte, 10<<20+1)), 413, "", "limit", "parsed_body_bytes", false},
		{call("?do=hang", nil), 504, "warm", "code", "timeout", false},
		{call("?do=exit", nil), 502, "cold-local", "code", "died", false},
	}
	gone, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	n.Do(gone, "GET", "/run/records/c/f?do=hang", nil)
	cancel()
	for range 3 {
		n.Do(t.Context(), "GET", "/run/records/c/nothing", nil)
		n.Do(t.Context(), "GET", "/run/records/nothing/f", nil)
	}
	waitLogs(t, n, "records", "c", "f", "the records", func(all []logs.Entry) bool { return len(of(all, logs.StreamCall)) > len(wants) })
	time.Sleep(200 * time.Millisecond)
	all := readLogs(t, n, "records", "c", "f")
	calls := of(all, logs.StreamCall)
	if len(calls) != len(wants)+1 {
		t.Fatalf("%d records, want %d", len(calls), len(wants)+1)
	}
	for i, w := range wants {
		e, c := calls[i], calls[i].Call
		if e.Request != w.id || e.Version != 1 || c == nil || c.Status != w.status || c.Start != w.start || c.Component != w.component || c.Reason != w.reason || c.TotalMS <= 0 {
			t.Errorf("call %d: %+v %+v, want %+v", i, e, c, w)
			continue
		}
		if w.start == "cold-local" && (c.AssignMS <= 0 || c.QueueMS < 0) || w.start == "warm" && c.AssignMS != 0 || w.start != "" && e.Instance == "" {
			t.Errorf("call %d: phases %+v of instance %q", i, c, e.Instance)
		}
		if w.ran && (c.RunMS <= 0 || c.RunMS > c.TotalMS) {
			t.Errorf("call %d: ran %f of %f ms", i, c.RunMS, c.TotalMS)
		}
	}
	if c := calls[0].Call; c.LoadMS <= 0 {
		t.Errorf("the cold call loaded for %f ms", c.LoadMS)
	}
	if c := calls[1].Call; c.RunMS < 49 || c.LoadMS != 0 {
		t.Errorf("the warm call: %+v", c)
	}
	if c := calls[len(wants)].Call; c.Status != 499 || c.Component != "request" {
		t.Errorf("the client went away: %+v", c)
	}
	for _, e := range of(all, logs.StreamStderr) {
		if e.Request == wants[2].id && strings.Contains(e.Text, "Error: x") && strings.Contains(e.Text, "/fn/f/1/index.js:") {
			return // the function's own words and where it failed are for its owner
		}
	}
	t.Errorf("the thrown error is not in the log: %+v", of(all, logs.StreamStderr))
}

// A function that never worked has a record of each call, too.
func TestCallRecordsWithoutVersion(t *testing.T) {
	t.Parallel()
	n := shared(t)
	clean(n, "records-none")
	n.Container("records-none", "c", nil)
	n.Put("records-none", "c", "broken", M{"code": "}"})
	id := n.Call("records-none", "c", "broken").Header.Get("hearth-request-id")
	all := waitLogs(t, n, "records-none", "c", "broken", "the record", func(all []logs.Entry) bool { return len(of(all, logs.StreamCall)) > 0 })
	e := of(all, logs.StreamCall)[0]
	if c := e.Call; e.Request != id || c.Status != 503 || c.Reason != "failed" || c.Component != "code" || c.Start != "" || c.RunMS != 0 {
		t.Errorf("%+v %+v", e, c)
	}
}

// A follower sees each line once and in order, within a second, and goes on where it was broken off.
func TestLogsFollowedOn(t *testing.T) {
	t.Parallel()
	n := shared(t)
	clean(n, "log-follow")
	n.Deploy("log-follow", "c", "f", `let n = 0; module.exports = cb => { console.log('line', ++n); cb() }`)
	n.Call("log-follow", "c", "f")
	last, seen := "", 0
	for round := range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		req, err := http.NewRequestWithContext(ctx, "GET", n.URL+harness.FunctionPath("log-follow", "c", "f")+"/logs?follow=true", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+n.Token)
		if last != "" {
			req.Header.Set("Last-Event-ID", last)
		}
		res, err := harness.NewHTTPClient().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(res.Body)
		var asked time.Time
		for seen < 1+5*(round+1) {
			if seen >= 1+5*round || round > 0 { // what was there before has come
				asked = time.Now()
				n.Call("log-follow", "c", "f")
			}
			var id, event string
			for in.Scan() && !strings.HasPrefix(in.Text(), "data: ") || event == "call" {
				if in.Text() == "" {
					event = ""
				}
				if v, ok := strings.CutPrefix(in.Text(), "id: "); ok {
					id = v
				}
				if v, ok := strings.CutPrefix(in.Text(), "event: "); ok {
					event = v
				}
			}
			if in.Err() != nil {
				t.Fatalf("round %d, after %d lines: %v", round, seen, in.Err())
			}
			var e logs.Entry
			if err := json.Unmarshal([]byte(strings.TrimPrefix(in.Text(), "data: ")), &e); err != nil {
				t.Fatalf("%v in %q", err, in.Text())
			}
			seen++
			if e.Text != fmt.Sprint("line ", seen) || e.Cursor != id || event != "log" {
				t.Fatalf("round %d: event %s %s is %+v, want line %d", round, event, id, e, seen)
			}
			last = id
			if took := time.Since(asked); !asked.IsZero() && took > time.Second {
				t.Errorf("line %d came after %s", seen, took)
			}
		}
		cancel()
		res.Body.Close()
	}
}

// A flood of 100 MB is bounded on disk, every line of it is kept or counted, and calls go on, its own
// and others'.
func TestLogFlood(t *testing.T) {
	n := harness.Start(t, "--pool", "2")
	n.Deploy("quiet", "c", "f", `module.exports = cb => { console.log('here'); cb(null, 'ok') }`)
	n.Container("flood", "c", nil)
	n.DeployBody("flood", "c", "f", M{"timeout_ms": 60000, "code": `const line = 'x'.repeat(999);
		module.exports = (ctx, cb) => { const n = +ctx.query.n || 0; for (let i = 0; i < n; i++) console.log(line);
			if (ctx.query.raw) for (let i = 0; i < 200; i++) require('fs').writeSync(2, Buffer.alloc(65536, i)); cb(null, 'ok') }`})
	n.Call("flood", "c", "f")
	s := startSteady(t, n, "quiet", "c", "f")
	time.Sleep(2 * time.Second)
	quiet := s.take()
	const lines = 100_000
	began := time.Now()
	if a := n.Do(t.Context(), "GET", fmt.Sprintf("/run/flood/c/f?n=%d", lines), nil); a.Text() != "ok" {
		t.Errorf("the flood: %d %v %s", a.Status, a.Err, a.Body)
	}
	took := time.Since(began)
	if a := n.Call("flood", "c", "f"); a.Text() != "ok" {
		t.Errorf("the next call: %d %v %s", a.Status, a.Err, a.Body)
	}
	count := func(all []logs.Entry) (kept, dropped int64) {
		for _, e := range all {
			if e.Stream == logs.StreamStdout {
				kept++
			}
			if e.Dropped != nil {
				dropped += e.Dropped.Lines
			}
		}
		return kept, dropped
	}
	all := waitLogs(t, n, "flood", "c", "f", "every line kept or counted", func(all []logs.Entry) bool {
		kept, dropped := count(all)
		return kept+dropped >= lines
	})
	kept, dropped := count(all)
	if kept+dropped != lines || dropped == 0 || kept == 0 {
		t.Errorf("%d lines kept and %d counted as dropped, want %d together", kept, dropped, lines)
	}
	if a := n.Do(t.Context(), "GET", "/run/flood/c/f?raw=1", nil); a.Text() != "ok" {
		t.Errorf("the flood of bytes: %d %v %s", a.Status, a.Err, a.Body)
	}
	beside := s.stop()
	var disk int64
	_ = filepath.WalkDir(filepath.Join(n.DataDir, "node", "logs"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				disk += info.Size()
			}
		}
		return nil
	})
	if most := 2*root.LimitLogFunction.Value + 4<<20; disk > most || disk == 0 {
		t.Errorf("%d MiB of logs on disk, want at most %d", disk>>20, most>>20)
	}
	t.Logf("100 MB in %s: %d lines kept, %d counted as dropped, %d MiB on disk; another tenant's calls quiet %s; beside the flood %s",
		took.Round(time.Millisecond), kept, dropped, disk>>20, quiet, beside)
	if len(beside.failed) > 0 {
		t.Errorf("another tenant's calls failed: %s", beside.failed)
	}
	others := of(waitLogs(t, n, "quiet", "c", "f", "the other's lines", func(all []logs.Entry) bool {
		return len(of(all, logs.StreamStdout)) >= len(quiet.took)+len(beside.took)+1
	}), logs.StreamDropped)
	if len(others) > 0 {
		t.Errorf("another tenant lost lines: %+v", others)
	}
	a := n.API("GET", "/metrics", nil)
	if !strings.Contains(a.Text(), "hearth_log") {
		t.Errorf("the metrics count no dropped lines")
	}
}
