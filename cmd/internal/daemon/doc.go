// Package daemon is what "rollcall serve" runs: the faces of a registry for programs
// that are not written in Go.
//
//	config.go    what may be configured, and what is refused
//	faces.go     what is served beside Consul's API
//	daemon.go    start, readiness and stop, in their order
//	identity.go  the node's name, ID and address
//	access.go    who may ask: Host, Origin, tokens, limits
//	tokens.go    token files, which may change while the daemon runs
//	notify.go    tells systemd when the daemon is ready and when it stops
package daemon
