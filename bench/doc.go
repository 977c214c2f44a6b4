// Package bench compares the library with a naive implementation and with limits
// that no library can pass. Every figure is a ratio of variants that ran interleaved
// in one process: absolute times differ by a factor of three to four between
// machines and between minutes, but ratios are stable. The tests of this folder
// count and cannot be flaky. Its benchmarks measure time: see `make bench`.
package bench
