package store

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"gocloud.dev/secrets"

	"hearth"
)

var errTodo = errors.New("not built yet")

// Config says where the state lives.
type Config struct {
	Database string          // "sqlite:PATH"
	Blobs    string          // "file:DIRECTORY"
	Keeper   *secrets.Keeper // seals secrets; it is called within a transaction, so its key must be local
	Log      *slog.Logger

	// OnChange is called after each commit that changes a route, before the write is acknowledged, by
	// the writer's goroutine; container is "" when all containers of the tenant may be concerned.
	// Calls for one container may overlap and come in another order than the commits did, so the
	// callee reads the routes again rather than believe an order. May be nil.
	OnChange func(tenant, container string)
}

// Store is the durable state. It is safe for concurrent use.
type Store struct{}

// Open opens the database and the blob store, makes them if they are absent, and brings the schema
// up to date. It refuses a schema newer than this binary, and a keeper that cannot open what was
// sealed before.
func Open(ctx context.Context, c Config) (*Store, error) { return nil, errTodo }

// Run sweeps away blobs and idempotency keys that nothing needs, until ctx is done.
func (s *Store) Run(ctx context.Context) error { return errTodo }

// Close waits for queries in flight and closes everything.
func (s *Store) Close() error { return errTodo }

// Precondition is what must hold for a write to be made; the zero value asks for nothing.
type Precondition struct {
	IfMatch     string // "*" (it exists) or a list of ETags, one of which it has now; "" asks nothing
	IfNoneMatch bool   // If-None-Match: *, the write may only create
}

// ETag is the entity tag, quotes included, of the object with this id at this revision.
func ETag(id string, revision int64) string { return "" }

// PutTenant creates the tenant or replaces its limits. Only Name and Limits are read. The same
// document again changes nothing. Errors: invalid, precondition_failed, conflict (too many tenants).
func (s *Store) PutTenant(ctx context.Context, t hearth.Tenant, pre Precondition) (hearth.Tenant, bool, error) {
	return hearth.Tenant{}, false, errTodo
}

// GetTenant returns one tenant, or not_found.
func (s *Store) GetTenant(ctx context.Context, name string) (hearth.Tenant, error) {
	return hearth.Tenant{}, errTodo
}

// ListTenants returns a page of tenants by name. Cursor "" is the first page and next "" says that
// this was the last; limit 0 is the most, hearth.LimitListItems. All lists work this way.
func (s *Store) ListTenants(ctx context.Context, cursor string, limit int) (page []hearth.Tenant, next string, err error) {
	return nil, "", errTodo
}

// DeleteTenant deletes a tenant; with containers it is a conflict unless recursive.
func (s *Store) DeleteTenant(ctx context.Context, name string, recursive bool, pre Precondition) error {
	return errTodo
}

// PutContainer creates the container c.Name of tenant or replaces its limits and isolation. Only
// Name, Isolation and Limits are read. Limits above the tenant's are invalid.
func (s *Store) PutContainer(ctx context.Context, tenant string, c hearth.Container, pre Precondition) (hearth.Container, bool, error) {
	return hearth.Container{}, false, errTodo
}

// GetContainer returns one container, or not_found.
func (s *Store) GetContainer(ctx context.Context, tenant, name string) (hearth.Container, error) {
	return hearth.Container{}, errTodo
}

// ListContainers returns a page of a tenant's containers by name.
func (s *Store) ListContainers(ctx context.Context, tenant, cursor string, limit int) (page []hearth.Container, next string, err error) {
	return nil, "", errTodo
}

// DeleteContainer deletes a container; with functions it is a conflict unless recursive.
func (s *Store) DeleteContainer(ctx context.Context, tenant, name string, recursive bool, pre Precondition) error {
	return errTodo
}

// PutFunction is a whole document of a function, as PUT carries it.
type PutFunction struct {
	Tenant, Container, Name string

	Manifest     hearth.Manifest
	Files        []hearth.File
	Secrets      map[string]*string // merged: absent keeps, nil removes
	Precondition Precondition
}

// FunctionState is a function with the versions that matter.
type FunctionState struct {
	hearth.Function
	Active      *hearth.Version // the version that serves; nil while none is ready
	Latest      *hearth.Version // the newest version, whatever became of it
	SecretNames []string        // sorted; nil in lists
}

// PutFunction creates the function or gives it a new version, in state building. A document equal
// to the newest version's makes none; if that one is ready and not active, it becomes active again.
// A failed version is made anew when its secrets changed since or the platform was at fault.
// The bool says that the function was created. Errors: invalid, not_found (the container),
// precondition_failed, conflict (too many functions), no_space.
func (s *Store) PutFunction(ctx context.Context, p PutFunction) (FunctionState, bool, error) {
	return FunctionState{}, false, errTodo
}

