package harness

import (
	"fmt"
	"testing"
)

// Shared starts a hearth that no test owns. Tests reach it through For; TestMain ends it with stop,
// which reports whether it ended in order and left nothing.
func Shared(flags ...string) (n *Node, stop func() bool) {
	o := &owner{}
	return Start(o, flags...), o.end
}

// For is the same hearth for t: what fails from now on fails t. Only the owner may stop or kill it.
func (n *Node) For(t testing.TB) *Node {
	c := *n
	c.t = t
	return &c
}

// owner stands in for a test where there is none.
type owner struct {
	testing.TB // nil: what is not below must not be called
	cleanups   []func()
	failed     bool
}

func (o *owner) Helper()           {}
func (o *owner) Failed() bool      { return o.failed }
func (o *owner) Cleanup(f func())  { o.cleanups = append(o.cleanups, f) }
func (o *owner) Log(args ...any)   { fmt.Println(args...) }
func (o *owner) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func (o *owner) Logf(format string, args ...any)   { fmt.Printf(format+"\n", args...) }
func (o *owner) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (o *owner) Errorf(format string, args ...any) {
	o.failed = true
	o.Logf(format, args...)
}

func (o *owner) end() bool {
	for i := len(o.cleanups) - 1; i >= 0; i-- {
		o.cleanups[i]()
	}
	return !o.failed
}
