// Package e2e_test holds the built hearth to its promises, from outside: real processes, real runc,
// real HTTP. Most tests share one hearth; those that kill or stop one have their own.
package e2e_test

import (
	"os"
	"sync"
	"testing"

	"hearth/e2e/harness"
)

type M = harness.M

// runDomain is where the shared hearth answers by host name, too.
const runDomain = "fn.test"

var common struct {
	once sync.Once
	node *harness.Node
	stop func() bool
}

// shared is the hearth that tests share, started by the first. A test keeps to tenants of its own,
// named after it.
func shared(t testing.TB) *harness.Node {
	t.Helper()
	harness.Binary(t)
	common.once.Do(func() { common.node, common.stop = harness.Shared("--run-domain", runDomain) })
	if common.node == nil {
		t.Fatal("the shared hearth did not start")
	}
	return common.node.For(t)
}

// clean removes a tenant of the shared hearth that an earlier run of the same test (-count) left,
// for tests that begin with nothing.
func clean(n *harness.Node, tenant string) {
	n.API("DELETE", "/v1/tenants/"+tenant+"?recursive=true", nil)
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, stop := range []func() bool{common.stop, packed.stop} {
		if stop != nil && !stop() {
			code = 1
		}
	}
	os.Exit(code)
}
