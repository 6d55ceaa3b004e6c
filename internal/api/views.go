package api

import (
	"encoding/json"
	"time"

	"hearth"
	"hearth/internal/store"
)

// The objects that the API answers with. Every one carries its name. The tags are what
// /openapi.json says of them.

type tenantView struct {
	Name       string                  `json:"name" doc:"Name of the tenant."`
	Limits     tenantLimitsView        `json:"limits" doc:"The limits in force, defaults filled in."`
	CreatedAt  time.Time               `json:"created_at" doc:"When the tenant was made."`
	Registries map[string]registryView `json:"registries,omitzero" doc:"Its npm registries by scope; absent in lists."`
	UpdatedAt  time.Time               `json:"updated_at" doc:"When it was last written."`
}

type tenantLimitsView struct {
	MemoryMiB    int     `json:"memory_mib" doc:"The most memory that one of the tenant's containers may set, in MiB."`
	CPUs         float64 `json:"cpus" doc:"The most processors that one of the tenant's containers may set."`
	MaxInstances int     `json:"max_instances" doc:"Instances of all the tenant's containers together."`
}

type containerView struct {
	Name      string              `json:"name" doc:"Name of the container."`
	Tenant    string              `json:"tenant" doc:"Tenant that owns it."`
	Isolation string              `json:"isolation" doc:"OCI runtime that runs its instances."`
	Egress    string              `json:"egress" doc:"Where its instances may connect to; none: nowhere."`
	Limits    containerLimitsView `json:"limits" doc:"The limits in force: defaults filled in, cut to the tenant's."`
	CreatedAt time.Time           `json:"created_at" doc:"When the container was made."`
	UpdatedAt time.Time           `json:"updated_at" doc:"When it was last written."`
}

type containerLimitsView struct {
	MemoryMiB    int     `json:"memory_mib" doc:"Memory of an instance, in MiB."`
	CPUs         float64 `json:"cpus" doc:"Processors of an instance."`
	Pids         int     `json:"pids" doc:"Processes and threads of an instance."`
	TmpMiB       int     `json:"tmp_mib" doc:"Size of /tmp of an instance, in MiB."`
	MaxInstances int     `json:"max_instances" doc:"Instances of the container."`
	Concurrency  int     `json:"concurrency" doc:"Requests in an instance at once."`
}

type functionView struct {
	Name      string          `json:"name" doc:"Name of the function."`
	Tenant    string          `json:"tenant" doc:"Tenant that owns it."`
	Container string          `json:"container" doc:"Container that it runs in."`
	Version   int             `json:"version" doc:"Number of the newest version."`
	Active    *int            `json:"active" doc:"Number of the version that serves; null while none does."`
	Status    hearth.Status   `json:"status" enum:"building,ready,failed" doc:"Where the newest version stands. It becomes active when it is ready; until then the old one serves."`
	URL       string          `json:"url" format:"uri" doc:"Where the function is called."`
	Packages  []string        `json:"packages,omitzero" nullable:"false" doc:"Packages of the newest version, name@version, its dependencies' dependencies too; empty until they are settled, absent in lists."`
	Config    json.RawMessage `json:"config" doc:"The config of the newest version."`
	Runtime   string          `json:"runtime" doc:"Node.js line that it runs on."`
	Entry     string          `json:"entry" doc:"File that it begins with."`
	Model     *hearth.Model   `json:"model" doc:"Shape of what it exports, as asked for or else as found; null until it is known."`
	TimeoutMS int             `json:"timeout_ms" doc:"Time limit of a request, in milliseconds."`
	Auth      string          `json:"auth" doc:"Who may call it; none: everybody."`
	Secrets   []string        `json:"secrets,omitzero" nullable:"false" doc:"Names of its secrets, never values; absent in lists."`
	CreatedAt time.Time       `json:"created_at" doc:"When the function was made."`
	UpdatedAt time.Time       `json:"updated_at" doc:"When it was last written."`
	Progress  *progressView   `json:"progress,omitempty" doc:"How far the newest version is; absent when it is ready or failed, and in lists."`
	Error     *failureView    `json:"error,omitempty" doc:"Why the newest version failed; absent otherwise."`
}

type failureView struct {
	Reason  string `json:"reason" doc:"dependencies, syntax, load, shape, exit, timeout, oom or platform."`
	Message string `json:"message" doc:"What npm or Node.js said."`
	Stack   string `json:"stack,omitempty" doc:"Where in the code."`
}

