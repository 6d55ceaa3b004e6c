// Package api is the management API: everything under /v1, its description at /openapi.json and
// /docs. It is stateless; what is durable is in the store, what runs is with the handler.
//
// It promises: every mistake in a request is named by its field, in one RFC 9457 problem; nothing
// unknown is ignored (fields, query parameters, preconditions, encodings); nothing is read, kept or
// answered without a bound from hearth.Limits; a write with an Idempotency-Key is made once.
//
// Every byte of a request is hostile until it is decoded here. Documents are parsed strictly
// (json.go), because two readers who see different things in one document are a hole. Operations are
// declared once (operations.go): the same declaration routes, checks and documents them through huma.
//
// It owns no goroutine beyond a request. It is called by node, and calls the store and, through small
// interfaces declared here, handler, module, the package store on the disk, logs and auth.
package api
