// Package sbom writes the software bill of materials of a function's version: CycloneDX 1.6 in JSON
// (ECMA-424), from the tree of its packages. The same tree makes the same bytes. It does no I/O.
//
// What a package bundles inside its tarball is not listed: nobody but its author says what that is.
package sbom
