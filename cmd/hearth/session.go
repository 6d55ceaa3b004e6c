package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"hearth"
	"hearth/client"
	"hearth/internal/config"
)

// session is what every command of the user's side takes: where Hearth is, who asks, and how to
// print.
type session struct {
	*streams
	url, tokenFile string
	asJSON         bool
}

// maxToken bounds the token file: a token has 43 characters.
const maxToken = 4 << 10

// connect adds the flags of a session to a command.
func (io *streams) connect(c *cobra.Command) *session {
	s := &session{streams: io}
	c.Flags().StringVar(&s.url, "url", "", "`URL` of Hearth (HEARTH_URL; default "+config.DefaultURL+")")
	c.Flags().StringVar(&s.tokenFile, "token-file", "", "`FILE` that holds the token (HEARTH_TOKEN_FILE; default "+config.DefaultDataDir+"/"+config.AdminTokenName+")")
	jsonFlag(c, &s.asJSON)
	return s
}

func jsonFlag(c *cobra.Command, to *bool) { c.Flags().BoolVar(to, "json", false, "print JSON") }

// settle fills in what no flag said.
func (s *session) settle() {
	first := func(values ...string) string {
		for _, v := range values {
			if v != "" {
				return v
			}
		}
		return ""
	}
	s.url = strings.TrimRight(first(s.url, s.env("HEARTH_URL"), config.DefaultURL), "/")
	s.tokenFile = first(s.tokenFile, s.env("HEARTH_TOKEN_FILE"), s.env("HEARTH_ADMIN_TOKEN_FILE"),
		filepath.Join(first(s.env("HEARTH_DATA_DIR"), config.DefaultDataDir), config.AdminTokenName))
}

// token reads the token. It is never an argument, since everybody on a machine can read those.
func (s *session) token() (string, error) {
	s.settle()
	const hint = "give --token-file FILE or HEARTH_TOKEN_FILE; a node keeps its token in admin.token in its data directory"
	f, err := os.Open(s.tokenFile)
	if err != nil {
		why := err
		var pe *fs.PathError
		if errors.As(err, &pe) {
			why = pe.Err
		}
		return "", &failure{code: exitUnauthorized, text: fmt.Sprintf("the token file %s cannot be read: %v", s.tokenFile, why), hint: hint, err: err}
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("read token file %s: %w", s.tokenFile, err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" || len(data) > maxToken {
		return "", &failure{code: exitUnauthorized, text: fmt.Sprintf("the token file %s holds no token", s.tokenFile), hint: hint}
	}
	return token, nil
}

// client connects to Hearth.
func (s *session) client() (*client.Client, error) {
	token, err := s.token()
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Config{URL: s.url, Token: token})
	if err != nil {
		return nil, &failure{code: exitUsage, text: err.Error(), hint: "give --url or HEARTH_URL"}
	}
	return c, nil
}

// place names a tenant, one of its containers or a function in it, as TENANT/CONTAINER/FUNCTION.
type place struct{ tenant, container, function string }

// The forms of a place.
const (
	aTenant    = "TENANT"
	aContainer = "TENANT/CONTAINER"
	aFunction  = "TENANT/CONTAINER/FUNCTION"
)

func (p place) String() string {
	s := p.tenant
	if p.container != "" {
		s += "/" + p.container
	}
	if p.function != "" {
		s += "/" + p.function
	}
	return s
}

// parsePlace reads a place of one of the forms.
func parsePlace(s string, forms ...string) (place, error) {
	parts := strings.Split(s, "/")
	form := strings.Join([]string{aTenant, "CONTAINER", "FUNCTION"}[:min(len(parts), 3)], "/")
	ok := false
	for _, f := range forms {
		ok = ok || f == form && len(parts) <= 3
	}
	if !ok {
		return place{}, usage("names are lower-case letters, digits and dashes, as in acme/shop/paid", "%q is not %s", clip(s), strings.Join(forms, " or "))
	}
	for _, part := range parts {
		if !hearth.ValidName(part) {
			return place{}, usage("names have 1 to 63 lower-case letters, digits and dashes, and no dash at an end", "%q is not a name", clip(part))
		}
	}
	parts = append(parts, "", "")
	return place{parts[0], parts[1], parts[2]}, nil
}

func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

// missing turns a "not found" about p into one that says what is missing and which name is near.
func (s *session) missing(ctx context.Context, c *client.Client, p place, err error) error {
	if !client.IsCode(err, "not_found") {
		return err
	}
	for _, level := range []struct {
		kind, name string
		at, parent place
		names      func(context.Context, *client.Client, place) []string
	}{
		{"tenant", p.tenant, place{tenant: p.tenant}, place{}, tenantNames},
		{"container", p.container, place{tenant: p.tenant, container: p.container}, place{tenant: p.tenant}, containerNames},
		{"function", p.function, p, place{tenant: p.tenant, container: p.container}, functionNames},
	} {
		if level.name == "" || exists(ctx, c, level.at) {
			continue
		}
		f := &failure{code: exitNotFound, err: err, text: fmt.Sprintf("there is no %s %s", level.kind, level.at),
			hint: strings.TrimSpace("hearth ls " + level.parent.String())}
		if near := config.Nearest(level.name, level.names(ctx, c, level.parent)); near != "" {
			f.hint = fmt.Sprintf("did you mean %s?", level.parent.with(near))
		}
		return f
	}
	return err
}

func (p place) with(name string) place {
	switch {
	case p.tenant == "":
		p.tenant = name
	case p.container == "":
		p.container = name
	default:
		p.function = name
	}
	return p
}

func exists(ctx context.Context, c *client.Client, p place) bool {
	var err error
	switch {
	case p.function != "":
		_, err = c.GetFunction(ctx, p.tenant, p.container, p.function)
	case p.container != "":
		_, err = c.GetContainer(ctx, p.tenant, p.container)
	default:
		_, err = c.GetTenant(ctx, p.tenant)
	}
	return !client.IsCode(err, "not_found")
}

// The first page is enough for a guess.
func functionNames(ctx context.Context, c *client.Client, p place) (names []string) {
	l, _ := c.ListFunctions(ctx, p.tenant, p.container, client.Page{})
	for _, o := range l.Items {
		names = append(names, o.Name)
	}
	return names
}

func containerNames(ctx context.Context, c *client.Client, p place) (names []string) {
	l, _ := c.ListContainers(ctx, p.tenant, client.Page{})
	for _, o := range l.Items {
		names = append(names, o.Name)
	}
	return names
}

func tenantNames(ctx context.Context, c *client.Client, _ place) (names []string) {
	l, _ := c.ListTenants(ctx, client.Page{})
	for _, o := range l.Items {
		names = append(names, o.Name)
	}
	return names
}
