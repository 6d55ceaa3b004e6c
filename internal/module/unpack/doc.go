// Package unpack turns the bytes of strangers into a Content, and a Content into an archive of ours or
// into files. It is the one place of the project that reads a tar which a package's author, a build
// sandbox or a builder has made, and it believes none of them.
//
// There are three readers and one rule book (path.go, tree.go):
//
//   - FromTarball reads a package as the registry has it. As npm does, it takes the first part off
//     each path, and leaves out symlinks and hard links, so that no file can be written through one.
//   - FromTar reads what a build left. Symlinks that stay inside are kept, checked by the letter and
//     through the other links; hard links, which node-gyp makes for each addon, become equal files.
//   - Load and Read read an archive that Write made. It is checked against its digest, and must be
//     exactly as Write makes it.
//
// Nothing is written to a folder before all of it was read and found good: a Content lies in memory,
// and beyond Limits.Memory in a file without a name. A refusal is a *hearth.Error of CodeMalformed, or
// CodeTooLarge where it is a matter of size, with one of the reasons of refuse.go.
//
// Case twins and Unicode twins stay different files, as on any Linux: nothing here folds a name.
package unpack
