// Package tty prints what may be hostile to a terminal. Whatever a tenant wrote (logs, names,
// errors, stacks) can hold sequences that rewrite the screen, set its title, fill its clipboard or
// turn the reading direction; Escape makes all of them visible and harmless.
package tty
