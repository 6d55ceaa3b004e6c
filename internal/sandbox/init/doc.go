// Package initbin holds the built program that runs as pid 1 of every instance. Its source is in
// pid1, a package main that cannot be imported; `make build` compiles it for both architectures into
// bin, from where it is embedded. The image room puts it into each root file system as /hearth/init.
package initbin
