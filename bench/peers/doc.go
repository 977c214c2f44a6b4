// Package peers measures the library against others that do the same work, and
// turns what was measured into docs/benchmarks.md. It is a module of its own, so
// that nothing of them reaches the library's users.
package peers
