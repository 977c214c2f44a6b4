package demo

// A fleet starts the demo's servers and stops those that still run.
type fleet interface {
	// start starts a server that registers itself as the instance id, and
	// describes it. The server may appear in the watch later.
	start(id string) (server, string, error)
	// close stops all servers, waits for them, and kills those that take too long.
	close()
}

// A server is one instance of the service.
type server interface {
	// kill ends it at once; it does not deregister.
	kill()
	// leave makes it deregister and then stop, and waits for its end.
	leave()
}
