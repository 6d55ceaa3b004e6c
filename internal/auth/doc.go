// Package auth tells who may do what. For now there is one caller, the operator with the admin
// token, who may do everything in /v1.
//
// It owns nothing: a token is 256 random bits, kept here as its SHA-256 digest only, and compared
// in constant time. Every byte of a request is hostile. It is called by api and by whatever else
// listens beside it, and calls nothing.
package auth
