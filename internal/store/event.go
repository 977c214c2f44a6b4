package store

// EventKind is a kind of change of an instance. Its texts are shown to users.
type EventKind string

// Kinds of events.
const (
	EventRegistered   EventKind = "registered"
	EventReplaced     EventKind = "replaced" // a live record by another of its ID
	EventDeregistered EventKind = "deregistered"
	EventExpired      EventKind = "expired"
	EventMoved        EventKind = "moved" // to another service
	EventStatus       EventKind = "status"
	EventDrain        EventKind = "drain"
	EventUndrain      EventKind = "undrain"
)

// Event is a change of a service as people see it.
type Event struct {
	Time int64 // backend's clock, µs since the epoch; of an expiry: when the lease ended
	ID   string
	Kind EventKind
	// By is the name of the store that made the change; of an expiry, the name of the
	// owner's. "": unknown.
	By string
	// Note is the one of an OverlayPatch; with EventMoved the new service; with EventReplaced
	// and EventDeregistered the name of the owner's store, if the change was another's.
	Note string
	// LastHeartbeat, with EventExpired, is when the lease was renewed last.
	LastHeartbeat int64
}
