// Package packages holds the table of npm packages that work in a function: a folder in cases is one
// package that does its real job, with the answer that is known beforehand. There is no code here
// but tests.
package packages
