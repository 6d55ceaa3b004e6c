package build

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"hearth/internal/store"
)

// commit is a content whose archive is in the blob store.
type commit struct {
	built store.Built
	done  chan error // size 1
}

const (
	commitMost = 256 // contents in a transaction, for which other writers wait
	commitTime = 30 * time.Second
)

// finish makes a content ready, together with what else is done at this moment: one commit for many.
func (b *Builder) finish(built store.Built) error {
	c := commit{built, make(chan error, 1)}
	b.commits <- c
	return <-c.done
}

// commitLoop commits what workers hand over, until commits is closed. While one commit is on its way to
// the disk the next gathers. It knows no context: what is built is worth a commit.
func (b *Builder) commitLoop() {
	for first := range b.commits {
		batch := []commit{first}
	gather:
		for len(batch) < commitMost {
			select {
			case c, ok := <-b.commits:
				if !ok {
					break gather
				}
				batch = append(batch, c)
			default:
				break gather
			}
		}
		b.commitAll(batch)
	}
}

func (b *Builder) commitAll(batch []commit) {
	all := make([]store.Built, len(batch))
	for i, c := range batch {
		all[i] = c.built
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitTime)
	defer cancel()
	lost, err := b.cfg.Store.FinishContents(ctx, all)
	if err != nil && len(batch) > 1 {
		// One whose archive was swept away spoils the transaction for all.
		for _, c := range batch {
			b.commitAll([]commit{c})
		}
		return
	}
	for _, c := range batch {
		switch {
		case err != nil:
			c.done <- fmt.Errorf("publish content: %w", err)
		case slices.Contains(lost, c.built.Token):
			c.done <- store.ErrLeaseLost
		default:
			c.done <- nil
		}
	}
}

// swept reports whether an archive has to be written again.
func swept(err error) bool { return errors.Is(err, store.ErrBlobGone) }
