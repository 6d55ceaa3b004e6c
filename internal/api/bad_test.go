package api

import (
	"fmt"
	"strings"
	"testing"
)

// bad is a request that must be refused, with exactly what the refusal says.
type bad struct {
	name   string
	method string
	target string
	header []string
	body   string

	status int
	code   string
	field  string // of the first error; "" for a problem without fields
}

func put1(name, target, body string, status int, code, field string) bad {
	return bad{name: name, method: "PUT", target: target, body: body, status: status, code: code, field: field}
}

func fn(name, body, field string) bad { return put1(name, paid, body, 422, "invalid", field) }

func badRequests() []bad {
	long := strings.Repeat("a", 64)
	cases := []bad{
		// Who calls.
		{"no token", "GET", "/v1/tenants", []string{"Authorization:"}, "", 401, "unauthorized", ""},
		{"wrong token", "GET", "/v1/tenants", []string{"Authorization: Bearer " + token + "x"}, "", 401, "unauthorized", ""},
		{"basic", "GET", "/v1/tenants", []string{"Authorization: Basic " + token}, "", 401, "unauthorized", ""},
		{"token in the query", "GET", "/v1/tenants?access_token=" + token, []string{"Authorization:"}, "", 401, "unauthorized", ""},
		{"token twice", "GET", "/v1/tenants", []string{"Authorization: Bearer " + token, "Authorization: Bearer " + token}, "", 401, "unauthorized", ""},
		{"huge token", "GET", "/v1/tenants", []string{"Authorization: Bearer " + strings.Repeat("a", 10_000)}, "", 401, "unauthorized", ""},
		{"no token, unknown path", "GET", "/v1/nothing", []string{"Authorization:"}, "", 401, "unauthorized", ""},
		{"no token, bad body", "PUT", acme, []string{"Authorization:"}, "{", 401, "unauthorized", ""},

		// Where.
		{"unknown path", "GET", "/v1/nothing", nil, "", 404, "not_found", ""},
		{"root", "GET", "/", nil, "", 404, "not_found", ""},
		{"v1 itself", "GET", "/v1", nil, "", 404, "not_found", ""},
		{"slash at the end", "GET", "/v1/tenants/", nil, "", 404, "not_found", ""},
		{"double slash", "GET", "/v1//tenants", nil, "", 404, "not_found", ""},
		{"dot", "GET", "/v1/./tenants", nil, "", 404, "not_found", ""},
		{"dots", "GET", "/v1/tenants/../tenants", nil, "", 404, "not_found", ""},
		{"encoded dots", "GET", "/v1/tenants/%2e%2e/tenants", nil, "", 404, "not_found", ""},
		{"encoded slash and dots", "GET", "/v1/tenants/a%2F..%2Fb", nil, "", 404, "not_found", ""},
		{"encoded slash", "GET", "/v1/tenants/a%2Fb", nil, "", 422, "invalid", "path.tenant"},
		{"encoded slash as path", "GET", "/v1%2Ftenants", nil, "", 404, "not_found", ""},
		{"encoded slash as path, no token", "GET", "/v1%2Ftenants", []string{"Authorization:"}, "", 401, "unauthorized", ""},
		{"upper case path", "GET", "/V1/tenants", nil, "", 404, "not_found", ""},
		{"too long a URI", "GET", "/v1/tenants?cursor=" + strings.Repeat("a", 17<<10), nil, "", 414, "uri_too_long", ""},
		{"unknown tenant", "GET", "/v1/tenants/nobody", nil, "", 404, "not_found", ""},
		{"unknown container", "GET", acme + "/containers/nothing", nil, "", 404, "not_found", ""},
		{"unknown function", "GET", billing + "/functions/nothing", nil, "", 404, "not_found", ""},
		{"container of another tenant", "GET", "/v1/tenants/small/containers/billing", nil, "", 404, "not_found", ""},
		{"function of another tenant", "GET", "/v1/tenants/small/containers/billing/functions/paid", nil, "", 404, "not_found", ""},
		{"containers of nobody", "GET", "/v1/tenants/nobody/containers", nil, "", 404, "not_found", ""},
		{"functions of nothing", "GET", acme + "/containers/nothing/functions", nil, "", 404, "not_found", ""},
		{"versions of nothing", "GET", billing + "/functions/nothing/versions", nil, "", 404, "not_found", ""},
		{"secrets of nothing", "GET", billing + "/functions/nothing/secrets", nil, "", 404, "not_found", ""},
		{"log of nothing", "GET", billing + "/functions/nothing/logs", nil, "", 404, "not_found", ""},
		{"log of nothing, followed", "GET", billing + "/functions/nothing/logs?follow=true", nil, "", 404, "not_found", ""},
		put1("container below nobody", "/v1/tenants/nobody/containers/c", `{}`, 404, "not_found", ""),
		put1("function below nothing", acme+"/containers/nothing/functions/f", `{"code":"x"}`, 404, "not_found", ""),
		put1("secret below nothing", billing+"/functions/nothing/secrets/A", `{"value":"x"}`, 404, "not_found", ""),
		{"delete nobody", "DELETE", "/v1/tenants/nobody", nil, "", 404, "not_found", ""},
		{"delete nothing", "DELETE", billing + "/functions/nothing", nil, "", 404, "not_found", ""},
		{"delete no secret", "DELETE", paid + "/secrets/NONE", nil, "", 404, "not_found", ""},

		{"packages of a bad name", "GET", "/v1/packages?name=..%2Fx", nil, "", 422, "invalid", "query.name"},
		{"users of no package", "GET", "/v1/packages/functions", nil, "", 422, "invalid", "query.package"},
		{"users of a range", "GET", "/v1/packages/functions?package=left-pad%40%5E1", nil, "", 422, "invalid", "query.package"},
		{"users without a version", "GET", "/v1/packages/functions?package=%40scope%2Fname", nil, "", 422, "invalid", "query.package"},
		{"revoke nothing", "POST", "/v1/packages/revoke", nil, `{}`, 422, "invalid", "name"},
		{"revoke a range", "POST", "/v1/packages/revoke", nil, `{"name":"a","version":"^1.0.0"}`, 422, "invalid", "version"},
		{"revoke a part of a version", "POST", "/v1/packages/revoke", nil, `{"name":"a","version":"1"}`, 422, "invalid", "version"},
		{"revoke a number", "POST", "/v1/packages/revoke", nil, `{"name":"a","version":1}`, 422, "invalid", "version"},
		{"revoke with a v", "POST", "/v1/packages/revoke", nil, `{"name":"a","version":"v1.0.0"}`, 422, "invalid", "version"},
		{"revoke a path", "POST", "/v1/packages/revoke", nil, `{"name":"../a","version":"1.0.0"}`, 422, "invalid", "name"},
		{"revoke for a novel", "POST", "/v1/packages/revoke", nil, `{"name":"a","version":"1.0.0","reason":"` + strings.Repeat("x", 5000) + `"}`, 422, "invalid", "reason"},
		{"revoke with more", "POST", "/v1/packages/revoke", nil, `{"name":"a","version":"1.0.0","force":true}`, 422, "invalid", "force"},
		{"restore what is not revoked", "POST", "/v1/packages/restore", nil, `{"name":"a","version":"1.0.0"}`, 404, "not_found", ""},
		{"verify with a word", "POST", "/v1/packages/verify", nil, `{"heal":"yes"}`, 422, "invalid", "heal"},
		{"delete packages", "DELETE", "/v1/packages", nil, "", 405, "method_not_allowed", ""},
		{"bill of no version", "GET", paid + "/sbom?version=99", nil, "", 404, "not_found", ""},
		{"bill of version 0", "GET", paid + "/sbom?version=0", nil, "", 422, "invalid", "query.version"},
		{"bill of version 01", "GET", paid + "/sbom?version=01", nil, "", 422, "invalid", "query.version"},
		{"bill of a huge version", "GET", paid + "/sbom?version=99999999999999999999", nil, "", 422, "invalid", "query.version"},
		{"bill of nothing", "GET", billing + "/functions/nothing/sbom", nil, "", 404, "not_found", ""},
		{"progress of nothing", "GET", billing + "/functions/nothing/progress?follow=true", nil, "", 404, "not_found", ""},

		// How.
		{"post a tenant", "POST", acme, nil, "{}", 405, "method_not_allowed", ""},
		{"patch a function", "PATCH", paid, nil, "", 405, "method_not_allowed", ""},
		{"put a list", "PUT", "/v1/tenants", nil, "{}", 405, "method_not_allowed", ""},
		{"get a rollback", "GET", paid + "/rollback", nil, "", 405, "method_not_allowed", ""},
		{"get a secret", "GET", paid + "/secrets/KEY", nil, "", 405, "method_not_allowed", ""},
		{"delete the log", "DELETE", paid + "/logs", nil, "", 405, "method_not_allowed", ""},
		{"trace", "TRACE", acme, nil, "", 405, "method_not_allowed", ""},
		{"options", "OPTIONS", acme, nil, "", 405, "method_not_allowed", ""},
		{"made up method", "HACK", acme, nil, "", 405, "method_not_allowed", ""},
		{"post the description", "POST", "/openapi.json", nil, "{}", 405, "method_not_allowed", ""},

		// The body's form.
		{"no content type", "PUT", acme, []string{"Content-Type:"}, "{}", 415, "unsupported_media", "header.Content-Type"},
		{"form", "PUT", acme, []string{"Content-Type: application/x-www-form-urlencoded"}, "{}", 415, "unsupported_media", "header.Content-Type"},
		{"text", "PUT", acme, []string{"Content-Type: text/plain"}, "{}", 415, "unsupported_media", "header.Content-Type"},
		{"other charset", "PUT", acme, []string{"Content-Type: application/json; charset=utf-16"}, "{}", 415, "unsupported_media", "header.Content-Type"},
		{"broken content type", "PUT", acme, []string{"Content-Type: application/json; ="}, "{}", 415, "unsupported_media", "header.Content-Type"},
		{"two content types", "PUT", acme, []string{"Content-Type: application/json", "Content-Type: application/json"}, "{}", 415, "unsupported_media", "header.Content-Type"},
		{"gzip", "PUT", acme, []string{"Content-Encoding: gzip"}, "\x1f\x8b\x08", 415, "unsupported_media", "header.Content-Encoding"},
		{"zstd", "PUT", paid, []string{"Content-Encoding: zstd"}, "{}", 415, "unsupported_media", "header.Content-Encoding"},
		{"too large, announced", "PUT", paid, []string{"Content-Length: 25165825"}, "{}", 413, "too_large", "body"},
		{"too large, chunked", "PUT", paid, []string{"Transfer-Encoding: chunked"}, "1800001\r\n" + strings.Repeat(" ", 25165825) + "\r\n0\r\n\r\n", 413, "too_large", "body"},
		{"get with a body", "GET", acme, nil, "{}", 422, "invalid", "body"},
		{"delete with a body", "DELETE", billing, nil, "{}", 422, "invalid", "body"},
		{"delete with a chunked body", "DELETE", billing, []string{"Transfer-Encoding: chunked"}, "2\r\n{}\r\n0\r\n\r\n", 422, "invalid", "body"},

		// JSON.
		put1("empty", acme, "", 400, "malformed", "body"),
		put1("cut", acme, `{"limits":{`, 400, "malformed", "body"),
		put1("garbage behind", acme, `{}x`, 400, "malformed", "body"),
		put1("two documents", acme, `{}{}`, 400, "malformed", "body"),
		put1("not UTF-8", paid, "{\"code\":\"\xff\xfe\"}", 400, "malformed", "body"),
		put1("lone surrogate", paid, `{"code":"\ud800"}`, 400, "malformed", "body"),
		put1("byte order mark", acme, "\xef\xbb\xbf{}", 400, "malformed", "body"),
		put1("NUL behind", acme, "{}\x00", 400, "malformed", "body"),
		put1("array", acme, `[]`, 422, "invalid", "body"),
		put1("null", acme, `null`, 422, "invalid", "body"),
		put1("string", paid, `"code"`, 422, "invalid", "body"),
		put1("equal keys", paid, `{"code":"a","code":"b"}`, 422, "invalid", "code"),
		put1("equal keys, deep", paid, `{"code":"a","config":{"x":{"y":1,"y":2}}}`, 422, "invalid", "config.x.y"),
		put1("equal keys, escaped", paid, `{"code":"a","c\u006fde":"b"}`, 422, "invalid", "code"),
		put1("too deep", paid, `{"code":"a","config":{"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`}}`, 422, "invalid", "body"),
		put1("a bomb of brackets", paid, strings.Repeat("[", 1<<20), 422, "invalid", "body"),
		put1("a bomb of values", paid, `{"config":{"x":[`+strings.Repeat("0,", 200_000)+`0]}}`, 422, "invalid", "body"),

		// The query.
		{"unknown parameter", "GET", "/v1/tenants?colour=red", nil, "", 422, "invalid", "query.colour"},
		{"parameter of another call", "GET", acme + "?recursive=true", nil, "", 422, "invalid", "query.recursive"},
		{"parameter in other case", "GET", "/v1/tenants?Limit=1", nil, "", 422, "invalid", "query.Limit"},
		{"limit 0", "GET", "/v1/tenants?limit=0", nil, "", 422, "invalid", "query.limit"},
		{"limit 101", "GET", "/v1/tenants?limit=101", nil, "", 422, "invalid", "query.limit"},
		{"limit negative", "GET", "/v1/tenants?limit=-1", nil, "", 422, "invalid", "query.limit"},
		{"limit empty", "GET", "/v1/tenants?limit=", nil, "", 422, "invalid", "query.limit"},
		{"limit word", "GET", acme + "/containers?limit=all", nil, "", 422, "invalid", "query.limit"},
		{"limit hex", "GET", acme + "/containers?limit=0x10", nil, "", 422, "invalid", "query.limit"},
		{"limit overflows", "GET", acme + "/containers?limit=18446744073709551617", nil, "", 422, "invalid", "query.limit"},
		{"limit twice", "GET", "/v1/tenants?limit=1&limit=2", nil, "", 422, "invalid", "query.limit"},
		{"cursor made up", "GET", "/v1/tenants?cursor=nonsense%21", nil, "", 422, "invalid", "query.cursor"},
		{"cursor empty", "GET", "/v1/tenants?cursor=", nil, "", 422, "invalid", "query.cursor"},
		{"cursor huge", "GET", billing + "/functions?cursor=" + strings.Repeat("a", 1025), nil, "", 422, "invalid", "query.cursor"},
		{"query not encoded", "GET", "/v1/tenants?cursor=%zz", nil, "", 400, "malformed", "query"},
		{"query with semicolon", "GET", "/v1/tenants?limit=1;cursor=a", nil, "", 400, "malformed", "query"},
		{"query not UTF-8", "GET", "/v1/tenants?cursor=%ff", nil, "", 400, "malformed", "query"},
		{"wait without unit", "PUT", paid + "?wait=30", nil, `{"code":"x"}`, 422, "invalid", "query.wait"},
		{"wait too long", "PUT", paid + "?wait=5m1s", nil, `{"code":"x"}`, 422, "invalid", "query.wait"},
		{"wait negative", "PUT", paid + "?wait=-1s", nil, `{"code":"x"}`, 422, "invalid", "query.wait"},
		{"recursive 1", "DELETE", acme + "?recursive=1", nil, "", 422, "invalid", "query.recursive"},
		{"recursive empty", "DELETE", acme + "?recursive", nil, "", 422, "invalid", "query.recursive"},
		{"follow yes", "GET", paid + "/logs?follow=yes", nil, "", 422, "invalid", "query.follow"},
		{"since made up", "GET", paid + "/logs?since=zzz", nil, "", 422, "invalid", "query.since"},
		{"since made up, followed", "GET", paid + "/logs?follow=true&since=zzz", nil, "", 422, "invalid", "query.since"},
		{"Last-Event-ID made up", "GET", paid + "/logs?follow=true", []string{"Last-Event-ID: zzz"}, "", 422, "invalid", "query.since"},

		// Preconditions.
		{"old ETag", "PUT", acme, []string{`If-Match: "old-1"`}, "{}", 412, "precondition_failed", ""},
		{"weak ETag", "PUT", acme, []string{`If-Match: W/"old-1"`}, "{}", 412, "precondition_failed", ""},
		{"ETag of nothing", "PUT", "/v1/tenants/new", []string{`If-Match: "old-1"`}, "{}", 412, "precondition_failed", ""},
		{"any ETag of nothing", "PUT", "/v1/tenants/new", []string{`If-Match: *`}, "{}", 412, "precondition_failed", ""},
		{"create what is there", "PUT", acme, []string{"If-None-Match: *"}, "{}", 412, "precondition_failed", ""},
		{"create a container that is there", "PUT", billing, []string{"If-None-Match: *"}, "{}", 412, "precondition_failed", ""},
		{"create a function that is there", "PUT", paid, []string{"If-None-Match: *"}, `{"code":"2"}`, 412, "precondition_failed", ""},
		{"delete with an old ETag", "DELETE", paid, []string{`If-Match: "old-1"`}, "", 412, "precondition_failed", ""},
		{"rollback with an old ETag", "POST", paid + "/rollback", []string{`If-Match: "old-1"`}, `{"version":1}`, 412, "precondition_failed", ""},
		{"ETag without quotes", "PUT", acme, []string{"If-Match: old-1"}, "{}", 422, "invalid", "header.If-Match"},
		{"If-None-Match with an ETag", "PUT", acme, []string{`If-None-Match: "a"`}, "{}", 422, "invalid", "header.If-None-Match"},
		{"If-None-Match on delete", "DELETE", acme, []string{"If-None-Match: *"}, "", 422, "invalid", "header.If-None-Match"},
		{"If-Match on a secret", "PUT", paid + "/secrets/KEY", []string{`If-Match: "a"`}, `{"value":"x"}`, 422, "invalid", "header.If-Match"},
		{"idempotency key empty", "PUT", acme, []string{"Idempotency-Key: "}, "{}", 422, "invalid", "header.Idempotency-Key"},
		{"idempotency key with space", "PUT", acme, []string{"Idempotency-Key: a b"}, "{}", 422, "invalid", "header.Idempotency-Key"},
		{"idempotency key not ASCII", "PUT", acme, []string{"Idempotency-Key: é"}, "{}", 422, "invalid", "header.Idempotency-Key"},
		{"idempotency key too long", "PUT", acme, []string{"Idempotency-Key: " + strings.Repeat("k", 256)}, "{}", 422, "invalid", "header.Idempotency-Key"},
		{"idempotency key twice", "PUT", acme, []string{"Idempotency-Key: a", "Idempotency-Key: b"}, "{}", 422, "invalid", "header.Idempotency-Key"},

		// State.
		{"tenant with containers", "DELETE", acme, nil, "", 409, "conflict", ""},
		{"container with functions", "DELETE", billing, nil, "", 409, "conflict", ""},
		{"rollback to a version never made", "POST", paid + "/rollback", nil, `{"version":99}`, 404, "not_found", ""},
		{"rollback of nothing", "POST", billing + "/functions/nothing/rollback", nil, `{"version":1}`, 404, "not_found", ""},
		{"rollback without version", "POST", paid + "/rollback", nil, `{}`, 422, "invalid", "version"},
		{"rollback to 0", "POST", paid + "/rollback", nil, `{"version":0}`, 422, "invalid", "version"},
		{"rollback to -1", "POST", paid + "/rollback", nil, `{"version":-1}`, 422, "invalid", "version"},
		{"rollback to 1.5", "POST", paid + "/rollback", nil, `{"version":1.5}`, 422, "invalid", "version"},
		{"rollback to a word", "POST", paid + "/rollback", nil, `{"version":"1"}`, 422, "invalid", "version"},
		{"rollback and more", "POST", paid + "/rollback", nil, `{"version":1,"force":true}`, 422, "invalid", "force"},

		// Tenants.
		put1("tenant with unknown field", acme, `{"quota":1}`, 422, "invalid", "quota"),
		put1("tenant with name", acme, `{"name":"acme"}`, 422, "invalid", "name"),
		put1("tenant field in other case", acme, `{"Limits":{}}`, 422, "invalid", "Limits"),
		put1("limits null", acme, `{"limits":null}`, 422, "invalid", "limits"),
		put1("limits list", acme, `{"limits":[]}`, 422, "invalid", "limits"),
		put1("unknown limit", acme, `{"limits":{"pids":10}}`, 422, "invalid", "limits.pids"),
		put1("memory 0", acme, `{"limits":{"memory_mib":0}}`, 422, "invalid", "limits.memory_mib"),
		put1("memory -1", acme, `{"limits":{"memory_mib":-1}}`, 422, "invalid", "limits.memory_mib"),
		put1("memory beyond all", acme, `{"limits":{"memory_mib":65537}}`, 422, "invalid", "limits.memory_mib"),
		put1("memory in a fraction", acme, `{"limits":{"memory_mib":256.5}}`, 422, "invalid", "limits.memory_mib"),
		put1("memory as 3e2", acme, `{"limits":{"memory_mib":3e2}}`, 422, "invalid", "limits.memory_mib"),
		put1("memory overflows", acme, `{"limits":{"memory_mib":1e400}}`, 422, "invalid", "limits.memory_mib"),
		put1("memory as text", acme, `{"limits":{"memory_mib":"256"}}`, 422, "invalid", "limits.memory_mib"),
		put1("memory null", acme, `{"limits":{"memory_mib":null}}`, 422, "invalid", "limits.memory_mib"),
		put1("cpus 0", acme, `{"limits":{"cpus":0}}`, 422, "invalid", "limits.cpus"),
		put1("cpus too fine", acme, `{"limits":{"cpus":0.5001}}`, 422, "invalid", "limits.cpus"),
		put1("cpus beyond all", acme, `{"limits":{"cpus":65}}`, 422, "invalid", "limits.cpus"),
		put1("instances beyond all", acme, `{"limits":{"max_instances":1001}}`, 422, "invalid", "limits.max_instances"),

		// Containers.
		put1("container with unknown field", billing, `{"region":"eu"}`, 422, "invalid", "region"),
		put1("unknown isolation", billing, `{"isolation":"docker"}`, 422, "invalid", "isolation"),
		put1("isolation not offered", billing, `{"isolation":"gvisor"}`, 422, "invalid", "isolation"),
		put1("isolation empty", billing, `{"isolation":""}`, 422, "invalid", "isolation"),
		put1("isolation with a path", billing, `{"isolation":"../runc"}`, 422, "invalid", "isolation"),
		put1("egress", billing, `{"egress":"internet"}`, 422, "invalid", "egress"),
		put1("egress list", billing, `{"egress":["none"]}`, 422, "invalid", "egress"),
		put1("more memory than the tenant's", billing, `{"limits":{"memory_mib":2049}}`, 422, "invalid", "limits.memory_mib"),
		put1("more memory than a small tenant's", "/v1/tenants/small/containers/c", `{"limits":{"memory_mib":129}}`, 422, "invalid", "limits.memory_mib"),
		put1("more cpus than a small tenant's", "/v1/tenants/small/containers/c", `{"limits":{"cpus":0.6}}`, 422, "invalid", "limits.cpus"),
		put1("more instances than the tenant's", billing, `{"limits":{"max_instances":21}}`, 422, "invalid", "limits.max_instances"),
		put1("little memory", billing, `{"limits":{"memory_mib":63}}`, 422, "invalid", "limits.memory_mib"),
		put1("few pids", billing, `{"limits":{"pids":8}}`, 422, "invalid", "limits.pids"),
		put1("many pids", billing, `{"limits":{"pids":1025}}`, 422, "invalid", "limits.pids"),
		put1("tmp 0", billing, `{"limits":{"tmp_mib":0}}`, 422, "invalid", "limits.tmp_mib"),
		put1("large tmp", billing, `{"limits":{"tmp_mib":1025}}`, 422, "invalid", "limits.tmp_mib"),
		put1("concurrency 0", billing, `{"limits":{"concurrency":0}}`, 422, "invalid", "limits.concurrency"),
		put1("concurrency true", billing, `{"limits":{"concurrency":true}}`, 422, "invalid", "limits.concurrency"),

		// Functions.
		fn("nothing", `{}`, "code"),
		fn("unknown field", `{"code":"x","colour":"red"}`, "colour"),
		fn("field in other case", `{"Code":"x"}`, "Code"),
		fn("answer sent back", `{"code":"x","status":"ready"}`, "status"),
		fn("code and files", `{"code":"x","files":{"index.js":"x"}}`, "code"),
		fn("code as number", `{"code":1}`, "code"),
		fn("code null", `{"code":null}`, "code"),
		fn("files list", `{"files":["index.js"]}`, "files"),
		fn("files empty", `{"files":{}}`, "files"),
		fn("file null", `{"files":{"a/b.js":null,"index.js":""}}`, `files["a/b.js"]`),
		fn("file as number", `{"files":{"index.js":1}}`, `files["index.js"]`),
		fn("file as other object", `{"files":{"index.js":{"hex":"00"}}}`, `files["index.js"].hex`),
		fn("file as empty object", `{"files":{"index.js":{}}}`, `files["index.js"]`),
		fn("not base64", `{"files":{"index.js":{"base64":"!"}}}`, `files["index.js"].base64`),
		fn("base64 of the web", `{"files":{"index.js":{"base64":"_-8="}}}`, `files["index.js"].base64`),
		fn("base64 in lines", `{"files":{"index.js":{"base64":"eA\n=="}}}`, `files["index.js"].base64`),
		fn("base64 as number", `{"files":{"index.js":{"base64":1}}}`, `files["index.js"].base64`),
		fn("base64 with a stray bit", `{"files":{"index.js":{"base64":"eB=="}}}`, `files["index.js"].base64`),
		fn("path empty", `{"files":{"":"x","index.js":""}}`, `files[""]`),
		fn("path absolute", `{"files":{"/etc/passwd":"x","index.js":""}}`, `files["/etc/passwd"]`),
		fn("path leaves", `{"files":{"../x.js":"x","index.js":""}}`, `files["../x.js"]`),
		fn("path leaves inside", `{"files":{"a/../../x.js":"x","index.js":""}}`, `files["a/../../x.js"]`),
		fn("path with dot", `{"files":{"./x.js":"x","index.js":""}}`, `files["./x.js"]`),
		fn("path with double slash", `{"files":{"a//x.js":"x","index.js":""}}`, `files["a//x.js"]`),
		fn("path is a folder", `{"files":{"a/":"x","index.js":""}}`, `files["a/"]`),
		fn("path with backslash", `{"files":{"a\\x.js":"x","index.js":""}}`, `files["a\\x.js"]`),
		fn("path with NUL", `{"files":{"a\u0000.js":"x","index.js":""}}`, `files["a\x00.js"]`),
		fn("path with line break", `{"files":{"a\n.js":"x","index.js":""}}`, `files["a\n.js"]`),
		fn("path into node_modules", `{"files":{"node_modules/x/index.js":"x","index.js":""}}`, `files["node_modules/x/index.js"]`),
		fn("path too long", `{"files":{"`+strings.Repeat("a/", 300)+`x.js":"x","index.js":""}}`, `files["`+strings.Repeat("a/", 100)+`…"]`),
		fn("twins by case", `{"files":{"index.js":"x","Index.js":"y"}}`, `files["Index.js"]`),
		fn("twins by case beyond ASCII", `{"files":{"É.js":"x","é.js":"y","index.js":""}}`, `files["é.js"]`),
		fn("twins by Unicode form", `{"files":{"\u00e9.js":"x","e\u0301.js":"y","index.js":""}}`, "files[\"e\u0301.js\"]"),
		fn("file and folder", `{"files":{"a":"x","a/b.js":"y","index.js":""}}`, `files["a/b.js"]`),
		fn("file and folder by case", `{"files":{"A":"x","a/b.js":"y","index.js":""}}`, `files["a/b.js"]`),
		fn("no entry to be found", `{"files":{"main.js":"x"}}`, "entry"),
		fn("entry not among the files", `{"files":{"index.js":"x"},"entry":"main.js"}`, "entry"),
		fn("entry leaves", `{"files":{"index.js":"x"},"entry":"../index.js"}`, "entry"),
		fn("entry absolute", `{"code":"x","entry":"/index.js"}`, "entry"),
		fn("entry empty", `{"code":"x","entry":""}`, "entry"),
		fn("entry null", `{"code":"x","entry":null}`, "entry"),
		fn("entry is no code", `{"files":{"data.json":"{}"},"entry":"data.json"}`, "entry"),
		fn("code named as no code", `{"code":"x","entry":"index.txt"}`, "entry"),
		fn("exports lead nowhere", `{"files":{"package.json":"{\"exports\":\"./gone.js\"}","index.js":""}}`, "entry"),
		fn("main leads nowhere", `{"files":{"package.json":"{\"main\":\"gone.js\"}"}}`, "entry"),
		fn("package.json broken", `{"files":{"package.json":"{","index.js":""}}`, `files["package.json"]`),
		fn("package.json a list", `{"files":{"package.json":"[]","index.js":""}}`, `files["package.json"]`),
		fn("package.json's dependencies a list", `{"files":{"package.json":"{\"dependencies\":[\"a\"]}","index.js":""}}`, `files["package.json"].dependencies`),
		fn("dependency of a file in package.json", `{"files":{"package.json":"{\"optionalDependencies\":{\"a\":\"file:../x\"}}","index.js":""}}`, `files["package.json"].optionalDependencies.a`),
		fn("overrides a list", `{"files":{"package.json":"{\"dependencies\":{\"a\":\"1\"},\"overrides\":[]}","index.js":""}}`, `files["package.json"].overrides`),
		fn("overrides too large", `{"files":{"package.json":"{\"dependencies\":{\"a\":\"1\"},\"overrides\":{\"a\":\"`+strings.Repeat("1", 65536)+`\"}}","index.js":""}}`, `files["package.json"].overrides`),
		fn("package-lock.json broken", `{"files":{"package-lock.json":"{","index.js":""}}`, `files["package-lock.json"]`),
		fn("dependency in two versions", `{"files":{"package.json":"{\"dependencies\":{\"a\":\"1\"}}","index.js":""},"dependencies":{"a":"2"}}`, "dependencies.a"),
		fn("dependency from git", `{"code":"x","dependencies":{"a":"git+ssh://git@host.example/a.git"}}`, "dependencies.a"),
		fn("dependency from GitHub", `{"code":"x","dependencies":{"a":"acme/a"}}`, "dependencies.a"),
		fn("dependency from a URL", `{"code":"x","dependencies":{"a":"https://host.example/a.tgz"}}`, "dependencies.a"),
		fn("dependency by an alias of a place", `{"code":"x","dependencies":{"a":"npm:../a@1"}}`, "dependencies.a"),
		fn("dependency named as a path", `{"code":"x","dependencies":{"../a":"1"}}`, `dependencies["../a"]`),
		fn("dependency named as a hidden folder", `{"code":"x","dependencies":{".bin":"1"}}`, `dependencies[".bin"]`),
		fn("dependencies list", `{"code":"x","dependencies":["lodash"]}`, "dependencies"),
		fn("dependency as number", `{"code":"x","dependencies":{"lodash":4}}`, "dependencies.lodash"),
		fn("secrets list", `{"code":"x","secrets":[]}`, "secrets"),
		fn("secret as number", `{"code":"x","secrets":{"A":1}}`, "secrets.A"),
		fn("secret name with hyphen", `{"code":"x","secrets":{"A-B":"x"}}`, `secrets["A-B"]`),
		fn("secret name with digit first", `{"code":"x","secrets":{"1A":"x"}}`, `secrets["1A"]`),
		fn("secret named __proto__", `{"code":"x","secrets":{"__proto__":"x"}}`, "secrets.__proto__"),
		fn("secret too large", `{"code":"x","secrets":{"A":"`+strings.Repeat("s", 65537)+`"}}`, "secrets.A"),
		fn("config list", `{"code":"x","config":[1]}`, "config"),
		fn("config null", `{"code":"x","config":null}`, "config"),
		fn("config too large", `{"code":"x","config":{"a":"`+strings.Repeat("c", 65536)+`"}}`, "config"),
		fn("runtime unknown", `{"code":"x","runtime":"node18"}`, "runtime"),
		fn("runtime in other case", `{"code":"x","runtime":"Node24"}`, "runtime"),
		fn("runtime as number", `{"code":"x","runtime":24}`, "runtime"),
		fn("model unknown", `{"code":"x","model":"lambda"}`, "model"),
		fn("model empty", `{"code":"x","model":""}`, "model"),
		fn("timeout 0", `{"code":"x","timeout_ms":0}`, "timeout_ms"),
		fn("timeout -1", `{"code":"x","timeout_ms":-1}`, "timeout_ms"),
		fn("timeout too long", `{"code":"x","timeout_ms":900001}`, "timeout_ms"),
		fn("timeout as text", `{"code":"x","timeout_ms":"30s"}`, "timeout_ms"),
		fn("timeout in a fraction", `{"code":"x","timeout_ms":0.5}`, "timeout_ms"),
		fn("auth", `{"code":"x","auth":"token"}`, "auth"),
		fn("auth null", `{"code":"x","auth":null}`, "auth"),
		put1("too much code", paid, `{"code":"`+strings.Repeat("a", 16<<20)+`a"}`, 413, "too_large", "code"),

		// Secrets.
		put1("secret without value", paid+"/secrets/A", `{}`, 422, "invalid", "value"),
		put1("secret null", paid+"/secrets/A", `{"value":null}`, 422, "invalid", "value"),
		put1("secret and more", paid+"/secrets/A", `{"value":"x","note":"y"}`, 422, "invalid", "note"),
		put1("secret too large", paid+"/secrets/A", `{"value":"`+strings.Repeat("s", 65537)+`"}`, 422, "invalid", "value"),
		put1("secret name", paid+"/secrets/A.B", `{"value":"x"}`, 422, "invalid", "path.secret"),
		put1("secret name too long", paid+"/secrets/"+strings.Repeat("A", 129), `{"value":"x"}`, 422, "invalid", "path.secret"),
	}
	for _, name := range []string{"A", "-a", "a-", "a_b", "a.b", long, "%00", "%20", "caf%C3%A9", "%F0%9F%98%80", "__proto__", "a%0Ab", "a%5Cb", "a:b", "*", "%25"} {
		cases = append(cases,
			put1("tenant "+name, "/v1/tenants/"+name, `{}`, 422, "invalid", "path.tenant"),
			put1("container "+name, acme+"/containers/"+name, `{}`, 422, "invalid", "path.container"),
			put1("function "+name, billing+"/functions/"+name, `{"code":"x"}`, 422, "invalid", "path.function"))
	}
	return cases
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.furnish()
	before := f.must(200, "GET", paid, "")
	cases := badRequests()
	if len(cases) < 120 {
		t.Fatalf("%d bad requests", len(cases))
	}
	seen := map[string]bool{}
	for _, c := range cases {
		if seen[c.name] && !strings.Contains(c.name, "secret too large") {
			t.Errorf("%s: stands twice", c.name)
		}
		seen[c.name] = true
		r := f.do(c.method, c.target, c.body, c.header...)
		label := fmt.Sprintf("%s: %s %.100s %.100q", c.name, c.method, c.target, c.body)
		if r.status != c.status {
			t.Errorf("%s: %d %.300s, want %d", label, r.status, r.body, c.status)
			continue
		}
		p := r.problem(t)
		field := ""
		if len(p.Errors) > 0 {
			field = p.Errors[0].Field
		}
		if p.Status != c.status || string(p.Code) != c.code || field != c.field {
			t.Errorf("%s: code %q, field %q, want %q of %q: %.300s", label, p.Code, field, c.code, c.field, r.body)
		}
		if p.Type == "" || p.Title == "" || p.Detail == "" || p.Component == "" || p.Instance == "" || p.Instance != r.header.Get("Hearth-Request-Id") {
			t.Errorf("%s: problem lacks something: %.300s", label, r.body)
		}
		if c.status == 405 && r.header.Get("Allow") == "" {
			t.Errorf("%s: no Allow", label)
		}
		if c.status == 401 && r.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", label)
		}
		if len(r.body) > 8<<10 {
			t.Errorf("%s: problem of %d bytes", label, len(r.body))
		}
	}
	t.Logf("%d bad requests", len(cases))
	if after := f.must(200, "GET", paid, ""); string(after.body) != string(before.body) {
		t.Errorf("a refused request changed something:\n%s\n%s", before.body, after.body)
	}
	if strings.Contains(f.said.String(), "management request failed") {
		t.Errorf("a bad request was taken for a fault of ours:\n%s", f.said)
	}
}
