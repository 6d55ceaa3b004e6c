package proxy

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"hearth/internal/pool/upstream"
)

// reserved reports whether a field name belongs to Hearth, in whatever case it is written.
func reserved(name string) bool {
	return len(name) >= 7 && strings.EqualFold(name[:7], "hearth-")
}

// oneHop reports whether a field, in canonical form, is about one connection (RFC 9110, section
// 7.6.1, and what older software sends) or frames the message, which is written anew.
func oneHop(name string) bool {
	switch name {
	case "Connection", "Content-Length", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	}
	return false
}

// listed reports whether Connection fields name another field, which then is about one connection.
func listed(connection []string, name string) bool {
	for _, v := range connection {
		if upstream.HasToken(v, name) {
			return true
		}
	}
	return false
}

// countHeader returns the size of a request's header as HTTP/1.1 would carry it, and its fields.
func countHeader(r *http.Request) (bytes, fields int) {
	bytes = len(r.Method) + len(r.RequestURI) + len(" ") + len(" HTTP/1.1\r\n") + len("Host: \r\n") + len(r.Host) + len("\r\n")
	for name, values := range r.Header {
		for _, v := range values {
			bytes += len(name) + len(v) + len(": \r\n")
		}
		fields += len(values)
	}
	return bytes, fields
}

// forwardHeader writes the client's fields that a function may see. Reserved fields go first, and
// so no Connection field can protect or remove them.
func forwardHeader(c *upstream.Conn, h http.Header, peerTrusted bool) {
	connection := h["Connection"]
	for name, values := range h {
		if reserved(name) || oneHop(name) || name == "Expect" {
			continue
		}
		if name[0] == 'X' && (strings.HasPrefix(name, "X-Forwarded-") || name == "X-Real-Ip" && !peerTrusted) || name == "Forwarded" {
			continue
		}
		if connection != nil && listed(connection, name) {
			continue
		}
		for _, v := range values {
			c.Field(name, v)
		}
	}
	if listed(h["Te"], "trailers") {
		c.Field("Te", "trailers")
	}
}

// copyHeader gives the client the instance's fields that it may see.
func copyHeader(dst http.Header, src upstream.Header) {
	values := make([]string, len(src)) // one for all, as net/textproto does
	var connection []string
	for i := range src {
		if src[i].Name == "Connection" {
			connection = append(connection, src[i].Value)
		}
	}
	for i := range src {
		name := src[i].Name
		if reserved(name) || oneHop(name) || connection != nil && listed(connection, name) {
			continue
		}
		values[i] = src[i].Value
		if before, ok := dst[name]; ok {
			dst[name] = append(before, src[i].Value)
		} else {
			dst[name] = values[i : i+1 : i+1]
		}
	}
}

// trailerAllowed reports whether a field may stand in a trailer and is not Hearth's.
func trailerAllowed(name string) bool {
	return httpguts.ValidTrailerHeader(name) && !reserved(name) && !oneHop(name)
}

// upgradeOf returns the protocol that a request asks to change to, "" if none.
func upgradeOf(r *http.Request) string {
	v := r.Header["Upgrade"]
	if len(v) != 1 || r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.Body != http.NoBody || !listed(r.Header["Connection"], "upgrade") {
		return ""
	}
	// Another HTTP inside the connection would pass by every check of this one.
	if v[0] == "" || strings.Contains(strings.ToLower(v[0]), "h2c") || strings.Contains(strings.ToLower(v[0]), "http/") {
		return ""
	}
	return v[0]
}
