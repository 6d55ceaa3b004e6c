// Package pool keeps generic instances ready: started, exercised and unassigned, so that a cold
// request finds a warm process. It knows nothing of tenants; who may take is the handler's business.
//
// One loop (Run) starts and ends instances. It refills each runtime's shelf to its size, at most
// Parallel starts at a time, and waits with back-off and jitter after a start that failed. The
// default runtime's shelf has Size places; the shelf of another runtime has none until somebody
// asks for it, then one. A taker who finds the shelf empty waits in line and adds one to what the
// loop starts; what is started while somebody waits is handed over without being exercised, since
// then the wait would be longer than what exercise saves.
//
// Exercise has two parts. The first makes an instance fit for its shelf. The second loads what only
// some functions need and makes the heap small; it takes as long as a refill, so it is done on the
// shelf, one instance at a time, once nobody has asked for one for a while.
//
// Instances leave a shelf oldest first, with one compare-and-set (instance.Assign, by the taker).
// One that dies on the shelf is removed and replaced. The pool also ends instances, taken or not:
// Destroy hands them to the loop, and Run returns when the last one is gone.
//
// The handler calls Take, Destroy, Exited and Adopt; the pool calls the warden through Starter. Its
// one mutex is held over a few lines and never over a call, and is a leaf in the lock order.
package pool
