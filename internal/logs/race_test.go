//go:build race

package logs

// scale makes the floods smaller where the race detector makes them slow.
const scale = 10
