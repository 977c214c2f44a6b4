// Package examples holds small complete programs, and here the tests that run
// them:
//
//   - httpserver and httpclient: an HTTP service and who calls it by its name;
//     Ctrl-C or SIGTERM stops a server without a failed request
//   - worker: does the work of a shard while it is the oldest of its workers
//   - prices: a part of a program with its own tests, on the local backend and
//     on one that fails on command
//
// Their like for gRPC is in grpcresolver/examples, a module that has gRPC.
package examples
