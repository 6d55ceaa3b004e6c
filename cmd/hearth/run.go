package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hearth"
	"hearth/client"
	"hearth/cmd/hearth/internal/tty"
)

func runCommand(io *streams) *cobra.Command {
	var call callFlags
	c := &cobra.Command{Use: "run TENANT/CONTAINER/FUNCTION", Short: "Call a function and print its answer", Args: exactly(1, aFunction),
		Long: `Calls a function. The body of the answer goes to stdout, its status to stderr. It exits with 0 for an answer
below 400, with 4 when Hearth says try again (503), and otherwise with 1.`,
		Example: "  hearth run acme/shop/paid\n  hearth run acme/shop/paid --data '{\"n\": 1}' --path '/orders?limit=3' -i"}
	s := io.connect(c)
	c.Flags().StringVarP(&call.method, "method", "X", "", "`METHOD` (default GET, or POST with --data)")
	c.Flags().StringVarP(&call.data, "data", "d", "", "body: `TEXT`, @FILE or @- for stdin; JSON is sent as such")
	c.Flags().StringArrayVarP(&call.header, "header", "H", nil, "header field `'NAME: VALUE'`; may be given again")
	c.Flags().StringVar(&call.path, "path", "", "`/REST?QUERY` after the function's name")
	c.Flags().BoolVarP(&call.include, "include", "i", false, "print the header of the answer too, to stderr")
	c.Flags().DurationVar(&call.timeout, "timeout", hearth.LimitTimeout.Duration(), "wait so long for the answer to begin")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := parsePlace(args[0], aFunction)
		if err != nil {
			return err
		}
		req, err := call.request(s)
		if err != nil {
			return err
		}
		where, err := s.callURL(cmd, p)
		if err != nil {
			return err
		}
		if req.URL, err = url.Parse(where + call.path); err != nil {
			return usage("as in --path '/orders?limit=3'", "--path: %v", err)
		}
		return s.call(req.WithContext(cmd.Context()), call)
	}
	return c
}

type callFlags struct {
	method, data, path string
	header             []string
	include            bool
	timeout            time.Duration
}

// callURL asks Hearth where the function is called. Without a token to ask with, it is below --url:
// calling needs none.
func (s *session) callURL(cmd *cobra.Command, p place) (string, error) {
	api, err := s.client()
	if err != nil {
		if explain(err).code == exitUnauthorized {
			return s.url + "/run/" + p.String(), nil
		}
		return "", err
	}
	f, err := api.GetFunction(cmd.Context(), p.tenant, p.container, p.function)
	if err != nil {
		if client.IsCode(err, "unauthorized") {
			return s.url + "/run/" + p.String(), nil
		}
		return "", s.missing(cmd.Context(), api, p, err)
	}
	return f.URL, nil
}

func (f *callFlags) request(s *session) (*http.Request, error) {
	if f.path != "" && !strings.HasPrefix(f.path, "/") && !strings.HasPrefix(f.path, "?") {
		return nil, usage("as in --path '/orders?limit=3'", "--path %q does not begin with /", clip(f.path))
	}
	req := &http.Request{Method: f.method, Header: http.Header{"User-Agent": {"hearth/" + version}}}
	var body io.Reader
	switch name, isFile := strings.CutPrefix(f.data, "@"); {
	case f.data == "":
	case isFile && name == "-":
		body = s.in
	case isFile:
		file, err := os.Open(name)
		if err != nil {
			return nil, usage("", "--data: %v", err)
		}
		body = file // ends with the process
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			req.ContentLength = info.Size()
		}
	default:
		body = strings.NewReader(f.data)
		req.ContentLength = int64(len(f.data))
		if strings.HasPrefix(strings.TrimSpace(f.data), "{") || strings.HasPrefix(strings.TrimSpace(f.data), "[") {
			req.Header.Set("Content-Type", "application/json")
		}
	}
	if body != nil {
		req.Body = io.NopCloser(body)
		if req.ContentLength == 0 {
			req.ContentLength = -1 // unknown
		}
		if req.Method == "" {
			req.Method = http.MethodPost
		}
	}
	if req.Method == "" {
		req.Method = http.MethodGet
	}
	for _, h := range f.header {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, usage("as in --header 'Content-Type: text/plain'", "--header %q has no colon", clip(h))
		}
		if strings.EqualFold(name, "Host") {
			req.Host = strings.TrimSpace(value)
			continue
		}
		if len(req.Header[http.CanonicalHeaderKey(name)]) > 0 && (strings.EqualFold(name, "Content-Type") || strings.EqualFold(name, "User-Agent")) {
			req.Header.Del(name) // ours
		}
		req.Header.Add(name, strings.TrimSpace(value))
	}
	return req, nil
}

func (s *session) call(req *http.Request, f callFlags) error {
	httpc := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: f.timeout},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer httpc.CloseIdleConnections()
	began := time.Now()
	res, err := httpc.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read to its end, or the call failed
	took := time.Since(began)
	if s.asJSON {
		return s.printAnswer(res, took)
	}

	status := res.Status
	for _, name := range []string{"Hearth-Start", "Hearth-Version", "Hearth-Request-Id"} {
		if v := res.Header.Get(name); v != "" {
			status += ", " + map[string]string{"Hearth-Start": "", "Hearth-Version": "version ", "Hearth-Request-Id": "request "}[name] + v
		}
	}
	s.say("%s, %.1f ms", status, float64(took.Microseconds())/1000)
	if f.include {
		for _, name := range sorted(res.Header) {
			for _, v := range res.Header[name] {
				s.say("%s: %s", strings.ToLower(name), v)
			}
		}
	}
	to, finish := s.out, func() error { return nil }
	if s.terminal {
		w := tty.NewWriter(s.out)
		to, finish = w, func() error {
			err := w.Close()
			return errors.Join(err, func() error { _, err := fmt.Fprintln(s.out); return err }())
		}
	}
	if _, err := io.Copy(to, res.Body); err != nil {
		return fmt.Errorf("the answer ended too early: %w", err)
	}
	if err := finish(); err != nil {
		return err
	}
	return exitOfStatus(res.StatusCode)
}

// maxShown bounds the body in --json, which has to be whole.
const maxShown = 64 << 20

// printAnswer prints status, header, time and body as one JSON document.
func (s *session) printAnswer(res *http.Response, took time.Duration) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxShown+1))
	switch {
	case err != nil:
		return fmt.Errorf("the answer ended too early: %w", err)
	case len(body) > maxShown:
		return fmt.Errorf("the answer is larger than %d MiB; leave --json out", maxShown>>20)
	}
	header := map[string][]string{}
	for name, v := range res.Header {
		header[strings.ToLower(name)] = v
	}
	doc := map[string]any{"status": res.StatusCode, "headers": header, "ms": float64(took.Microseconds()) / 1000, "body": client.File(body)}
	if err := printJSON(s.streams, doc); err != nil {
		return err
	}
	return exitOfStatus(res.StatusCode)
}

func exitOfStatus(status int) error {
	switch {
	case status == http.StatusServiceUnavailable:
		return silent(exitUnavailable)
	case status >= 400:
		return silent(exitFailure)
	}
	return nil
}

func sorted(h http.Header) []string {
	var names []string
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