// GetFunction returns one function, or not_found.
func (s *Store) GetFunction(ctx context.Context, tenant, container, name string) (FunctionState, error) {
	return FunctionState{}, errTodo
}

// ListFunctions returns a page of a container's functions by name, without the names of secrets.
func (s *Store) ListFunctions(ctx context.Context, tenant, container, cursor string, limit int) (page []FunctionState, next string, err error) {
	return nil, "", errTodo
}

// DeleteFunction deletes a function with its versions and secrets.
func (s *Store) DeleteFunction(ctx context.Context, tenant, container, name string, pre Precondition) error {
	return errTodo
}

// ListVersions returns a page of a function's versions, the newest first.
func (s *Store) ListVersions(ctx context.Context, tenant, container, function, cursor string, limit int) (page []hearth.Version, next string, err error) {
	return nil, "", errTodo
}

// GetVersion returns one version, or not_found.
func (s *Store) GetVersion(ctx context.Context, tenant, container, function string, number int) (hearth.Version, error) {
	return hearth.Version{}, errTodo
}

// Rollback activates a kept ready version, older or newer. Versions that are still building will not
// take over by themselves any more. A version that is not ready is a conflict, an unknown one not_found.
func (s *Store) Rollback(ctx context.Context, tenant, container, function string, number int, pre Precondition) (FunctionState, error) {
	return FunctionState{}, errTodo
}

// Building returns versions of the whole node that wait for their trial, the oldest first, at most 1000.
func (s *Store) Building(ctx context.Context) ([]hearth.Version, error) { return nil, errTodo }

// Settle writes down what became of a building version: v.Status ready with v.Loaded, or failed with
// v.Failure. A ready version becomes active unless a newer one is, or a rollback came after it was
// made. Settling a version that is settled already changes nothing. If v.FunctionID is set, the
// function must still be that one. A version that is gone is not_found.
func (s *Store) Settle(ctx context.Context, v hearth.Version) error { return errTodo }

// Code returns the files of the archive with this digest, checked against it. A blob that is absent
// is not_found; one that is damaged is an error and its bytes go nowhere.
func (s *Store) Code(ctx context.Context, digest string) ([]hearth.File, error) { return nil, errTodo }

// Routes returns the routes of a container, of a tenant if container is "", of the whole node if
// tenant is "" too.
func (s *Store) Routes(ctx context.Context, tenant, container string) ([]hearth.Route, error) {
	return nil, errTodo
}

// SecretInfo is what may be told of a secret.
type SecretInfo struct {
	Name      string
	UpdatedAt time.Time
}

// ListSecrets returns the secrets of a function by name, without values. There are at most
// hearth.LimitSecrets, so there are no pages.
func (s *Store) ListSecrets(ctx context.Context, tenant, container, function string) ([]SecretInfo, error) {
	return nil, errTodo
}

// PutSecret sets a secret; the bool says that it is new. The same value again changes nothing.
func (s *Store) PutSecret(ctx context.Context, tenant, container, function, name, value string) (SecretInfo, bool, error) {
	return SecretInfo{}, false, errTodo
}

// DeleteSecret removes a secret, or not_found.
func (s *Store) DeleteSecret(ctx context.Context, tenant, container, function, name string) error {
	return errTodo
}

// SecretValues returns the values of a function's secrets, for the instance that runs it and nothing
// else, with their revision.
func (s *Store) SecretValues(ctx context.Context, tenant, container, function string) (map[string]string, int64, error) {
	return nil, 0, errTodo
}

// Answer is the answer to a write, kept so that a repeated Idempotency-Key gets the same one.
type Answer struct {
	Status int
	Header map[string]string
	Body   []byte
}

// Claim is the right to carry out the write of one Idempotency-Key.
type Claim struct{ scope, key, token string }

// Begin claims a key. It returns the kept answer if the write was made before (Answer not nil), or
// the claim with which to make it. Scope keeps the keys of tenants and tokens apart; fingerprint
// stands for the request (method, path, body). Errors: invalid (reason idempotency_key_reused) for
// the same key with another request, conflict (reason idempotency_key_in_progress) while the first is
// still being made.
func (s *Store) Begin(ctx context.Context, scope, key, fingerprint string) (*Answer, Claim, error) {
	return nil, Claim{}, errTodo
}

// Finish keeps the answer for 24 hours.
func (s *Store) Finish(ctx context.Context, c Claim, a Answer) error { return errTodo }

// Abandon gives the key back unused, for a write that failed and may be tried again.
func (s *Store) Abandon(ctx context.Context, c Claim) error { return errTodo }
