// Package bridge lets the module's other packages reach what package registry
// keeps private, without making it public.
package bridge

// Supersede tells the membership of id, held through backend (a
// registry.Backend or anything that embeds one), that a newer owner took over
// its ID: its heartbeat stops, Lost is closed and Err matches ErrSuperseded,
// just as if another process had registered the ID. What the backend holds
// stays as it is. It reports whether backend held a live registration of id.
//
// Package registry sets it when it is initialized.
var Supersede func(backend any, id string) bool
