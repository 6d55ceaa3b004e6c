package api

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"hearth"
	"hearth/internal/logs"
	"hearth/internal/module/plan"
	"hearth/internal/store"
)

// Store is the durable state; *store.Store is one.
type Store interface {
	PutTenant(ctx context.Context, t hearth.Tenant, pre store.Precondition, registries ...store.RegistryChange) (hearth.Tenant, bool, error)
	GetTenant(ctx context.Context, name string) (hearth.Tenant, error)
	ListTenants(ctx context.Context, cursor string, limit int) ([]hearth.Tenant, string, error)
	DeleteTenant(ctx context.Context, name string, recursive bool, pre store.Precondition) error

	PutContainer(ctx context.Context, tenant string, c hearth.Container, pre store.Precondition) (hearth.Container, bool, error)
	GetContainer(ctx context.Context, tenant, name string) (hearth.Container, error)
	ListContainers(ctx context.Context, tenant, cursor string, limit int) ([]hearth.Container, string, error)
	DeleteContainer(ctx context.Context, tenant, name string, recursive bool, pre store.Precondition) error

	PutFunction(ctx context.Context, p store.PutFunction) (store.FunctionState, bool, error)
	GetFunction(ctx context.Context, tenant, container, name string) (store.FunctionState, error)
	ListFunctions(ctx context.Context, tenant, container, cursor string, limit int) ([]store.FunctionState, string, error)
	DeleteFunction(ctx context.Context, tenant, container, name string, pre store.Precondition) error
	ListVersions(ctx context.Context, tenant, container, function, cursor string, limit int) ([]hearth.Version, string, error)
	Rollback(ctx context.Context, tenant, container, function string, number int, pre store.Precondition) (store.FunctionState, error)

	ListSecrets(ctx context.Context, tenant, container, function string) ([]store.SecretInfo, error)
	PutSecret(ctx context.Context, tenant, container, function, name, value string) (store.SecretInfo, bool, error)
	DeleteSecret(ctx context.Context, tenant, container, function, name string) error

	GetVersion(ctx context.Context, tenant, container, function string, number int) (hearth.Version, error)
	Tree(ctx context.Context, key string) (*plan.Tree, error)
	PackageStore

	Begin(ctx context.Context, scope, key, fingerprint string) (*store.Answer, store.Claim, error)
	Finish(ctx context.Context, c store.Claim, a store.Answer) error
	Abandon(ctx context.Context, c store.Claim) error
}

// Deployer brings versions to ready or failed; the handler is one.
type Deployer interface {
	// Settled returns when the version is ready or failed, or with the error of ctx.
	Settled(ctx context.Context, tenant, container, function string, version int) error
}

// Logs is what functions printed; *logs.Logs is one.
type Logs interface {
	Read(ctx context.Context, functionID string, since string, limit int) ([]logs.Entry, string, error)
	Follow(ctx context.Context, functionID, since string) iter.Seq2[logs.Entry, error]
}

// Authorizer checks who calls; its error is CodeUnauthorized or CodeForbidden.
type Authorizer interface {
	Check(r *http.Request) error
}

// Node is one machine of the installation.
type Node struct {
	Name      string   `json:"name" doc:"Name of the node."`
	Version   string   `json:"version" doc:"Version of Hearth that it runs."`
	Runtimes  []string `json:"runtimes" nullable:"false" doc:"Node.js lines that it runs functions on."`
	Isolation []string `json:"isolation" nullable:"false" doc:"OCI runtimes that it offers; the first is the default."`
	Pool      Pool     `json:"pool" doc:"Its instances that wait for a container."`
}

// Pool counts the instances that wait.
type Pool struct {
	Size  int `json:"size" doc:"How many are to be kept ready."`
	Ready int `json:"ready" doc:"How many are ready now."`
}

// Config is what the API is made of. All fields but CheckHost and CheckRegistry are needed.
type Config struct {
	Store    Store
	Deployer Deployer
	Settler  Settler
	Verifier Verifier
	Logs     Logs
	Auth     Authorizer
	Log      *slog.Logger

	Isolation []string    // what this node offers; the first is the default
	Node      func() Node // called for each GET /v1/nodes
	// URL makes the address of a function, for whoever sent this request.
	URL func(r *http.Request, tenant, container, function string) string
	// CheckHost, if set, refuses requests for other hosts with its error (auth.Hosts).
	CheckHost func(*http.Request) error
	// CheckRegistry, if set, says what is wrong with a registry of a tenant, in words that its scope
	// stands before, and without its token.
	CheckRegistry func(store.RegistryChange) error
}

type api struct {
	Config
	huma      huma.API
	mux       *http.ServeMux
	allowed   map[string][]string // path pattern → methods
	followers chan struct{}       // holds a token for each follower of a log or a deploy
	verifying chan struct{}       // holds a token while packages are verified
	comment   time.Duration       // between two signs of life on a stream of events
	idle      time.Duration       // without a byte of a body
}

// maxFollowers bounds the logs and deploys that are followed at once.
const maxFollowers = 256

// New returns the handler of /v1, /openapi.json and /docs. Everything else is its 404.
func New(c Config) http.Handler { return build(c) }

func build(c Config) *api {
	a := &api{Config: c, mux: http.NewServeMux(), allowed: map[string][]string{}, followers: make(chan struct{}, maxFollowers),
		verifying: make(chan struct{}, 1),
		comment:   15 * time.Second, idle: hearth.LimitBodyIdle.Duration()}
	a.huma = huma.NewAPI(huma.Config{OpenAPI: describe()}, humago.NewAdapter(a.mux, ""))
	for _, op := range a.operations() {
		a.register(op)
	}
	a.serveDescription()
	for path, methods := range a.allowed {
		a.mux.HandleFunc(path, a.refuseMethod(methods))
	}
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { a.fail(w, r, errNoPath) })
	return a
}

var errNoPath = hearth.Errorf(hearth.CodeNotFound, "There is nothing at this path; /openapi.json lists what there is.")

func (a *api) refuseMethod(methods []string) http.HandlerFunc {
	if slices.Contains(methods, http.MethodGet) {
		methods = append(methods, http.MethodHead)
	}
	slices.Sort(methods)
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Allow"] = methods
		a.fail(w, r, hearth.Errorf(hearth.CodeMethodNotAllowed, "This path does not take %.20q.", r.Method))
	}
}
