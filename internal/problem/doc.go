// Package problem is the only place that turns a hearth.Error into HTTP: a status, the headers that
// belong to it and an RFC 9457 document. It owns nothing and keeps nothing.
//
// An error without a code is a bug of ours: the reader gets the request id and a bland sentence,
// and the caller of Write logs the full text.
package problem
