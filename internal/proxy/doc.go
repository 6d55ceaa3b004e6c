// Package proxy is the data plane: a webhook's request in, an instance's answer out.
//
// A warm request runs in one goroutine, the one that net/http gave it: route (route.go), limits,
// a body that fits one buffer, Acquire, one write to the instance, one read, one write to the
// client. A second goroutine exists only while a longer request body is under way (upload.go) or
// a connection was upgraded (upgrade.go); the request waits for it. Nothing here takes a lock that
// all requests share, opens a file or asks a database.
//
// Both sides are hostile. The client's bytes are parsed by net/http and written anew; fields that
// frame a message, belong to one hop or begin with hearth- never pass. The instance's bytes are
// parsed by package upstream and written anew. What cannot be answered truthfully any more, since
// the header is out, ends in an aborted connection and never in an answer that looks complete.
//
// Who is to blame decides the answer. Waiting for the client is 408 and costs the instance nothing;
// waiting for the function is 504 and retires the instance; an instance that ended or spoke nonsense
// is 502; no instance is 503.
//
// It may call the handler through the two interfaces that it declares, and imports no other room but
// problem and upstream.
package proxy
