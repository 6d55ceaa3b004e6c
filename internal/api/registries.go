package api

import (
	"github.com/danielgtaylor/huma/v2"

	"hearth"
	"hearth/internal/store"
)

// registryBody documents what fields.registries reads.
type registryBody struct {
	URL    string  `json:"url,omitempty" format:"uri" maxLength:"2048" doc:"Registry that the scope's packages come from, and from no other: https, without credentials."`
	Token  *string `json:"token,omitempty" writeOnly:"true" maxLength:"4096" doc:"What it is asked with, as a bearer token; never answered. Absent keeps the one that was set for this URL, null removes it."`
	Public bool    `json:"public,omitempty" doc:"Instead of a URL: the scope's packages are the public registry's, as if it had never had one."`
}

// registryView is what is told of a registry.
type registryView struct {
	URL   *string `json:"url" format:"uri" doc:"Where the scope's packages come from; null: from nowhere, since its registry was removed."`
	Token bool    `json:"token" doc:"Whether a token is set."`
}

func viewRegistries(all map[string]hearth.Registry) map[string]registryView {
	if all == nil {
		return nil
	}
	out := make(map[string]registryView, len(all))
	for scope, r := range all {
		v := registryView{Token: r.Token}
		if r.URL != "" {
			v.URL = &r.URL
		}
		out[scope] = v
	}
	return out
}

// registries reads changes of a tenant's registries; check, which may be nil, judges URLs and tokens. No
// error ever repeats a token.
func (f *fields) registries(v *value, check func(store.RegistryChange) error) (changes []store.RegistryChange) {
	const field = "registries"
	if v == nil {
		return nil
	}
	if v.kind != kindObject {
		f.wrong(v, field, kindObject)
		return nil
	}
	set := int64(0)
	for _, scope := range v.keys {
		at, m := join(field, scope), v.members[scope]
		if !hearth.ValidScope(scope) {
			f.bad(at, "is not a scope: an @, then lower-case letters, digits, dashes, dots and underscores, such as @acme")
			continue
		}
		c := store.RegistryChange{Scope: scope}
		if m.kind != kindNull {
			if !f.registry(m, at, &c, check) {
				continue
			}
			if !c.Public {
				set++
			}
		}
		changes = append(changes, c)
	}
	if set > hearth.LimitRegistries.Value {
		f.over(field, hearth.LimitRegistries)
	}
	return changes
}

func (f *fields) registry(v *value, at string, c *store.RegistryChange, check func(store.RegistryChange) error) bool {
	had := len(f.errs)
	if !f.object(v, at, "url", "token", "public") {
		return false
	}
	if p := v.member("public"); p != nil {
		if p.kind != kindBool {
			f.wrong(p, at+".public", kindBool)
		}
		c.Public = p.text == "true"
	}
	c.URL = f.text(v.member("url"), at+".url", "")
	if t := v.member("token"); t != nil {
		c.Token = new(string)
		if t.kind != kindNull {
			c.Token = f.secret(t, at+".token")
		}
	}
	switch {
	case len(f.errs) > had:
	case c.Public && (c.URL != "" || c.Token != nil):
		f.bad(at, "is public, or has a registry, not both")
	case !c.Public && c.URL == "":
		f.bad(at+".url", "is missing; null in place of the object removes the registry")
	case !c.Public && check != nil:
		if err := check(*c); err != nil {
			f.bad(at, "%v", err)
		}
	}
	return len(f.errs) == had
}

// adjustRegistries says of schemas what a Go type cannot.
func adjustRegistries(all huma.Registry) {
	for name, about := range map[string]string{"Registry": "Where a tenant's packages of one scope come from.", "PutRegistry": "The registry of one scope."} {
		if s := all.Map()[name]; s != nil {
			s.Description = about
		}
	}
	if s := all.Map()["PutTenant"]; s != nil {
		one := s.Properties["registries"].AdditionalProperties
		if one, ok := one.(*huma.Schema); ok && one.Ref != "" {
			s.Properties["registries"].AdditionalProperties = &huma.Schema{AnyOf: []*huma.Schema{one, {Type: "null"}}}
		}
	}
}
