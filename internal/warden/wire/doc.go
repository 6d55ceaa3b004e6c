// Package wire is what passes between the two processes of a node: typed, bounded messages over one
// SOCK_SEQPACKET socket pair, with descriptors beside them.
//
//	node process                         warden
//	     ←  hello {config, names of files} + descriptors     (once, first)
//	request {seq, start|limit|…}  →
//	     ←  reply {seq, …|error} + descriptors
//	     ←  exit {id, …}                                     (whenever an instance ends)
//
// A message is one packet of strict JSON, at most MaxMessage bytes. It names instances by id and
// never names a path. The warden treats what it reads here as hostile, since the node process may be
// broken into: unknown fields, unknown kinds and unasked descriptors end the connection, and with it
// the node process. Silence: the end of the socket ends either side.
package wire
