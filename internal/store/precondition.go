package store

import (
	"strconv"
	"strings"

	"hearth"
)

// Precondition is what must hold for a write to be made; the zero value asks for nothing.
type Precondition struct {
	IfMatch     string // "*" (it exists) or a list of ETags, one of which it has now; "" asks nothing
	IfNoneMatch bool   // If-None-Match: *, the write may only create
}

// ETag is the entity tag, quotes included, of the object with this id at this revision.
func ETag(id string, revision int64) string {
	return `"` + id + "-" + strconv.FormatInt(revision, 10) + `"`
}

// absent checks p against an object that does not exist.
func (p Precondition) absent(what string) error {
	if p.IfMatch != "" {
		return unmet("There is no such %s, and If-Match asks for one.", what)
	}
	return nil
}

// present checks p against an object that exists.
func (p Precondition) present(what, id string, revision int64) error {
	if p.IfNoneMatch {
		return unmet("The %s exists already, and If-None-Match asks that it does not.", what)
	}
	if p.IfMatch == "" || strings.TrimSpace(p.IfMatch) == "*" {
		return nil
	}
	etag := ETag(id, revision)
	for one := range strings.SplitSeq(p.IfMatch, ",") { // our tags hold no comma, so a split one matches nothing
		if strings.TrimSpace(one) == etag {
			return nil
		}
	}
	return unmet("The %s was changed since you read it; read it again and repeat the change.", what)
}

func unmet(format, what string) error {
	err := hearth.Errorf(hearth.CodePreconditionFailed, format, what)
	err.Component = hearth.ComponentRequest
	return err
}
