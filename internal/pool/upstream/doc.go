// Package upstream is the client side of HTTP/1.1 to one instance, over its unix socket. It exists
// because what answers there is a tenant's code: everything that it sends is parsed strictly,
// bounded, and turned into values; no byte of it is ever passed on as framing.
//
// A Pool owns the connections of one instance and dies with it; a connection is never used for two
// instances. A Conn carries one exchange at a time in the caller's goroutine: there is no goroutine,
// timer or context for a connection. Deadlines are absolute and set by the caller.
//
//	c, err := pool.Get(ctx)            // an idle connection that is still silent, or a new one
//	c.SetDeadline(t)
//	c.Start("POST", "/hook")           // request line, then fields
//	c.Field("Host", "example.com")
//	c.EndHeader(int64(len(body)))      // framing: a length, or -1 for chunks
//	c.Write(body); c.End(nil)
//	res, err := c.ReadResponse(nil)
//	for { p, err := c.Next(); … }      // or io.ReadAll(res.Body)
//	c.Release()                        // back into the pool, or closed
//
// What is refused (ErrMalformed): bare CR or LF, folded lines, bytes that no field may hold, a
// Content-Length that is not plain digits or comes twice, Content-Length beside Transfer-Encoding,
// any coding but chunked, chunk extensions, more than 64 KiB or 128 fields of header or trailer,
// more than five interim answers, a 101 that nobody asked for, HTTP/0.9 and HTTP/2 bytes.
//
// Queue poisoning: a connection goes back only when its exchange is over on both sides and nothing
// is buffered, and it is used again only if its socket is still silent (poll finds neither bytes nor
// an end). Sockets are read with read(2), never recvmsg, so descriptors that the other side attaches
// are dropped by the kernel.
package upstream
