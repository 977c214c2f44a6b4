// Package examples holds small complete programs, and here the test that runs
// them: grpcserver, a gRPC service that leaves before it stops, and grpcclient,
// which calls it by its name.
//
// The service is gRPC's own health service, so that the programs need no
// generated code.
package examples
