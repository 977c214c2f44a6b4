package redisclient

import "github.com/redis/go-redis/v9/logging"

// DisableClientLog stops what go-redis itself writes to standard error, such as a line
// about a connection that was closed while it was in use. What matters of it, calls
// return as errors or the library logs. It is for programs, since it affects
// every go-redis client of the process: call it before the first is made.
func DisableClientLog() { logging.Disable() }
