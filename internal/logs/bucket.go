package logs

import (
	"sync"
	"time"
)

// bucket is a token bucket of bytes; a second's worth can be saved up burst times over.
type bucket struct {
	rate, size int64 // bytes a second; bytes that it holds
	tokens     int64
	at         time.Time // when tokens was true
}

func newBucket(rate, size int64, now time.Time) bucket {
	return bucket{rate: rate, size: size, tokens: size, at: now}
}

// take takes n tokens if they are there.
func (b *bucket) take(now time.Time, n int) bool {
	b.fill(now)
	if int64(n) > b.tokens {
		return false
	}
	b.tokens -= int64(n)
	return true
}

func (b *bucket) fill(now time.Time) {
	d := now.Sub(b.at)
	if d <= 0 {
		return
	}
	if d > time.Hour { // enough for any bucket, and no overflow below
		b.tokens, b.at = b.size, now
		return
	}
	add := int64(d.Seconds() * float64(b.rate))
	if add == 0 {
		return // keep at, or many short steps would add nothing
	}
	b.tokens, b.at = min(b.size, b.tokens+add), now
}

func (b *bucket) full(now time.Time) bool {
	b.fill(now)
	return b.tokens == b.size
}

// container holds what the instances of one container may log together.
type container struct {
	id   string
	refs int // guarded by Logs.mu

	mu     sync.Mutex
	bucket bucket
}

func (c *container) take(now time.Time, n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bucket.take(now, n)
}

func (c *container) rested(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bucket.full(now)
}
