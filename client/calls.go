package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Page says which page of a list; the zero value is the first one, as long as may be.
type Page struct {
	Limit  int    // at most 100
	Cursor string // Next of the page before
}

func (p Page) query() url.Values {
	q := url.Values{}
	if p.Limit != 0 {
		q.Set("limit", strconv.Itoa(p.Limit))
	}
	if p.Cursor != "" {
		q.Set("cursor", p.Cursor)
	}
	return q
}

// List is a page of a list; Next is empty on the last one.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

// Each yields the objects of all pages of a list:
//
//	for t, err := range client.Each(ctx, c.ListTenants) { … }
func Each[T any](ctx context.Context, list func(context.Context, Page) (List[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var p Page
		for {
			l, err := list(ctx, p)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range l.Items {
				if !yield(item, nil) {
					return
				}
			}
			if l.Next == "" || l.Next == p.Cursor {
				return
			}
			p.Cursor = l.Next
		}
	}
}

func recursively(recursive bool) url.Values {
	if !recursive {
		return nil
	}
	return url.Values{"recursive": {"true"}}
}

// PutTenant creates a tenant or replaces its limits.
func (c *Client) PutTenant(ctx context.Context, tenant string, spec TenantSpec, opts ...Option) (t Tenant, err error) {
	t.Meta, err = c.call(ctx, http.MethodPut, path("tenants", tenant), nil, spec, &t, opts...)
	return t, err
}

// GetTenant returns one tenant.
func (c *Client) GetTenant(ctx context.Context, tenant string) (t Tenant, err error) {
	t.Meta, err = c.call(ctx, http.MethodGet, path("tenants", tenant), nil, nil, &t)
	return t, err
}

// ListTenants returns a page of tenants, by name.
func (c *Client) ListTenants(ctx context.Context, p Page) (l List[Tenant], err error) {
	_, err = c.call(ctx, http.MethodGet, path("tenants"), p.query(), nil, &l)
	return l, err
}

// DeleteTenant deletes a tenant; with containers it is a conflict unless recursive.
func (c *Client) DeleteTenant(ctx context.Context, tenant string, recursive bool, opts ...Option) error {
	_, err := c.call(ctx, http.MethodDelete, path("tenants", tenant), recursively(recursive), nil, nil, opts...)
	return err
}

// PutContainer creates a container or replaces its limits and isolation.
func (c *Client) PutContainer(ctx context.Context, tenant, container string, spec ContainerSpec, opts ...Option) (o Container, err error) {
	o.Meta, err = c.call(ctx, http.MethodPut, path("tenants", tenant, "containers", container), nil, spec, &o, opts...)
	return o, err
}

// GetContainer returns one container.
func (c *Client) GetContainer(ctx context.Context, tenant, container string) (o Container, err error) {
	o.Meta, err = c.call(ctx, http.MethodGet, path("tenants", tenant, "containers", container), nil, nil, &o)
	return o, err
}

// ListContainers returns a page of a tenant's containers, by name.
func (c *Client) ListContainers(ctx context.Context, tenant string, p Page) (l List[Container], err error) {
	_, err = c.call(ctx, http.MethodGet, path("tenants", tenant, "containers"), p.query(), nil, &l)
	return l, err
}

// DeleteContainer deletes a container; with functions it is a conflict unless recursive.
func (c *Client) DeleteContainer(ctx context.Context, tenant, container string, recursive bool, opts ...Option) error {
	_, err := c.call(ctx, http.MethodDelete, path("tenants", tenant, "containers", container), recursively(recursive), nil, nil, opts...)
	return err
}

func functionPath(tenant, container, function string, more ...string) string {
	return path(append([]string{"tenants", tenant, "containers", container, "functions", function}, more...)...)
}

// PutFunction creates a function or deploys a new version. With wait > 0 (at most 5 minutes) the
// answer is held until the version is ready or failed; a version that failed is no error of the call,
// see Function.Status.
func (c *Client) PutFunction(ctx context.Context, tenant, container, function string, spec FunctionSpec, wait time.Duration, opts ...Option) (f Function, err error) {
	var q url.Values
	if wait > 0 {
		q = url.Values{"wait": {wait.String()}}
	}
	f.Meta, err = c.call(ctx, http.MethodPut, functionPath(tenant, container, function), q, spec, &f, opts...)
	return f, err
}

// GetFunction returns one function.
func (c *Client) GetFunction(ctx context.Context, tenant, container, function string) (f Function, err error) {
	f.Meta, err = c.call(ctx, http.MethodGet, functionPath(tenant, container, function), nil, nil, &f)
	return f, err
}

// ListFunctions returns a page of a container's functions, by name.
func (c *Client) ListFunctions(ctx context.Context, tenant, container string, p Page) (l List[Function], err error) {
	_, err = c.call(ctx, http.MethodGet, path("tenants", tenant, "containers", container, "functions"), p.query(), nil, &l)
	return l, err
}

// DeleteFunction deletes a function with its versions, secrets and log.
func (c *Client) DeleteFunction(ctx context.Context, tenant, container, function string, opts ...Option) error {
	_, err := c.call(ctx, http.MethodDelete, functionPath(tenant, container, function), nil, nil, nil, opts...)
	return err
}

// ListVersions returns a page of a function's versions, the newest first.
func (c *Client) ListVersions(ctx context.Context, tenant, container, function string, p Page) (l List[Version], err error) {
	_, err = c.call(ctx, http.MethodGet, functionPath(tenant, container, function, "versions"), p.query(), nil, &l)
	return l, err
}

// Rollback activates a kept version that is ready.
func (c *Client) Rollback(ctx context.Context, tenant, container, function string, version int, opts ...Option) (f Function, err error) {
	body := struct {
		Version int `json:"version"`
	}{version}
	f.Meta, err = c.call(ctx, http.MethodPost, functionPath(tenant, container, function, "rollback"), nil, body, &f, opts...)
	return f, err
}

// ListSecrets returns the secrets of a function, without their values; there is one page.
func (c *Client) ListSecrets(ctx context.Context, tenant, container, function string) ([]Secret, error) {
	var l List[Secret]
	_, err := c.call(ctx, http.MethodGet, functionPath(tenant, container, function, "secrets"), nil, nil, &l)
	return l.Items, err
}

// PutSecret sets a secret.
func (c *Client) PutSecret(ctx context.Context, tenant, container, function, name, value string, opts ...Option) (s Secret, err error) {
	body := struct {
		Value string `json:"value"`
	}{value}
	s.Meta, err = c.call(ctx, http.MethodPut, functionPath(tenant, container, function, "secrets", name), nil, body, &s, opts...)
	return s, err
}

// DeleteSecret removes a secret.
func (c *Client) DeleteSecret(ctx context.Context, tenant, container, function, name string, opts ...Option) error {
	_, err := c.call(ctx, http.MethodDelete, functionPath(tenant, container, function, "secrets", name), nil, nil, nil, opts...)
	return err
}

// ListNodes returns the nodes of the installation.
func (c *Client) ListNodes(ctx context.Context, p Page) (l List[Node], err error) {
	_, err = c.call(ctx, http.MethodGet, path("nodes"), p.query(), nil, &l)
	return l, err
}
