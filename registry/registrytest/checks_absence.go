package registrytest

import "time"

var absenceChecks = []check{
	{name: "without Push it is no Watcher", lacks: push, run: func(e *env) { e.open() }},
	{name: "without Backend it is no Backend", lacks: backend, run: func(e *env) { e.open() }},
	{name: "without Shared each registry is alone", lacks: shared, run: alone},
	{name: "without Expiry nothing is removed by itself", lacks: expiry, run: lasting},
}

func alone(e *env) {
	r, other := e.open(), e.open()
	e.register(r, instance("api", "a"))
	e.lists(other, "api")
}

func lasting(e *env) {
	r := e.open()
	e.register(r, instance("api", "a"))
	d := e.quiet()
	if e.h.Bubble {
		d = 24 * time.Hour
	}
	e.throughout(d, e.listing(r, "api", "a"))
}
