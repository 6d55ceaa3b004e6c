package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hearth/client"
	"hearth/cmd/hearth/internal/source"
)

const registryHelp = `--registry names the npm registry that the packages of a scope come from, and from no
other: @acme=https://npm.acme.example/. Its token is read from a file, or stdin (-), and
never from an argument. @acme=none removes the registry; the scope's packages then come
from nowhere, since somebody else may have published their names at the public registry.
@acme=public says that they are the public registry's.`

// registryFlags are the flags that change a tenant's registries.
type registryFlags struct{ registries, tokens []string }

func (r *registryFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&r.registries, "registry", nil, "npm registry of a scope, as in `@acme=URL`, or @acme=none or @acme=public; may be repeated")
	c.Flags().StringArrayVar(&r.tokens, "registry-token-file", nil, "file that holds the token of a scope's registry, as in `@acme=FILE`; may be repeated")
}

// spec is what the flags change; have are the registries that there are.
func (r *registryFlags) spec(have map[string]client.Registry, stdin io.Reader) (map[string]*client.RegistrySpec, error) {
	out := map[string]*client.RegistrySpec{}
	for _, arg := range r.registries {
		scope, url, err := cutScope("--registry", arg, "URL")
		if err != nil {
			return nil, err
		}
		if _, twice := out[scope]; twice {
			return nil, usage("", "--registry names %s twice", clip(scope))
		}
		switch url {
		case "none":
			out[scope] = nil
		case "public":
			out[scope] = &client.RegistrySpec{Public: true}
		default:
			out[scope] = &client.RegistrySpec{URL: url}
		}
	}
	for _, arg := range r.tokens {
		scope, file, err := cutScope("--registry-token-file", arg, "FILE")
		if err != nil {
			return nil, err
		}
		spec, named := out[scope]
		if !named && have[scope].URL != "" {
			spec = &client.RegistrySpec{URL: have[scope].URL}
		}
		if spec == nil || spec.Public || spec.Token != nil {
			return nil, usage("--registry "+scope+"=URL", "%s has no registry that the token could be for, or two tokens", clip(scope))
		}
		token, err := source.SecretFromFile(file, stdin)
		if err != nil {
			return nil, usage("", "%v", err)
		}
		spec.Token, out[scope] = &token, spec
	}
	return out, nil
}

// cutScope cuts @scope=value.
func cutScope(flag, arg, what string) (scope, value string, err error) {
	scope, value, ok := strings.Cut(arg, "=")
	if !ok || value == "" || !strings.HasPrefix(scope, "@") {
		return "", "", usage("as in "+flag+" @acme="+what, "%s needs a scope and a %s", flag, what)
	}
	return scope, value, nil
}

// registryRows shows a tenant's registries.
func registryRows(t client.Tenant) (rows [][]string) {
	for _, scope := range slices.Sorted(maps.Keys(t.Registries)) {
		r := t.Registries[scope]
		text := "none: its packages come from nowhere"
		if r.URL != "" {
			text = fmt.Sprintf("%s, %s", r.URL, map[bool]string{true: "token set", false: "no token"}[r.Token])
		}
		rows = append(rows, []string{"registry of " + scope, text})
	}
	return rows
}
