// Package sourcerules holds tests of the source tree: which package may import
// which, what the library depends on, how long a file may be, which words and
// calls are not used, and that docs/promises.md names tests that exist.
package sourcerules
