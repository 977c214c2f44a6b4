// Package bench measures the library against the naive way of doing the same
// and against the limits that no library can pass. Every figure is a ratio of
// variants that ran interleaved in one process: absolute times drift three to
// four times from machine to machine and from minute to minute, ratios hold.
//
// What only counts, and so cannot flake, is in the ordinary tests of this
// folder. What measures time is a benchmark: see `make bench`.
package bench
