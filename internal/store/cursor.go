package store

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"

	"hearth"
)

// A cursor is the last item of a page behind eight bytes that say which list it belongs to. It gives
// no rights: the query that uses it has its tenant from the caller.

var cursorEncoding = base64.RawURLEncoding.Strict()

func listMark(list string) string {
	sum := sha256.Sum256([]byte(list))
	return string(sum[:8])
}

func encodeCursor(list, last string) string {
	return cursorEncoding.EncodeToString([]byte(listMark(list) + last))
}

// decodeCursor returns the last item of the page before, "" for the first page.
func decodeCursor(list, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	bad := hearth.Invalid("cursor", "is not one that this list gave")
	if len(cursor) > 128 {
		return "", bad
	}
	raw, err := cursorEncoding.DecodeString(cursor)
	mark := listMark(list)
	if err != nil || len(raw) <= len(mark) || string(raw[:len(mark)]) != mark {
		return "", bad
	}
	return string(raw[len(mark):]), nil
}

// nameCursor decodes the cursor of a list of names.
func nameCursor(list, cursor string) (string, error) {
	last, err := decodeCursor(list, cursor)
	if err == nil && last != "" && !hearth.ValidName(last) {
		return "", hearth.Invalid("cursor", "is not one that this list gave")
	}
	return last, err
}

// numberCursor decodes the cursor of a list that counts down; first is for the first page.
func numberCursor(list, cursor string, first int64) (int64, error) {
	last, err := decodeCursor(list, cursor)
	if err != nil || last == "" {
		return first, err
	}
	n, err := strconv.ParseInt(last, 10, 64)
	if err != nil || n < 1 || strconv.FormatInt(n, 10) != last {
		return 0, hearth.Invalid("cursor", "is not one that this list gave")
	}
	return n, nil
}

// pageSize checks the limit of a list; 0 is the most.
func pageSize(limit int) (int, error) {
	most := hearth.LimitListItems.Int()
	if limit < 0 || limit > most {
		return 0, hearth.Invalid("limit", "must be between 1 and %d", most)
	}
	if limit == 0 {
		return most, nil
	}
	return limit, nil
}

// cut makes a page of size items out of what a query for size+1 gave, and its next cursor.
func cut[T any](items []T, size int, list string, last func(T) string) ([]T, string) {
	if len(items) <= size {
		return items, ""
	}
	items = items[:size]
	return items, encodeCursor(list, last(items[size-1]))
}
