// Package sourcerules holds the tests that keep the house in order: which package may
// import which, what the library depends on, how long a file may grow.
package sourcerules
