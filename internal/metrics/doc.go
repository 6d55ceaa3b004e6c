// Package metrics is the node's Prometheus registry and its health answers.
//
// It owns its registry and no goroutine. Nothing that a tenant chooses (names, paths, methods) is
// ever a label, so the number of series is fixed. The request path's counters and histograms are
// looked up once, in New; a call then costs two atomic additions and one histogram observation.
// It imports no other room: what lives elsewhere is read at scrape time through Sources.
package metrics
