package store

// Hints spare a backend work. A Store may ignore them all; its results are the same.

// PutHints says where the ID of a Put may stand already.
type PutHints struct {
	// NewID: the ID was generated for this registration, so it stands nowhere.
	NewID bool
	// PreviousService, if not empty, is the service in which this owner has the ID
	// registered.
	PreviousService string
}

// ReadHints says how a reader is going to use the answer.
type ReadHints struct {
	// ChangedLast: the reader's previous read found a change, so this one may as well.
	ChangedLast bool
	// Blocking: the caller waits for the answer, so the store may use its goroutine.
	Blocking bool
}