type versionView struct {
	Name      string          `json:"name" doc:"Name of the function."`
	Tenant    string          `json:"tenant" doc:"Tenant that owns it."`
	Container string          `json:"container" doc:"Container that it runs in."`
	Version   int             `json:"version" doc:"Number of the version."`
	Active    bool            `json:"active" doc:"Whether it is the one that serves."`
	Status    hearth.Status   `json:"status" enum:"building,ready,failed" doc:"Where it stands; ready and failed are final."`
	Config    json.RawMessage `json:"config" doc:"Its config."`
	Runtime   string          `json:"runtime" doc:"Node.js line that it runs on."`
	Entry     string          `json:"entry" doc:"File that it begins with."`
	Model     *hearth.Model   `json:"model" doc:"Shape of what it exports, as asked for or else as found; null until it is known."`
	TimeoutMS int             `json:"timeout_ms" doc:"Time limit of a request, in milliseconds."`
	Auth      string          `json:"auth" doc:"Who may call it; none: everybody."`
	CreatedAt time.Time       `json:"created_at" doc:"When it was deployed."`
	SettledAt *time.Time      `json:"settled_at" doc:"When it became ready or failed; null while it is building."`
	Progress  *progressView   `json:"progress,omitempty" doc:"How far it is; absent when it is ready or failed."`
	Error     *failureView    `json:"error,omitempty" doc:"Why it failed; absent otherwise."`
}

type secretView struct {
	Name      string    `json:"name" doc:"Name of the secret."`
	UpdatedAt time.Time `json:"updated_at" doc:"When its value was last set."`
}

// list is a page of objects of one kind.
type list[T any] struct {
	Items []T    `json:"items" nullable:"false" doc:"The objects of this page."`
	Next  string `json:"next" doc:"Cursor of the next page; empty on the last one."`
}

func page[S, T any](from []S, next string, view func(S) T) list[T] {
	l := list[T]{Items: make([]T, 0, len(from)), Next: next}
	for _, s := range from {
		l.Items = append(l.Items, view(s))
	}
	return l
}

func viewTenant(t hearth.Tenant) tenantView {
	return tenantView{Name: t.Name, Limits: tenantLimitsView(t.Limits.Effective()), Registries: viewRegistries(t.Registries),
		CreatedAt: t.CreatedAt.UTC(), UpdatedAt: t.UpdatedAt.UTC()}
}

// viewContainer shows a container of a tenant with these limits, on a node with this isolation.
func viewContainer(c hearth.Container, tenant hearth.TenantLimits, isolation string) containerView {
	if c.Isolation != "" {
		isolation = c.Isolation
	}
	return containerView{Name: c.Name, Tenant: c.Tenant, Isolation: isolation, Egress: egressNone,
		Limits:    containerLimitsView(c.Limits.Effective(tenant.Effective())),
		CreatedAt: c.CreatedAt.UTC(), UpdatedAt: c.UpdatedAt.UTC()}
}

func viewFunction(s store.FunctionState, url string) functionView {
	v := functionView{Name: s.Name, Tenant: s.Tenant, Container: s.Container, Version: s.Function.Latest, URL: url,
		Packages: s.Packages, Config: json.RawMessage("{}"), Secrets: s.SecretNames, CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC()}
	if n := s.Function.Active; n > 0 {
		v.Active = &n
	}
	if s.Latest == nil {
		return v
	}
	m := s.Latest.Manifest
	v.Status, v.Runtime, v.Entry, v.TimeoutMS, v.Auth = s.Latest.Status, m.Runtime, m.Entry, m.TimeoutMS, m.Auth
	v.Model, v.Error = viewModel(*s.Latest), viewFailure(s.Latest.Failure)
	if len(m.Config) > 0 {
		v.Config = m.Config
	}
	return v
}

// viewVersion shows a version of a function whose active version has the number active.
func viewVersion(v hearth.Version, active int) versionView {
	m := v.Manifest
	out := versionView{Name: v.Function, Tenant: v.Tenant, Container: v.Container, Version: v.Number, Active: v.Number == active,
		Status: v.Status, Config: m.Config, Runtime: m.Runtime, Entry: m.Entry, Model: viewModel(v), TimeoutMS: m.TimeoutMS,
		Auth: m.Auth, CreatedAt: v.CreatedAt.UTC(), Error: viewFailure(v.Failure)}
	if len(out.Config) == 0 {
		out.Config = json.RawMessage("{}")
	}
	if !v.SettledAt.IsZero() {
		at := v.SettledAt.UTC()
		out.SettledAt = &at
	}
	return out
}

func viewModel(v hearth.Version) *hearth.Model {
	for _, m := range []hearth.Model{v.Manifest.Model, v.Loaded.Model} {
		if m != hearth.ModelAuto {
			return &m
		}
	}
	return nil
}

func viewFailure(f *hearth.Failure) *failureView {
	if f == nil {
		return nil
	}
	return &failureView{Reason: f.Reason, Message: f.Message, Stack: f.Stack}
}

func viewSecret(s store.SecretInfo) secretView {
	return secretView{Name: s.Name, UpdatedAt: s.UpdatedAt.UTC()}
}
