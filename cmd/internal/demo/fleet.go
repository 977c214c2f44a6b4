package demo

// A fleet starts the demo's servers and stops those that still run.
type fleet interface {
	// start starts a server that registers itself as the instance id, and says
	// what it is. The server may appear in the watch a little later.
	start(id string) (server, string, error)
	// close has all servers leave, waits for them, and kills those that take too long.
	close()
}

// A server is one instance of the service.
type server interface {
	// kill ends it at once, without a word to the registry.
	kill()
	// leave has it deregister first and stop then, and waits for its end.
	leave()
}
