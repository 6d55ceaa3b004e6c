// Package logs captures, keeps and follows what functions print, and one record a call.
//
// It owns the read ends of every instance's output pipes, one goroutine for each pipe (started by
// Attach or Adopt, ended by the pipe's end or by Run's context), one writer goroutine (Run) and
// everything below Config.Dir. It never blocks a function: pipes are always drained, and what does
// not fit is counted and shows up as an entry of stream dropped, with its number of lines and bytes.
//
// # Whose line it is
//
// Everything that comes out of an instance is the tenant's speech. Only the pipe is believed: it
// tells the instance, and Assign told once for all which container the instance belongs to. The
// frame around a line (function, version, request, level) is a hint. It is followed only if it is
// well formed and names a function which that container has now; then the entry goes to that
// function's log. Every other line, with a frame or without, goes to the function that the instance
// served last (the last that a good frame or Serving named), without a request id. So a tenant can
// at most confuse the logs of functions in one container, which share memory anyway. A line for
// which no function is known is counted (Stats.Unattributed), and what an instance prints before
// Assign is thrown away: it is the pool's.
//
// # Bounds
//
// A container has a token bucket (LimitLogRate) for what its instances print and each function one
// for its call records; a line is cut into pieces of LimitLogLine; memory that waits for the disk is
// bounded for each function and for the node; a function keeps LimitLogFunction on disk and the node
// Config.NodeBytes. When the node's cap is reached the tenant that holds the most loses its oldest
// segment first, so that one tenant's flood cannot push out another's lines.
//
// # What lasts
//
// Lines are written in batches, at most 50 ms after they came, and never fsynced: a kill of the
// process loses what came in those 50 ms, a loss of power what the kernel had not written back (some
// 30 s by default on Linux, less if the operator tunes vm.dirty_expire_centisecs); see segment.go
// for how a torn tail or a flipped bit is found. A full disk drops lines, counted, until there is
// room; calls go on.
//
// Lock order: instance.mu, then container.mu, Logs.mu or stream.mu; stream.disk, then stream.mu.
// Logs.mu and stream.mu are never held together. Only stream.disk is held over a system call that
// may take its time, and Record and the pipes never take it.
//
// Logs is called by node (life), pool and handler (instances), proxy (Record) and api (reading); it
// calls no other room. The tenant's code behind the pipes and the clients who hand in cursors are
// hostile; the folder is the node's own, so its files may be torn or damaged but not forged.
package logs
